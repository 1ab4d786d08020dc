"""MedSeg-100: a hundred slices of more than forty patients with drawn lesions, in one file; Amyar et al. use them.

Whose slice is whose is not published. Slices of a patient are likely to be neighbours, so the paper's 50, 20 and 30 are
taken one after the other: at most two patients can be in two parts. How large a pixel is, is lost (the pictures came
from JPEG files and were stretched to 512 x 512), and HU are what their publishers computed back: only networks that
stretch each slice to a plane can be trained on this. Pleural effusion (3) is no lesion here; the paper merges all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.datasets.public.case import LUNGS, MM, Case, DataSet, Image, Mask, label
from training.datasets.public.layout import not_here

LAYOUT = "tr_im.nii.gz, tr_mask.nii.gz and, for lungs, tr_lungmasks_updated.nii.gz"
SLICES = 100
TRAIN, VALIDATION = 50, 20  # the rest is test


def cases(folder: Path) -> Iterator[Case]:
    image, lesions, lungs = (folder / n for n in ("tr_im.nii.gz", "tr_mask.nii.gz", "tr_lungmasks_updated.nii.gz"))
    if not image.is_file():
        raise not_here(folder, LAYOUT)
    with_lungs = lungs.exists()
    for n in range(SLICES):
        yield Case(
            id=_name(n),
            patient=_name(n),
            kind="covid",
            image=Image(paths=(image,), slice=n),
            lungs=Mask(path=lungs, known=None, slice=n) if with_lungs else None,
            lesions=Mask(path=lesions, inside=label(1, 2), known=label(1, 2, 3), slice=n),
            split="train" if n < TRAIN else "validation" if n < TRAIN + VALIDATION else "test",
            unknown=frozenset({MM} if with_lungs else {MM, LUNGS}),
        )


def _name(n: int) -> str:
    return f"slice_{n:03}"


DATA_SET = DataSet(
    name="medseg-100",
    title="MedSeg-100",
    url="http://medicalsegmentation.com/covid19/",
    licence="CC0",
    citation="MedSeg, COVID-19 CT segmentation dataset, 2020 (pictures of the Italian Society of Radiology)",
    masks="lesions: 1 ground glass, 2 consolidation; 3, effusion, is left out; lungs where the third file is there",
    classes=("covid",),
    size="100 slices of 512 x 512 of more than 40 patients",
    layout=LAYOUT,
    cases=cases,
    expected=tuple(_name(n) for n in range(SLICES)),
    note="slices alone, of unknown scale: for networks that stretch each slice",
)
