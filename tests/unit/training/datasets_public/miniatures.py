"""Every public layout in miniature: a few tiny scans each, written as their publishers write them.

Scans are the tiny patients of `small_patients`: two ellipses of lung in a body, lopsided, with a lesion in the right
lung where there is one. Files are written with an axis or two running backwards, as real ones have them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK
from numpy.typing import NDArray
from PIL import Image as Picture

from models.volume import Volume
from tests.unit.training.small_patients import patient
from training.datasets.stored import StoredPatient
from training.phantom.dicom import SeriesInfo, StudyInfo, uid_for, write_series

SPACING = (8.0, 2.0, 2.0)
HEAD_FIRST, MIRRORED = (True, False, False), (False, False, True)  # (slice, row, column) backwards


def scan(seed: int, *, lesion: bool = False, slices: int = 9) -> StoredPatient:
    """Never below -1000 HU: what was never measured is another matter."""
    made = patient(seed, lesion=lesion, slices=slices)
    return replace(made, hu=np.maximum(made.hu, -1000))


def affine_of(spacing: tuple[float, float, float] = SPACING) -> NDArray[np.float64]:
    """Of (slice, row, column): to the head, to the back, to the left."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing, 1.0
    return affine


def nifti(
    path: Path, array: NDArray[Any], backwards: tuple[bool, bool, bool] = HEAD_FIRST, *, says: Sequence[bool] = ()
) -> Path:
    """Axial array (slice, row, column) as NIfTI (x, y, z), RAS. `says`: what the header claims of the axes instead."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = affine_of()
    for axis, (back, said) in enumerate(zip(backwards, says or backwards, strict=True)):
        array = np.flip(array, axis) if back else array
        if said:
            affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
            affine[:3, axis] *= -1
    stored = array.astype(np.int16 if array.dtype != np.bool_ else np.uint8).transpose(2, 1, 0)
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine[:, [2, 1, 0, 3]]
    nibabel.save(nibabel.Nifti1Image(stored, ras), path)
    return path


def mhd(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    itk: Any = SimpleITK
    image = itk.GetImageFromArray(array.astype(np.int16 if array.dtype != np.bool_ else np.uint8))
    image.SetSpacing(SPACING[::-1])
    itk.WriteImage(image, str(path))


def dicom(folder: Path, array: NDArray[np.int16], name: str, patient_id: str = "P1") -> None:
    volume = Volume(hu=array, affine_lps=affine_of())
    study = StudyInfo(study_uid=uid_for(name), patient_id=patient_id)
    write_series(
        volume, folder, study, SeriesInfo(series_uid=uid_for(name, 1), frame_of_reference_uid=uid_for(name, 2))
    )


def mosmed1110(folder: Path) -> Path:
    """COVID19_1110: two of CT-0, two of CT-1, of which one has a mask, and one of CT-3."""
    home = folder / "COVID19_1110"
    for number, grade in ((1, 0), (2, 0), (255, 1), (305, 1), (1064, 3)):
        found = scan(number, lesion=grade > 0)
        nifti(home / "studies" / f"CT-{grade}" / f"study_{number:04}.nii.gz", found.hu)
        if number == 255:
            nifti(home / "masks" / "study_0255_mask.nii.gz", found.lesions)
    return folder


def medseg29(folder: Path) -> Path:
    """One of the nine, with some effusion, one of the corona cases and two Radiopaedia scans of one patient."""
    found = scan(1, lesion=True)
    effusion = found.lungs & (np.arange(found.lungs.shape[1]) > 30)[None, :, None]
    labels = np.where(effusion, 3, np.where(found.lesions, 2, 0)).astype(np.int16)
    nifti(folder / "rp_im" / "1.nii.gz", found.hu)
    nifti(folder / "rp_msk" / "1.nii.gz", labels)
    nifti(folder / "rp_lung_msk" / "1.nii.gz", found.lungs)
    for seed, name in ((2, "coronacases_001"), (3, "radiopaedia_29_86490_1"), (4, "radiopaedia_29_86491_1")):
        found = scan(seed, lesion=True)
        sides = found.lungs.astype(np.int16) * np.where(np.arange(found.lungs.shape[2]) < 28, 2, 1)
        windowed = name.startswith("radiopaedia")
        grey = np.rint((np.clip(found.hu, -1250, 250) + 1250) / 1500 * 255).astype(np.int16)
        # The header of a Radiopaedia image says that its rows run the other way; those of the masks are right.
        claims = (True, True, False) if windowed else ()
        nifti(folder / "COVID-19-CT-Seg_20cases" / f"{name}.nii.gz", grey if windowed else found.hu, says=claims)
        nifti(folder / "Lung_Mask" / f"{name}.nii.gz", sides)
        nifti(folder / "Infection_Mask" / f"{name}.nii.gz", found.lesions)
    return folder


def medseg100(folder: Path) -> Path:
    """A hundred slices in three files."""
    shown = [scan(seed, lesion=True) for seed in range(100)]
    nifti(folder / "tr_im.nii.gz", np.stack([s.hu[4] for s in shown]), (False, False, False))
    nifti(folder / "tr_mask.nii.gz", np.stack([s.lesions[4] for s in shown]), (False, False, False))
    nifti(folder / "tr_lungmasks_updated.nii.gz", np.stack([s.lungs[4] for s in shown]), (False, False, False))
    return folder


def covid_ct(folder: Path) -> Path:
    """Two papers with two pictures each, and many without COVID-19."""
    names = {
        "CT_COVID": [f"2020.0{n}.24.919183-p{n}-{page}.png" for n in range(1, 9) for page in (3, 7)],
        "CT_NonCOVID": [*(f"{n}.jpg" for n in range(12)), "12%0.png", "12%1.png"],
    }
    rng = np.random.default_rng(0)
    for name, files in names.items():
        (folder / "Images-processed" / name).mkdir(parents=True)
        for file in files:
            picture = Picture.fromarray(rng.integers(0, 256, (20, 31), dtype=np.uint8))
            picture.save(folder / "Images-processed" / name / file)
    (folder / "Data-split" / "COVID").mkdir(parents=True)
    (folder / "Data-split" / "COVID" / "trainCT_COVID.txt").write_text(names["CT_COVID"][0] + "\n")
    return folder


def dlsc_covid(folder: Path) -> Path:
    """Twelve of each class; lesion masks mirrored, as theirs are."""
    for name in ("covid", "cap", "normal"):
        home = folder / "dataset" / name
        (home / "lung-npy").mkdir(parents=True)
        for number in range(12):
            found = scan(number + 100 * len(name), lesion=name != "normal")
            backwards = (False, False, False)
            nifti(home / "data-nii" / f"{number}.nii.gz", found.hu, backwards)
            np.save(home / "lung-npy" / f"{number}.npy", found.lungs.astype(np.uint8))
            if name != "normal":
                nifti(home / "segment_label" / f"{number}.nii", np.flip(found.lesions, 2), backwards)
    return folder


def luna16(folder: Path) -> Path:
    """Three series, of which one has no lungs, and a trachea."""
    for number in range(3):
        found = scan(number)
        mhd(folder / f"subset{number}" / f"1.3.6.{number}.mhd", found.hu)
        labels = np.where(found.lungs, np.where(np.arange(found.lungs.shape[2]) < 28, 4, 3), 0)
        labels[:, 10:14, 26:30] = 5
        if number:
            mhd(folder / "seg-lungs-LUNA16" / f"1.3.6.{number}.mhd", labels)
    (folder / "annotations.csv").write_text("seriesuid,coordX,coordY,coordZ,diameter_mm\n1.3.6.1,0,0,0,5\n")
    return folder


def nsclc(folder: Path) -> Path:
    """Two patients; the first has a later study, contours, and effusion in his cavity. Masks lie backwards."""
    for number in (1, 2):
        name = f"LUNG1-{number:03}"
        found = scan(number)
        home = folder / "NSCLC-Radiomics" / name
        dicom(home / "09-18-2008-StudyID-1" / "0.000000-28595", found.hu, name, name)
        contours = home / "09-18-2008-StudyID-1" / "1.000000-contours"
        contours.mkdir()
        (contours / "1-1.dcm").write_bytes(b"no image")
        masks = folder / "Thoracic_Cavities" / name / f"{name}_thor_cav_primary_reviewer.nii.gz"
        nifti(masks, found.lungs, (True, True, True))
        if number == 1:
            dicom(home / "01-02-2009-StudyID-2" / "0.000000-later", scan(77).hu, "later", name)
            effusion = found.lungs & (np.arange(found.lungs.shape[1]) > 28)[None, :, None]
            nifti(folder / "Effusions" / name / f"{name}_effusion_first_reviewer.nii.gz", effusion, MIRRORED)
    return folder


def cancer500(folder: Path) -> Path:
    """Two studies, one of a patient with two series; files without suffix, and a localizer."""
    for study, series in (("AAA", ("1", "2")), ("BBB", ("3",))):
        for name in series:
            dicom(folder / "dicom" / study / name, scan(int(name), slices=10).hu, name, f"patient {study}")
    for path in (folder / "dicom").rglob("*.dcm"):
        path.rename(path.with_suffix(""))
    dicom(folder / "dicom" / "BBB" / "9", scan(9, slices=3).hu, "localizer", "patient BBB")
    return folder


def own(folder: Path) -> Path:
    """NIfTI and DICOM in one table; two scans of one patient; each state of knowledge about lesions."""
    sick, well, unread, pneumonia = (scan(n, lesion=n in (1, 4)) for n in range(1, 5))
    nifti(folder / "a.nii.gz", sick.hu, MIRRORED)
    nifti(folder / "a-lungs.nii.gz", sick.lungs)
    nifti(folder / "a-lesions.nii.gz", sick.lesions, (True, True, True))
    dicom(folder / "b", well.hu, "b")
    nifti(folder / "b-lungs.nii.gz", well.lungs, MIRRORED)
    nifti(folder / "c.nii.gz", unread.hu)
    nifti(folder / "c-lungs.nii.gz", unread.lungs)
    nifti(folder / "d.nii.gz", pneumonia.hu)
    nifti(folder / "d-lungs.nii.gz", pneumonia.lungs)
    rows = [
        {
            "image": "a.nii.gz",
            "kind": "covid",
            "patient": "Anna",
            "lungs": "a-lungs.nii.gz",
            "lesions": "a-lesions.nii.gz",
        },
        {"image": "b", "kind": "normal", "patient": "Bert", "lungs": "b-lungs.nii.gz", "lesions": "none"},
        {"image": "c.nii.gz", "kind": "covid", "patient": "Anna", "lungs": "c-lungs.nii.gz"},
        {"image": "d.nii.gz", "kind": "cap", "patient": "Cleo", "lungs": "d-lungs.nii.gz"},
    ]
    parts = {"Anna": "train", "Bert": "train", "Cleo": "validation"}
    table(folder, [{**row, "split": parts[row["patient"]], "scanner": "CT-7"} for row in rows])
    return folder


def table(folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (folder / "cases.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def mosmed20(folder: Path) -> Path:
    """As an own folder."""
    nifti(folder / "one.nii.gz", scan(1).hu)
    table(folder, [{"image": "one.nii.gz", "kind": "covid"}])
    return folder


def ictcf(folder: Path) -> Path:
    """Four patients, of whom one has no CT; the swab of one is not known, and the feature table has two."""
    rows = [
        ("Union", 1, "Positive", "Positive", "Severe"),
        ("Liyuan", 2, "Negative", "Positive", "Suspected"),
        ("Union", 3, "Positive", "N/A", "Regular"),
        ("Liyuan", 4, "", "Negative", "Control"),
    ]
    names = ("Hospital", "Patient", "SARS-CoV-2 nucleic acids", "CT", "Morbidity")
    with (_made(folder) / "Patients.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        writer.writerows((hospital, f"Patient {n}", *said) for hospital, n, *said in rows)
    for number in (1, 2, 4):
        found = scan(number, lesion=number == 1)
        dicom(folder / f"Patient {number}" / "CT", found.hu, f"P{number}", f"P{number}")
    return folder


def triage_test(folder: Path) -> Path:
    """One of each kind; the one with COVID-19 was read by two."""
    for name in ("covid", "bacterial_pneumonia", "nodules", "normal"):
        nifti(folder / "test" / name / "images" / "7.nii.gz", scan(len(name), lesion=name == "covid").hu)
    sick = scan(len("covid"), lesion=True)
    nifti(folder / "test" / "covid" / "masks" / "7" / "rater_0.nii.gz", sick.lesions, MIRRORED)
    nifti(folder / "test" / "covid" / "masks" / "7" / "rater_1.nii.gz", sick.lungs)
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


LAYOUTS: Mapping[str, Callable[[Path], Path]] = {
    "mosmed-1110": mosmed1110,
    "medseg-29": medseg29,
    "medseg-100": medseg100,
    "covid-ct": covid_ct,
    "3dlsc-covid": dlsc_covid,
    "luna16": luna16,
    "nsclc": nsclc,
    "mosmed-20": mosmed20,
    "cancer-500": cancer500,
    "ictcf": ictcf,
    "ct-triage-test": triage_test,
    "own": own,
}
