"""From files as published to a library that recipes train on, with what is unknown left unknown."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from models.case import InputSpec, Kind, MaskPolicy
from tests.unit.training.datasets_public.miniatures import LAYOUTS, medseg100, mosmed1110, nifti, own, scan, table
from tests.unit.training.small_patients import patient, written
from training.datasets.library import LibraryCases
from training.datasets.phantom import LesionSeries, LungSlices, drawn
from training.datasets.prepare_library import Settings, prepare
from training.datasets.public.registry import data_set
from training.datasets.simulated_labels import simulated_labels
from training.datasets.slices import LabelledSlices, annotated
from training.datasets.stored import DataError, StoredLibrary, open_libraries
from training.datasets.volumes import ClassifiedVolumes

SERIES = InputSpec(kind=Kind.VOLUME, pixel_mm=2.0, window_hu=(-1000.0, 300.0), mask=MaskPolicy.CROP)
PICTURES = InputSpec(kind=Kind.SLICES, pixel_mm=None, window_hu=(-1350.0, 150.0), plane=(32, 32), per_slice=True)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The own folder, prepared."""
    made = tmp_path_factory.mktemp("library")
    prepare(data_set("own"), own(tmp_path_factory.mktemp("own")), made)
    return made


def entries(folder: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((folder / "index.json").read_text())["patients"]
    return found


def test_a_library_holds_what_the_files_held(library: Path) -> None:
    train, validation = open_libraries(library)
    assert (train.kinds, validation.kinds) == (("covid", "normal", "covid"), ("cap",))
    assert (train.annotated, validation.annotated) == ((True, True, False), (False,))
    assert not train.synthetic
    for number, (seed, lesion) in enumerate(((1, True), (2, False))):
        found, expected = train[number], scan(seed, lesion=lesion)
        np.testing.assert_array_equal(found.hu, expected.hu)
        np.testing.assert_array_equal(found.lungs, expected.lungs)
        np.testing.assert_array_equal(found.lesions, expected.lesions)
        assert found.spacing_mm == pytest.approx((8.0, 2.0, 2.0))
    assert train.description == "3 cases of Own folder; 2 with lesions annotated"


def test_nobody_can_be_told_from_a_library(library: Path) -> None:
    found = entries(library / "train")
    assert found[0]["patient"] == found[2]["patient"] != found[1]["patient"]
    assert found[0]["facts"] == {"scanner": "CT-7"}
    assert "Anna" not in (library / "train" / "index.json").read_text()


def test_lesions_that_nobody_drew_teach_nothing(library: Path) -> None:
    train, held_out = open_libraries(library)
    kinds = {"covid": 1.0}
    data = LesionSeries(
        train=train, held_out=held_out, spec=SERIES, series=1, shares=kinds, annotated=("covid", "cap", "normal")
    )
    silent = {bool(data.batch(np.random.default_rng(n))["lesions"].isnan().all()) for n in range(8)}
    assert silent == {True, False}  # of the unread patient, and of the other
    assert all(batch["lesions"].isnan().all() for batch in data.validation())
    seen = {id(drawn(train, kinds, np.random.default_rng(n), annotated=True)[0].hu) for n in range(8)}
    assert seen == {id(train[0].hu)}
    assert annotated(train, "covid", 1.0) == [0]
    with pytest.raises(DataError, match="no annotated patient is of the kinds cap"):
        drawn(held_out, {"cap": 1.0}, np.random.default_rng(0), annotated=True)


def test_real_patients_have_the_course_that_their_table_says_and_no_simulated_one(
    library: Path, tmp_path: Path
) -> None:
    train, held_out = open_libraries(library)
    volumes = partial(ClassifiedVolumes, spec=SERIES, labels=simulated_labels, volumes=1)
    data = volumes(train=train, held_out=held_out, tasks=("CT",))
    assert [int(data._sample(train, n, None)["CT"]) for n in range(3)] == [1, 0, 1], "as their kind"
    with pytest.raises(DataError, match="nobody says severity of any patient"):
        volumes(train=train, held_out=held_out, tasks=("CT", "severity"))
    folder = own(tmp_path / "own")
    with (folder / "cases.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row, severity in zip(rows, ("2", "0", "", "1"), strict=True):
        row["severity"] = severity
    table(folder, rows)
    prepare(data_set("own"), folder, tmp_path / "library")
    train, held_out = open_libraries(tmp_path / "library")
    data = volumes(train=train, held_out=held_out, tasks=("CT", "severity"))
    assert [int(data._sample(train, n, None)["severity"]) for n in range(3)] == [2, 0, -1]


def test_cases_to_judge_by_say_that_lesions_are_unknown(library: Path) -> None:
    cases = LibraryCases(folder=library / "train")
    assert not cases.synthetic
    assert [cases[n].lesions is None for n in range(3)] == [False, False, True]
    assert cases[0].groups["scanner"] == "CT-7"


def test_lungs_come_from_a_model_only_where_it_is_named(tmp_path: Path) -> None:
    mosmed1110(tmp_path / "in")
    with pytest.raises(DataError, match="--lungs lungs-unet"):
        prepare(data_set("mosmed-1110"), tmp_path / "in", tmp_path / "out")
    nifti(tmp_path / "air.nii.gz", np.random.default_rng(0).integers(-1020, -980, (9, 44, 57)))
    table(tmp_path, [{"image": "air.nii.gz", "kind": "normal"}])
    with pytest.raises(DataError, match="no lungs according to generic-lungs"):
        prepare(data_set("own"), tmp_path, tmp_path / "out", Settings(lungs="generic-lungs"))


def test_a_model_finds_lungs_and_the_library_says_which(tmp_path: Path) -> None:
    from tests.unit.models.chest import Chest, draw

    hu = np.maximum(draw(Chest(trachea=False)).volume.hu, -1000)
    nifti(tmp_path / "chest.nii.gz", hu)
    table(tmp_path, [{"image": "chest.nii.gz", "kind": "normal", "split": "train"}])
    made = prepare(data_set("own"), tmp_path, tmp_path / "out", Settings(lungs="generic-lungs", slice_mm=24))
    assert made.parts == {"train": {"normal": 1}}
    (entry,) = entries(tmp_path / "out" / "train")
    assert str(entry["lungs"]).startswith("generic-lungs ")
    found = StoredLibrary(tmp_path / "out" / "train")
    assert "lungs of 1 by generic-lungs" in found.description
    assert found[0].spacing_mm[0] == pytest.approx(24.0)
    np.testing.assert_array_equal(found[0].hu, hu[::3])
    assert found[0].lungs.any()


def test_preparing_goes_on_where_it_was_and_takes_further_data_sets(tmp_path: Path, library: Path) -> None:
    folder, out = own(tmp_path / "own") if (tmp_path / "own").mkdir() is None else tmp_path, tmp_path / "out"
    whole = (folder / "cases.csv").read_text()
    (folder / "cases.csv").write_text("\n".join(whole.splitlines()[:2]) + "\n")
    prepare(data_set("own"), folder, out)
    before = (out / "train" / "00000.npz").stat().st_mtime_ns
    (folder / "cases.csv").write_text(whole)
    prepare(data_set("own"), folder, out)
    assert (out / "train" / "00000.npz").stat().st_mtime_ns == before
    assert entries(out / "train") == entries(library / "train")
    prepare(
        data_set("luna16"), LAYOUTS["luna16"](tmp_path / "luna"), out, Settings(leave_out=True, lungs="generic-lungs")
    )
    sources = {e["source"] for part in ("train", "validation") for e in entries(out / part)}
    assert sources == {"own", "luna16"}


def test_a_patient_cannot_move_to_another_part(tmp_path: Path) -> None:
    own(tmp_path)
    prepare(data_set("own"), tmp_path, tmp_path / "out")
    text = (tmp_path / "cases.csv").read_text()
    line = "c.nii.gz,covid,Anna,c-lungs.nii.gz,,"
    assert line in text
    (tmp_path / "cases.csv").write_text(text.replace(line + "train", line + "test").replace("c.nii.gz,", "./c.nii.gz,"))
    with pytest.raises(DataError, match="its patient is in train already"):
        prepare(data_set("own"), tmp_path, tmp_path / "out")


def test_malformed_cases_stop_it_or_are_left_out(tmp_path: Path) -> None:
    own(tmp_path)
    (tmp_path / "c.nii.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"c.nii.gz is an empty file.*--leave-out"):
        prepare(data_set("own"), tmp_path, tmp_path / "first")
    made = prepare(data_set("own"), tmp_path, tmp_path / "second", Settings(leave_out=True))
    assert [case for case, _ in made.left_out] == ["c.nii.gz"]
    assert made.parts == {"train": {"covid": 1, "normal": 1}, "validation": {"cap": 1}}


def test_real_patients_are_not_mixed_with_drawn_ones(tmp_path: Path) -> None:
    written(tmp_path / "drawn")
    (tmp_path / "own").mkdir()
    with pytest.raises(DataError, match="holds synthetic patients"):
        prepare(data_set("own"), own(tmp_path / "own"), tmp_path / "drawn")


def test_pictures_without_a_scale_teach_only_what_needs_none(tmp_path: Path) -> None:
    made = prepare(data_set("medseg-100"), medseg100(tmp_path / "in"), tmp_path / "out")
    assert made.parts == {"train": {"covid": 50}, "validation": {"covid": 20}, "test": {"covid": 30}}
    train, held_out = open_libraries(tmp_path / "out")
    assert "pixel size of 50 unknown" in train.description
    np.testing.assert_array_equal(train[3].hu[0], scan(3, lesion=True).hu[4])
    with pytest.raises(DataError, match="mm unknown; this model cannot learn"):
        LungSlices(train=train, held_out=held_out, spec=SERIES, slices=1)
    shares = {"covid": 1.0}
    data = LabelledSlices(
        train=train, held_out=held_out, spec=PICTURES, slices=2, shares=shares, annotated=shares, told_only=True
    )
    batch = data.batch(np.random.default_rng(0))
    assert batch["image"].shape == (2, 1, 32, 32)
    assert torch.isfinite(batch["lesions"]).all()


def test_grey_levels_teach_only_what_spreads_them_and_asks_for_no_lungs(tmp_path: Path) -> None:
    prepare(data_set("covid-ct"), LAYOUTS["covid-ct"](tmp_path / "in"), tmp_path / "out")
    train = StoredLibrary(tmp_path / "out" / "train")
    assert train.unknown == {"mm", "hu", "lungs"}
    assert train[0].lungs.all()
    assert not any(train.annotated)
    for spec in (SERIES, InputSpec(kind=Kind.SLICES, pixel_mm=None, window_hu=(-1350.0, 150.0), plane=(32, 32))):
        with pytest.raises(DataError, match="hu"):
            LungSlices(train=train, held_out=train, spec=spec, slices=1)
    shares = {"covid": 0.5, "other": 0.5}
    data = LabelledSlices(train=train, held_out=train, spec=PICTURES, slices=3, shares=shares, annotated={"covid": 1.0})
    batch = data.batch(np.random.default_rng(0))
    assert batch["lesions"].isnan().all()
    assert patient(0, lesion=True).annotated
