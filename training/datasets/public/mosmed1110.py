"""Mosmed-1110 (COVID19_1110): CTs of out-patients in Moscow, graded CT-0 to CT-4; CT triage is trained on it.

The release names no patients, so each study is taken for one. CT-0 means that two readers saw no sign of viral
pneumonia: its lesion mask is taken to be empty, as CT triage does. Lesions of 50 studies of CT-1 are drawn, lungs of
none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.datasets.public.case import Case, DataSet, Image, Mask
from training.datasets.public.layout import files, not_here, required

LAYOUT = "studies/CT-0/study_0001.nii.gz ... studies/CT-4/study_1110.nii.gz, masks/study_0255_mask.nii.gz ..."
GRADES = ("CT-0", "CT-1", "CT-2", "CT-3", "CT-4")  # no sign; up to 25, 50, 75, 100 % of the lungs, by eye


def cases(folder: Path) -> Iterator[Case]:
    studies = required(folder, LAYOUT, "studies", *GRADES)
    studies = studies.parent if studies.name in GRADES else studies
    masks = (studies.parent if studies.name == "studies" else studies) / "masks"
    none = True
    for grade in GRADES:
        for path in files(studies / grade, "study_*.nii.gz"):
            none = False
            name = path.name.removesuffix(".nii.gz")
            mask = masks / f"{name}_mask.nii.gz"
            yield Case(
                id=name,
                patient=name,
                kind="normal" if grade == "CT-0" else "covid",
                image=Image(paths=(path,)),
                lesions=Mask(path=mask) if mask.exists() else None,
                without_lesions=grade == "CT-0",
                facts={"grade": grade},
            )
    if none:
        raise not_here(folder, LAYOUT)


DATA_SET = DataSet(
    name="mosmed-1110",
    title="Mosmed-1110",
    url="https://mosmed.ai/en/datasets/covid191110/",
    licence="CC BY-NC-ND 3.0",
    citation="Morozov et al., MosMedData: Chest CT Scans with COVID-19 Related Findings, medRxiv 2020.05.20.20100362",
    masks="lesions of 50 studies: 1 ground glass or consolidation; CT-0: none by its grade; no lungs",
    classes=("covid", "normal"),
    size="1,110 studies: 254 CT-0, 684 CT-1, 125 CT-2, 45 CT-3, 2 CT-4; every tenth slice (8 mm)",
    layout=LAYOUT,
    cases=cases,
    expected=tuple(f"study_{n:04}" for n in range(1, 1111)),
)
