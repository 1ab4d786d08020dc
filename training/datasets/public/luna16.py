"""LUNA16: 888 CTs of LIDC-IDRI with lungs and nodules; CT triage learns lungs from it, and its U-Net+ that COVID-19 is
not there.

Lungs are an algorithm's, not drawn: 3 left lung, 4 right lung, 5 airways (which stay out). They may lose what is dense.
All were scanned before 2011, so lesions of COVID-19 there are none, which is how CT triage uses them; consolidation of
another cause there may be. Patients are not named: each series is taken for one.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from training.datasets.public.case import Case, DataSet, Image, Mask, label
from training.datasets.public.layout import files, found, not_here, without_suffix

LAYOUT = "subset0/<series>.mhd with .raw ... subset9/, seg-lungs-LUNA16/<series>.mhd with .zraw, annotations.csv"
FOLDS = tuple(f"subset{n}" for n in range(10))
LEFT, RIGHT, AIRWAYS = 3, 4, 5


def cases(folder: Path) -> Iterator[Case]:
    masks = found(folder, "seg-lungs-LUNA16")
    nodules = _with_nodules(folder / "annotations.csv")
    none = True
    for fold in FOLDS:
        for path in files(found(folder, fold) or folder / fold, "*.mhd"):
            none = False
            series = without_suffix(path)
            lungs = None if masks is None else masks / path.name
            known = label(LEFT, RIGHT, AIRWAYS)
            marked = {} if nodules is None else {"nodules": "yes" if series in nodules else "no"}
            yield Case(
                id=series,
                patient=series,
                kind="other",
                image=Image(paths=(path,)),
                lungs=Mask(path=lungs, inside=label(LEFT, RIGHT), known=known) if lungs and lungs.exists() else None,
                without_lesions=True,
                facts={"fold": fold, **marked},
            )
    if none:
        raise not_here(folder, LAYOUT)


def _with_nodules(path: Path) -> set[str] | None:
    if not path.is_file():
        return None
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return {row.get("seriesuid", "") for row in csv.DictReader(stream)}


DATA_SET = DataSet(
    name="luna16",
    title="LUNA16",
    url="https://luna16.grand-challenge.org/Data/",
    licence="CC BY 4.0 (LIDC-IDRI: CC BY 3.0)",
    citation="Setio et al., Medical Image Analysis 42:1-13, 2017; Armato et al., Medical Physics 38:915-931, 2011",
    masks="lungs: 3 left, 4 right; 5, airways, is left out; lesions of COVID-19: none by the date",
    classes=("other",),
    size="888 CTs with slices up to 2.5 mm; CT triage leaves 7 out, which it does not name",
    layout=LAYOUT,
    cases=cases,
)
