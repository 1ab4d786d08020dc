"""COVID-CT (UCSD-AI4H): pictures cut out of preprints; Amyar et al. use them.

They are what a journal printed: no HU, no scale, no masks, labels and arrows left in. A file is named for its paper, so
all pictures of a paper are kept in one part: its patients are among them. Amyar et al. ignore the publishers' lists,
and so does the split here; what they say is kept as a fact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from training.datasets.public.case import HU, LUNGS, MM, Case, DataSet, Image
from training.datasets.public.files import PICTURES
from training.datasets.public.layout import files, found, not_here

LAYOUT = "CT_COVID/*.png and CT_NonCOVID/*.png, *.jpg (out of the zips of Images-processed), Data-split/ where wanted"
FOLDERS = {"CT_COVID": "covid", "CT_NonCOVID": "other"}  # not COVID-19: normal or another disease, it is not said
GREY_HU = (-1350.0, 150.0)  # the lung window that such pictures usually show; nobody knows
LISTS = ("train", "val", "test")


def cases(folder: Path) -> Iterator[Case]:
    pictures = {name: found(folder, name, f"Images-processed/{name}") for name in FOLDERS}
    if not any(pictures.values()):
        raise not_here(folder, LAYOUT)
    published = _published(folder)
    for name, place in pictures.items():
        for path in files(place, "*") if place else ():
            if path.suffix.lower() in PICTURES:
                yield Case(
                    id=f"{FOLDERS[name]} {path.name}",
                    patient=f"{FOLDERS[name]} {paper(path.stem)}",
                    kind=FOLDERS[name],
                    image=Image(paths=(path,), grey_hu=GREY_HU),
                    unknown=frozenset({MM, HU, LUNGS}),
                    facts={"published list": published.get(path.name, "none")},
                )


def paper(stem: str) -> str:
    """What a picture's name says of its source: "2020.01.24.919183-p27-132" is of 2020.01.24.919183, "12%1" of 12."""
    whole = stem.partition("%")[0]
    head, page, _ = whole.rpartition("-p")
    return head if page else whole


def _published(folder: Path) -> Mapping[str, str]:
    lists = found(folder, "Data-split")
    listed = {}
    for name in FOLDERS if lists else ():
        for part in LISTS:
            path = Path(str(lists)) / name.removeprefix("CT_") / f"{part}{name}.txt"
            if path.is_file():
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                    listed[line.strip()] = part
    return listed


DATA_SET = DataSet(
    name="covid-ct",
    title="COVID-CT",
    url="https://github.com/UCSD-AI4H/COVID-CT",
    licence="not stated; the pictures belong to the authors and publishers of the papers",
    citation="Zhao et al., COVID-CT-Dataset: a CT scan dataset about COVID-19, arXiv 2003.13865, 2020",
    masks="none",
    classes=("covid", "other"),
    size="349 pictures of 216 patients with COVID-19, 397 without",
    layout=LAYOUT,
    shares={"train": 0.8, "validation": 0.1, "test": 0.1},
    cases=cases,
    note="pictures alone, grey levels of unknown window and scale: for networks that stretch and spread each slice",
)
