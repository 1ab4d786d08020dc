"""The radiomic features of drawn patients as forests are fitted on: in the form of the real table (`ictcf`)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from models.feature_names import NAMES
from training.datasets import ictcf
from training.datasets.measured import feature_table
from training.datasets.simulated_labels import simulated_labels
from training.datasets.stored import TRAIN, VALIDATION, DataError, StoredLibrary, open_libraries


def features_of(folder: Path, grid_mm: float) -> Path:
    """The table of the drawn patients in FOLDER/train, and of those in FOLDER/validation as its test part: written
    beside them once. Raises DataError where there are none, and on patients who were not drawn: what the tests and the
    course of real ones were, nobody can make up."""
    libraries = dict(zip((TRAIN, VALIDATION), open_libraries(folder), strict=True))
    if not all(library.synthetic for library in libraries.values()):
        raise DataError(
            f"{folder} holds patients who were not drawn: forests need a table of their features and labels"
        )
    digest = "+".join(library.digest for library in libraries.values())
    path = folder / f"{digest[:16]}-{grid_mm:g}mm-features.csv"
    if not path.is_file():
        aside = path.with_suffix(".new")
        with aside.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            columns = [column for column, _ in ictcf.TASKS.values()]
            writer.writerow([*ictcf.PERSON, *columns, *NAMES, "split", ictcf.GRID])
            for number, row in enumerate(_rows(folder, libraries, grid_mm)):
                writer.writerow([number, ictcf.PHANTOM, 0, "unknown", *row, grid_mm])
        aside.replace(path)
    return path


def _rows(folder: Path, libraries: dict[str, StoredLibrary], grid_mm: float) -> Iterator[list[object]]:
    for (name, library), split in zip(libraries.items(), (ictcf.TRAIN, ictcf.TEST), strict=True):
        table = feature_table(folder / name, library, grid_mm)
        for number, kind in enumerate(library.kinds):
            patient = library[number]
            affected = float((patient.lesions & patient.lungs).sum() / patient.lungs.sum())
            labels = simulated_labels(kind, affected)
            # repr of a float64 of each: a float32 would be read back as another number.
            values = [float(value) for value in table[number].astype("float64")]
            yield [*(labels[task] for task in ictcf.TASKS), *values, split]
