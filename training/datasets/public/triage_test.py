"""The test set of CT triage as its authors released it with the journal's version; it is not quite the paper's 101.

NIfTI files by what patients have, and for those with COVID-19 a mask of ground glass and consolidation of each of two
raters. The paper averages over raters; read is the first by name. Nodules are no pneumonia, and "others" to nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.datasets.public.case import Case, DataSet, Image, Mask
from training.datasets.public.layout import files, found, not_here, without_suffix

LAYOUT = "covid/images/*.nii.gz, covid/masks/<id>/<rater>.nii.gz, bacterial_pneumonia/, nodules/ and normal/images/"
FOLDERS = {"covid": "covid", "bacterial_pneumonia": "cap", "nodules": "other", "normal": "normal"}


def cases(folder: Path) -> Iterator[Case]:
    homes = {name: found(folder, f"{name}/images") for name in FOLDERS}
    if not any(homes.values()):
        raise not_here(folder, LAYOUT)
    for name, kind in FOLDERS.items():
        for path in files(homes[name] or folder / name, "*.nii.gz"):
            case = without_suffix(path)
            raters = files(path.parents[1] / "masks" / case, "*.nii.gz")
            yield Case(
                id=f"{name} {case}",
                patient=f"{name} {case}",
                kind=kind,
                image=Image(paths=(path,)),
                lesions=Mask(path=raters[0], known=None, by_place=True) if raters else None,
                without_lesions=kind == "normal",
                facts={"raters": str(len(raters))} if kind == "covid" else {},
            )


DATA_SET = DataSet(
    name="ct-triage-test",
    title="Test set of CT triage",
    url="https://github.com/neuro-ml/COVID-19-Triage (links)",
    licence="not stated; parts are of Mosmed data sets, with their licences",
    citation="Goncharov et al., CT-based COVID-19 triage, Medical Image Analysis 71:102054, 2021",
    masks="lesions of COVID-19: ground glass and consolidation, first of two raters; normal: none; no lungs",
    classes=("covid", "cap", "other", "normal"),
    size="the paper: 33 with COVID-19, 32 healthy, 36 with pneumonia or atelectasis; the release differs",
    layout=LAYOUT,
    shares={"test": 1.0},
    cases=cases,
    note="for testing only",
)
