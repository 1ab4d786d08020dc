"""iCTCF (HUST-19), of which COVID-MTL is made: patients of two hospitals in Wuhan with CT, swab and course.

An archive per patient, unpacked side by side: DICOM instances in "Patient N/CT" (its JPEG form has lost HU and scale,
and cannot be trained on). What is known of each patient stands in the authors' Patients.xlsx (data/ of their
repository), saved as CSV. Severity is theirs: control and suspected 0, mild and regular 1, severe and critically ill 2.
A swab that is positive makes a patient one with COVID-19; of the others it is not said what they have.

Where the feature table lies beside them, the split is the paper's: its 399 patients test, and of its 930 a tenth is
held out here to choose by; the thirteen scans that the authors could not use are left out. The masked volumes that they
offer as "Patient-N.dcm" are no standard DICOM and are not read. `training.datasets.ictcf` reads the feature table.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from training.datasets import ictcf as features
from training.datasets.public.case import Case, DataSet, Image
from training.datasets.public.layout import files, not_here
from training.datasets.public.split import TEST, part
from training.datasets.stored import DataError

NAME = "ictcf"
REGISTRY, TABLES = "Patients.csv", ("features.csv", "features.csv.gz")
PATIENT, HOSPITAL, NAT, CT, MORBIDITY = "Patient", "Hospital", "SARS-CoV-2 nucleic acids", "CT", "Morbidity"
SEVERITY = {"control": 0, "suspected": 0, "mild": 1, "regular": 1, "severe": 2, "critically ill": 2}
RESULTS = {"positive": 1, "+": 1, "1": 1, "negative": 0, "-": 0, "0": 0}
HELD_OUT = {"train": 0.9, "validation": 0.1}
LAYOUT = f"{REGISTRY} (Patients.xlsx as CSV), Patient 1/CT/*.dcm ..., {TABLES[1]} (the feature table) for the split"


def cases(folder: Path) -> Iterator[Case]:
    registry = folder / REGISTRY
    if not registry.is_file():
        raise not_here(folder, LAYOUT)
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    trained_on = None if table is None else _trained_on(table)
    for line, row in _rows(registry):
        number = row[PATIENT].removeprefix("Patient").strip()
        home = folder / f"Patient {number}" / "CT"
        known = trained_on is None or number in trained_on
        if home.is_dir() and known:
            labels = _labels(registry, line, row)
            yield Case(
                id=f"Patient {number}",
                patient=number,
                kind="covid" if labels.get("NAT") == "1" else "other",
                image=Image(paths=tuple(files(home, "*.dcm")) or (home / "*.dcm",)),
                split=None if trained_on is None else _part(number, trained=trained_on[number]),
                facts={**labels, "hospital": row[HOSPITAL]},
            )


def _part(patient: str, *, trained: bool) -> str:
    return part(NAME, patient, HELD_OUT) if trained else TEST


def _trained_on(path: Path) -> Mapping[str, bool]:
    table = features.read(path)
    return {str(patient): bool(train) for patient, train in zip(table.patients, table.train, strict=True)}


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [c for c in (PATIENT, HOSPITAL, NAT, CT, MORBIDITY) if c not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path.name} lacks the column {', '.join(missing)}: save Patients.xlsx as it is")
            for row in reader:
                yield reader.line_num, {str(k): str(v or "").strip() for k, v in row.items()}
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read ({type(error).__name__}): save Patients.xlsx as CSV") from error


def _labels(path: Path, line: int, row: Mapping[str, str]) -> dict[str, str]:
    """By task, as numbers; what is not known is left out. Raises DataError on a word that means nothing."""
    found = {}
    for task, column, meanings in (("CT", CT, RESULTS), ("NAT", NAT, RESULTS), ("severity", MORBIDITY, SEVERITY)):
        said = row[column].lower()
        if said in ("", "n/a", "na"):
            continue
        if said not in meanings:
            raise DataError(f"{path.name}, line {line}: {column} is {row[column]!r}, none of {', '.join(meanings)}")
        found[task] = str(meanings[said])
    return found


DATA_SET = DataSet(
    name=NAME,
    title="iCTCF (HUST-19)",
    url="https://ngdc.cncb.ac.cn/ictcf/ and https://github.com/guoqingbao/COVID-MTL (registry, features)",
    licence="not stated with the features; the images as ngdc.cncb.ac.cn states it",
    citation="Ning et al., Nature Biomedical Engineering 4:1197-1207, 2020; Bao et al., Pattern Recognition 2022",
    masks="none",
    classes=("covid", "other"),
    size="1,521 patients of two hospitals in Wuhan, 1,342 with CT; 1,329 in the feature table",
    layout=LAYOUT,
    cases=cases,
    note="labels of CT, NAT and severity come along; for the feature table: triaged tables covid-mtl --data ictcf=FILE",
)
