"""Patients on disk, and the samples that networks are given of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.case import InputSpec, Kind, MaskPolicy
from models.prepare import prepare
from tests.unit.training.small_patients import KINDS, patient, patients, written
from training.augment import Augmentation
from training.datasets.phantom import LesionSeries, LungSlices, drawn, jittered, volume_of
from training.datasets.stored import DataError, StoredLibrary, StoredPatient, open_libraries, store

SLICES = InputSpec(kind=Kind.SLICES, pixel_mm=2.0, window_hu=(-1000.0, 300.0))
SERIES = InputSpec(
    kind=Kind.VOLUME, pixel_mm=2.0, window_hu=(-1000.0, 300.0), mask=MaskPolicy.CROP, margin_mm=4.0, depth=4
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data"))


def lung_slices(folder: Path, **changes: object) -> LungSlices:
    train, held_out = open_libraries(folder)
    return replace(LungSlices(train=train, held_out=held_out, spec=SLICES, slices=5), **changes)  # type: ignore[arg-type]


def lesion_series(folder: Path, **changes: object) -> LesionSeries:
    train, held_out = open_libraries(folder)
    shares = {"covid": 0.5, "normal": 0.25, "cap": 0.25}
    data = LesionSeries(
        train=train, held_out=held_out, spec=SERIES, series=3, shares=shares, annotated=("covid", "cap")
    )
    return replace(data, **changes)  # type: ignore[arg-type]


def test_a_patient_returns_as_stored(folder: Path) -> None:
    library, expected = open_libraries(folder)[0], patient(0, lesion=True)
    for found in (library[0], library[0]):  # read, then kept
        np.testing.assert_array_equal(found.hu, expected.hu)
        np.testing.assert_array_equal(found.lungs, expected.lungs)
        np.testing.assert_array_equal(found.lesions, expected.lesions)
        assert found.spacing_mm == expected.spacing_mm
    assert library.kinds == KINDS


def test_the_digest_names_the_patients(tmp_path: Path) -> None:
    first, same, other = (store(tmp_path / str(n), patients(n // 2), "x").digest for n in range(3))
    assert first == same != other


def test_a_changed_patient_is_refused(tmp_path: Path) -> None:
    library = store(tmp_path, patients(0), "x")
    (tmp_path / "00003.npz").write_bytes((tmp_path / "00002.npz").read_bytes())
    with pytest.raises(DataError, match="sha256"):
        library[3]
    (tmp_path / "00002.npz").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        library[2]
    with pytest.raises(DataError, match="no patients"):
        StoredLibrary(tmp_path / "nowhere")


def test_an_unfit_library_is_refused_with_what_to_do(tmp_path: Path) -> None:
    train = store(tmp_path / "train", patients(0), "x")
    with pytest.raises(DataError, match=r"holds no patients .*triaged phantom --library"):
        open_libraries(tmp_path)
    with pytest.raises(DataError, match="lists none"):
        store(tmp_path / "validation", [], "x")
    others = [(kind, patient) for kind, patient in patients(1) if kind == "covid"]
    store(tmp_path / "validation", [*others, (train.kinds[0], train[0])], "x")
    with pytest.raises(DataError, match=f"leaks: 1 of its {len(others) + 1} validation patients"):
        open_libraries(tmp_path)
    with pytest.raises(DataError, match="flu is no kind"):
        store(tmp_path / "validation", [("flu", train[0])], "x")


def test_a_batch_depends_on_its_generator_alone(folder: Path) -> None:
    how = Augmentation(redrawn=0.3)
    for data in (lung_slices(folder, augmentation=how, plane=32), lesion_series(folder, augmentation=how)):
        once, again, other = (data.batch(np.random.default_rng(n)) for n in (4, 4, 5))
        assert all(torch.equal(once[name].nan_to_num(-1), again[name].nan_to_num(-1)) for name in once)
        assert once["image"].shape != other["image"].shape or not torch.equal(once["image"], other["image"])


def test_a_slice_is_what_serving_would_prepare(folder: Path) -> None:
    data = lung_slices(folder)
    batch = data.batch(np.random.default_rng(0))
    assert batch["image"].shape == batch["lungs"].shape == (5, 1, 44, 57)
    all_slices = torch.cat([torch.from_numpy(prepare(volume_of(data.train[n]), SLICES).image) for n in range(6)])
    masks = torch.cat([torch.from_numpy(data.train[n].lungs) for n in range(6)])
    for image, lungs in zip(batch["image"][:, 0], batch["lungs"][:, 0], strict=True):
        where = [n for n, s in enumerate(all_slices) if torch.equal(s, image)]
        assert where
        assert any(torch.equal(masks[n].float(), lungs) for n in where)


def test_lungs_move_with_the_picture(folder: Path) -> None:
    data = lung_slices(folder, augmentation=Augmentation(shift_hu=0.0, eight_bit=0.0), plane=64)
    batch = data.batch(np.random.default_rng(1))
    inside = batch["lungs"] > 0.5
    assert batch["image"].shape == (5, 1, 64, 64)
    dense, lung = batch["image"] > 0.7, (batch["image"] > 0.05) & (batch["image"] < 0.25)
    assert float((lung & inside).sum() / inside.sum()) > 0.75  # the rest: lesions, blurred edges
    assert float((dense & inside).sum() / inside.sum()) < 0.05


def test_series_are_thinned_cropped_and_padded(folder: Path) -> None:
    data = lesion_series(folder, limit=(26, 200))
    batch = data.batch(np.random.default_rng(2))
    depths, rows, columns = batch["sizes"].T
    assert int(depths.max()) <= 4
    assert batch["image"].shape == (int(depths.sum()), 1, int(rows.max()), int(columns.max()))
    assert int(rows.max()) <= 26
    assert batch["covid"].shape == (3,)
    first = 0
    for depth, height, width in batch["sizes"].tolist():
        part = batch["lesions"][first : first + depth, 0]
        assert bool(part[:, height:].isnan().all())
        assert bool(part[:, :, width:].isnan().all())
        first += depth


def test_only_annotated_kinds_speak_of_lesions(folder: Path) -> None:
    data = lesion_series(folder, series=1, annotated=("covid",), shares={"covid": 0.5, "cap": 0.5})
    seen = {True: 0, False: 0}
    for seed in range(12):
        batch = data.batch(np.random.default_rng(seed))
        covid = bool(batch["covid"][0] > 0.5)
        seen[covid] += 1
        inside = batch["lesions"]
        assert bool(inside.isnan().all()) is not covid
        assert not covid or float(inside.nansum()) > 0
    assert min(seen.values()) >= 2


def test_two_thirds_of_the_told_series_are_of_annotated_patients(folder: Path) -> None:
    """The paper's data: 79 of 885 positive scans have a mask, and half of all series that are drawn."""

    class Mostly:
        kinds = ("covid",) * 10 + ("normal",)
        annotated = (True,) + (False,) * 9 + (True,)
        description = "eleven"

        def __getitem__(self, index: int) -> StoredPatient:
            return replace(patient(0, lesion=True), annotated=self.annotated[index])

    def share(told: tuple[str, ...]) -> float:
        rng = np.random.default_rng(0)
        found = [drawn(Mostly(), {"covid": 1.0}, rng, told=told)[0].annotated for _ in range(300)]  # type: ignore[arg-type]
        return float(np.mean(found))

    assert share(("covid",)) == pytest.approx(2 / 3, abs=0.08)
    assert share(()) == pytest.approx(0.1, abs=0.06)
    with pytest.raises(DataError, match=r"no patient is of the kinds cap: eleven; add some \(`triaged phantom"):
        drawn(Mostly(), {"cap": 1.0}, np.random.default_rng(0))  # type: ignore[arg-type]


def test_validation_knows_the_truth_of_every_kind(folder: Path) -> None:
    cases = list(lesion_series(folder, annotated=()).validation())
    assert [bool(c["covid"] > 0.5) for c in cases] == [kind == "covid" for kind in KINDS]
    assert [bool(c["lesions"].sum() > 0) for c in cases] == [kind in ("covid", "cap") for kind in KINDS]
    assert len(list(lesion_series(folder, validation_cases=3).validation())) == 3
    assert len(list(lung_slices(folder).validation())) == 6


def test_the_box_of_the_lungs_is_jittered_and_never_empty() -> None:
    someone = patient(3, lesion=False)
    boxes = {jittered(someone, np.random.default_rng(n)).tobytes() for n in range(20)}
    assert len(boxes) > 15
    sliver = replace(someone, lungs=np.zeros_like(someone.lungs))
    sliver.lungs[8, 43, 56] = True
    assert all(jittered(sliver, np.random.default_rng(n)).any() for n in range(50))


def test_patients_without_lungs_are_passed_over(tmp_path: Path) -> None:
    empty = patient(1, lesion=False)
    neck = replace(empty, lungs=np.zeros_like(empty.lungs))
    library = store(tmp_path, [("covid", neck), ("covid", empty)], "x")
    data = LesionSeries(
        train=library, held_out=library, spec=SERIES, series=4, shares={"covid": 1.0}, annotated=("covid",)
    )
    assert data.batch(np.random.default_rng(0))["covid"].shape == (4,)
    assert len(list(data.validation())) == 1
