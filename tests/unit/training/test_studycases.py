"""What is read by the rows of a study: the same lungs, features measured once, forests fitted on the same patients."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import read_card
from models.feature_names import NAMES
from models.predict import LungMasks, TriageResult, resolve
from models.volume_triage import DIAGNOSES
from tests.unit.training.study_phantoms import phantoms
from training.comparison import Training
from training.datasets import ictcf
from training.datasets.drawn_features import features_of
from training.datasets.stored import INDEX, TRAIN, VALIDATION, DataError, StoredLibrary
from training.measure import Case, classes_of
from training.studycases import Judgement, Seen, measured, picture
from training.studydata import TEST, CaseSet, StudyData, drawn
from training.studyreference import reference
from training.studyrows import Workshop

# So wide that any patient lies inside what a forest has seen.
WIDE = 1e15


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    """With features that were measured before."""
    made = phantoms(tmp_path_factory.mktemp("data"))
    rng = np.random.default_rng(5)
    for name in (TRAIN, VALIDATION):
        library = StoredLibrary(made.folder / name)
        kept = made.folder / name / f"radiomics-{library.digest[:16]}-6mm"
        kept.mkdir()
        for number in range(len(library.kinds)):
            np.save(kept / f"{number:05}.npy", rng.uniform(-WIDE, WIDE, len(NAMES)).astype(np.float32))
    return made


def judgement(
    data: StudyData, keep: Path, libraries: int = 3, *, surfaces: bool = False, pictures: bool = False
) -> Judgement:
    cases = data.cases(TEST)
    some = CaseSet(name=cases.name, libraries=cases.libraries[:libraries])
    return Judgement(some, "classical-lungs", keep, surfaces=surfaces, pictures=pictures)


def test_features_of_the_phantoms_are_a_table_that_forests_are_fitted_on(data: StudyData) -> None:
    path = features_of(data.folder, 6.0)
    table = ictcf.read(path)
    assert (int(table.train.sum()), len(table)) == (6, 12)
    assert table.grid_mm == 6.0
    assert table.synthetic
    kinds = StoredLibrary(data.folder / TRAIN).kinds
    assert table.labels["NAT"][:6].tolist() == [int(kind == "covid") for kind in kinds]
    assert table.labels["CT"][:6].tolist() == [int(kind in ("covid", "cap")) for kind in kinds]
    stored = np.load(next((data.folder / TRAIN).glob("radiomics-*-6mm/00003.npy")), allow_pickle=False)
    assert np.array_equal(table.features[3], stored.astype(np.float64))
    before = path.stat().st_mtime_ns
    assert features_of(data.folder, 6.0) == path
    assert path.stat().st_mtime_ns == before


def test_a_forest_answers_with_features_that_are_measured_once(data: StudyData, tmp_path: Path) -> None:
    shop = Workshop(data=data, scale="tiny", folder=tmp_path / "trainings")
    judged = judgement(data, tmp_path / "measurements", libraries=1)
    measured_once: dict[Path, int] = {}
    for task in ("CT", "NAT"):
        made = shop.made(Training(recipe="random-forest", changes=(f"task={task}",)), None)
        assert made.is_whole
        assert made.bundle is not None
        assert read_card(made.bundle).synthetic, "fitted on drawn patients, and says so"
        found = judged.of(str(made.bundle))
        assert found is not None
        for one in found:
            assert set(one.classes) == {f"{task} negative", f"{task} positive"}
            assert sum(one.classes.values()) == pytest.approx(1.0)
            assert one.classes[f"{task} positive"] == one.score
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("measurements/test-features-*/*.json")}
        assert len(kept) == len(found) == 1
        assert measured_once in ({}, kept)
        measured_once = kept


def test_every_row_reads_the_same_lungs(data: StudyData, tmp_path: Path) -> None:
    first = judgement(data, tmp_path)
    cases = first.everyone()
    assert [case.kind for case in cases] == ["cap", "covid", "covid", "normal", "normal"]
    assert [case.groups["NAT"] for case in cases] == ["0", "1", "1", "0", "0"]
    found = first.of("thresholding")
    assert found is not None
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert len(kept) == 5
    again = judgement(data, tmp_path)
    assert again.everyone() == cases
    assert str(again.of("thresholding")) == str(found), "text, for no number equals itself"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")} == kept
    assert judgement(data, tmp_path / "other").of("thresholding", stop=lambda: True) is None


def test_a_picture_is_the_slice_that_shows_most(data: StudyData) -> None:
    for number in range(len(data.cases(TEST))):
        case = data.cases(TEST)[number]
        assert case.labels is not None
        assert case.lesions is not None
        one = picture(Seen(case=case, lungs=LungMasks(labels=case.labels, sides_by_size=False)))
        assert one.case.labels is not None
        assert one.case.lesions is not None
        for whole, slice_of_it in ((case.lesions, one.case.lesions), (case.labels > 0, one.case.labels > 0)):
            assert slice_of_it.sum() == whole.sum(axis=(1, 2)).max()
            if whole.any():
                break
        assert one.lungs.labels.shape == one.case.volume.shape == (1, *case.volume.shape[1:])
        here = one.case.volume.affine_lps @ (0, 5, 6, 1)
        first = int(np.flatnonzero([np.array_equal(s, one.case.volume.hu[0]) for s in case.volume.hu])[0])
        assert np.allclose(here, case.volume.affine_lps @ (first, 5, 6, 1))
        assert (one.case.kind, one.case.groups) == (case.kind, case.groups)


def test_pictures_are_measured_beside_whole_studies_with_the_same_lungs(data: StudyData, tmp_path: Path) -> None:
    whole = judgement(data, tmp_path)
    lesions = [case.lesion_ml for case in whole.everyone()]
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    cut = judgement(data, tmp_path, pictures=True)
    assert all(0.0 < few <= much or few == much == 0.0 for few, much in zip(_ml(cut), lesions, strict=True))
    assert sum(_ml(cut)) < sum(lesions)
    found, of_whole = cut.of("thresholding"), whole.of("thresholding")
    assert found is not None
    assert of_whole is not None
    assert [m.lung_dice for m in found] != [m.lung_dice for m in of_whole]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")} == kept


def test_surfaces_are_measured_where_they_are_asked_for(data: StudyData, tmp_path: Path) -> None:
    pytest.importorskip("monai", reason="MONAI comes with the train extra")
    without = judgement(data, tmp_path, libraries=1).of("thresholding")
    found = judgement(data, tmp_path, libraries=1, surfaces=True).of("thresholding")
    assert without is not None
    assert found is not None
    assert "lesion_nsd_3mm" not in without[0].masks
    assert 0.0 <= found[0].masks["lesion_nsd_3mm"] <= 1.0


def _ml(judged: Judgement) -> list[float]:
    return [case.lesion_ml for case in judged.everyone()]


def test_a_case_without_lungs_is_refused_and_has_found_nothing(data: StudyData) -> None:
    case = data.cases(TEST)[1]
    nothing = LungMasks(labels=np.zeros(case.volume.shape, np.uint8), sides_by_size=False)
    found = measured(resolve("thresholding", "triage"), Seen(case=case, lungs=nothing), surfaces=False)
    assert found.refused
    assert (found.score, found.fraction, found.classes) == (0.0, 0.0, {})


def test_patients_without_descriptors_have_no_reference(data: StudyData, tmp_path: Path) -> None:
    assert reference(data, judgement(data, tmp_path, libraries=1).everyone()) is None


def test_the_reference_is_told_the_true_descriptors_and_nothing_else(tmp_path: Path) -> None:
    """Dense lesions are CAP's here, others COVID-19's, and who has none is healthy."""
    told = {"covid": (3.0, 0.1), "cap": (1.0, 0.8), "normal": (0.0, 0.0)}

    def of(kind: str, n: int) -> dict[str, float]:
        count, dense = told[kind]
        return {"count": count + 0.01 * n, "dense": dense + 0.01 * n, "ratio": 0.03 * n if count else 0.0}

    patients = [{"kind": kind, "descriptors": of(kind, n)} for kind in told for n in range(10)]
    (tmp_path / TRAIN).mkdir()
    (tmp_path / TRAIN / INDEX).write_text(json.dumps({"patients": patients}), encoding="utf-8")
    cases = [Case(name=kind, kind=kind, fraction=0.1, descriptors=of(kind, 5)) for kind in told]
    found = reference(StudyData(folder=tmp_path), cases)
    assert found is not None
    assert [max(DIAGNOSES, key=one.classes.__getitem__) for one in found] == list(DIAGNOSES)
    assert found[0].score == found[0].classes["COVID-19"] > 0.5
    assert found[1].classes["CT positive"] > 0.5 > found[1].classes["NAT positive"]
    assert reference(StudyData(folder=tmp_path), [replace(case, descriptors={}) for case in cases]) is None


def test_a_folder_without_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no patients to judge by"):
        StudyData(folder=tmp_path).cases(TEST)
    with pytest.raises(DataError, match="tiny"):
        drawn(tmp_path, "huge")
    assert list(tmp_path.iterdir()) == []


def test_every_class_of_every_task_is_told_by_its_name() -> None:
    card = resolve("thresholding", "triage").card
    tasks = {"CT": {"CT negative": 0.1, "CT positive": 0.9}, "NAT": {"NAT negative": 0.4, "NAT positive": 0.6}}
    assert classes_of(TriageResult(probability=0.6, tasks=tasks), card) == {**tasks["CT"], **tasks["NAT"]}
    assert classes_of(TriageResult(probability=0.5), card) == {}
