"""3DLSC-COVID: COVID-19, community-acquired pneumonia and neither, with lesions drawn in 3D; DeepSC-COVID's own data.

Read as the authors' CT-COVID reads it (data_process.py): the first three quarters of each class, by file name, are for
training, of which a tenth is held out here to choose by; lesion masks are mirrored left to right against the images.
Only a part is released, so the quarter that tests is a quarter of that. The authors also turn some files by 90 degrees,
by their number in a list that is not published: look at what `data check` calls misplaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.datasets.public.case import Case, DataSet, Image, Mask
from training.datasets.public.layout import files, not_here, without_suffix
from training.datasets.public.split import TEST, part

LAYOUT = "covid/data-nii/1.nii.gz, covid/segment_label/1.nii, covid/lung-npy/1.npy, likewise cap/ and normal/"
FOLDERS = {"covid": "covid", "cap": "cap", "normal": "other"}  # "non-pneumonia": other findings may be there
NAME = "3dlsc-covid"
TRAINED_ON = 0.75
HELD_OUT = {"train": 0.9, "validation": 0.1}


def cases(folder: Path) -> Iterator[Case]:
    homes = [home for home in (folder, folder / "dataset") if any((home / n / "data-nii").is_dir() for n in FOLDERS)]
    if not homes:
        raise not_here(folder, LAYOUT)
    for name, kind in FOLDERS.items():
        images = files(homes[0] / name / "data-nii", "*.nii*")
        for n, path in enumerate(images):
            number = without_suffix(path)
            lungs = homes[0] / name / "lung-npy" / f"{number}.npy"
            lesions = homes[0] / name / "segment_label" / f"{number}.nii"
            patient = f"{name} {number}"
            yield Case(
                id=patient,
                patient=patient,
                kind=kind,
                image=Image(paths=(path,)),
                lungs=Mask(path=lungs, known=None) if lungs.exists() else None,
                lesions=Mask(path=lesions, known=None, mirrored=True) if lesions.exists() else None,
                without_lesions=kind == "other",
                split=part(NAME, patient, HELD_OUT) if n < TRAINED_ON * len(images) else TEST,
            )


DATA_SET = DataSet(
    name=NAME,
    title="3DLSC-COVID",
    url="https://doi.org/10.21227/mxb3-7j48",
    licence="as IEEE DataPort states it to whoever downloads",
    citation="Wang et al., Joint Learning of 3D Lesion Segmentation and Classification for Explainable COVID-19 "
    "Diagnosis, IEEE Transactions on Medical Imaging 2021",
    masks="lesions: every number but 0; lungs of the R231 network; non-pneumonia: no lesions",
    classes=("covid", "cap", "other"),
    size="1,805 scans: 794 COVID-19, 540 CAP, 471 non-pneumonia; a part is released",
    layout=LAYOUT,
    cases=cases,
)
