"""What is wrong with a data set is found, named for its case, and answered with what to do."""

from __future__ import annotations

import csv
import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.datasets_public.miniatures import (
    LAYOUTS,
    dlsc_covid,
    mosmed1110,
    nifti,
    nsclc,
    own,
    scan,
    table,
)
from training.datasets.public.check import Report, check
from training.datasets.public.registry import data_set


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own(tmp_path)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "cases.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def changed(folder: Path, number: int, **values: str) -> None:
    found = rows(folder)
    found[number] |= values
    table(folder, found)


def faults(report: Report) -> list[tuple[str, str]]:
    return [(p.case, p.fault) for p in report.problems]


def test_a_sound_folder_is_described(folder: Path) -> None:
    report = check(data_set("own"), folder)
    assert report.sound
    assert (report.cases, report.kinds) == (4, {"covid": 2, "normal": 1, "cap": 1})
    assert report.parts == {"train": 3, "validation": 1}
    assert (report.with_lungs, report.annotated) == (4, 2)
    assert report.as_dict()["sound"] is True


@pytest.mark.parametrize("name", ["medseg-29", "covid-ct", "luna16", "cancer-500"])
def test_a_sound_miniature_has_no_problem_but_a_part_that_stays_empty(name: str, tmp_path: Path) -> None:
    report = check(data_set(name), LAYOUTS[name](tmp_path))
    assert {p.fault for p in report.problems} <= {"split"}
    assert report.cases > 0


def empty(folder: Path) -> None:
    (folder / "c.nii.gz").write_bytes(b"")


def cut_short(folder: Path) -> None:
    content = (folder / "c.nii.gz").read_bytes()
    (folder / "c.nii.gz").write_bytes(content[: len(content) // 2])


def another_thing(folder: Path) -> None:
    with gzip.open(folder / "c.nii.gz", "wb") as stream:
        stream.write(b"not a volume at all" * 50)


def lost(folder: Path) -> None:
    (folder / "c-lungs.nii.gz").unlink()


def shorter_mask(folder: Path) -> None:
    nifti(folder / "c-lungs.nii.gz", scan(3).lungs[1:])


def shifted_mask(folder: Path) -> None:
    import nibabel

    mask = nibabel.load(folder / "c-lungs.nii.gz")
    affine = mask.affine.copy()
    affine[2, 3] += 16
    moved = nibabel.Nifti1Image(np.asarray(mask.dataobj), affine)
    nibabel.save(moved, folder / "moved.nii.gz")
    changed(folder, 2, lungs="moved.nii.gz")


def image_as_mask(folder: Path) -> None:
    import nibabel

    image = nibabel.load(folder / "c.nii.gz")
    nibabel.save(
        nibabel.Nifti1Image(np.asarray(image.dataobj).astype(np.float32) / 7, image.affine), folder / "c-lungs.nii.gz"
    )


def grey_levels(folder: Path) -> None:
    nifti(folder / "c.nii.gz", (np.clip(scan(3).hu, -1000, 500) + 1000) / 1500 * 255)


def one_value(folder: Path) -> None:
    nifti(folder / "c.nii.gz", np.full(scan(3).hu.shape, -1000))


def no_millimetres(folder: Path) -> None:
    import nibabel

    image = nibabel.load(folder / "c.nii.gz")
    affine = image.affine.copy()
    affine[:3, :3] *= 100
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), folder / "c.nii.gz")


def no_kind(folder: Path) -> None:
    changed(folder, 2, kind="COVID-19")


@pytest.mark.parametrize(
    ("spoil", "fault", "words"),
    [
        (empty, "empty", "fetch or unpack it again"),
        (cut_short, "unreadable", "fetch or unpack it again"),
        (another_thing, "unreadable", "fetch or unpack it again"),
        (lost, "missing", "c-lungs.nii.gz is missing"),
        (shorter_mask, "shape", "has 8 x 44 x 57 voxels and its image 9 x 44 x 57"),
        (shifted_mask, "place", "16.0 mm from its image"),
        (image_as_mask, "labels", "is it an image"),
        (grey_levels, "values", "convert it again from DICOM"),
        (one_value, "values", "everywhere"),
        (no_millimetres, "spacing", "correct its header"),
        (no_kind, "kind", "give it one of covid, cap, normal, other"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_each_fault_is_named_with_its_case_and_what_to_do(
    spoil: Callable[[Path], None], fault: str, words: str, folder: Path
) -> None:
    spoil(folder)
    report = check(data_set("own"), folder)
    assert faults(report) == [("c.nii.gz", fault)]
    assert words in report.problems[0].words
    assert not report.sound


def test_a_mask_with_a_label_that_is_not_of_its_data_set_is_refused(tmp_path: Path) -> None:
    mosmed1110(tmp_path)
    nifti(tmp_path / "COVID19_1110" / "masks" / "study_0255_mask.nii.gz", scan(255, lesion=True).lesions * 3)
    report = check(data_set("mosmed-1110"), tmp_path)
    assert ("study_0255", "labels") in faults(report)
    assert len(report.missing) == 1105
    assert "study_0003" in report.notes[0]


def test_a_patient_in_two_parts_leaks(folder: Path) -> None:
    changed(folder, 2, split="validation")
    report = check(data_set("own"), folder)
    assert faults(report) == [("a.nii.gz", "leak")]
    assert "a.nii.gz, c.nii.gz are of one patient" in report.problems[0].words
    assert "Anna" not in str(report.as_dict())  # nobody's identity


def test_the_same_images_under_two_patients_are_found(folder: Path) -> None:
    shutil.copy(folder / "a.nii.gz", folder / "d.nii.gz")
    assert faults(check(data_set("own"), folder)) == [("a.nii.gz", "duplicate images")]


def test_two_cases_of_one_name_and_a_part_without_patients_are_found(folder: Path) -> None:
    table(folder, [{**row, "split": "train", "id": row["image"].replace("b", "a.nii.gz")} for row in rows(folder)])
    assert faults(check(data_set("own"), folder)) == [("a.nii.gz", "duplicate case"), ("", "split")]


def test_masks_that_look_the_other_way_are_found(tmp_path: Path) -> None:
    """Someone has mirrored the lesions of 3DLSC-COVID already: mirrored once more they lie in the other half."""
    dlsc_covid(tmp_path)
    home = tmp_path / "dataset" / "covid"
    found = scan(504, lesion=True)
    beside = np.zeros_like(found.lesions)
    beside[3:6, 2:8, 4:20] = True
    nifti(home / "segment_label" / "4.nii", np.flip(beside, 2), (False, False, False))
    report = check(data_set("3dlsc-covid"), tmp_path)
    assert ("covid 4", "place") in faults(report)


def test_a_series_with_a_gap_is_refused(tmp_path: Path) -> None:
    nsclc(tmp_path)
    next((tmp_path / "NSCLC-Radiomics" / "LUNG1-002").glob("*/0.*/*I0004.dcm")).unlink()
    problems = {p.case: p for p in check(data_set("nsclc"), tmp_path).problems}
    assert problems["LUNG1-002"].fault == "unreadable"
    assert "mm" in problems["LUNG1-002"].words
