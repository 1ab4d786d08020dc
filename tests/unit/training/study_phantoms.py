"""A study's folder of phantoms, made of tiny patients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.unit.training.small_patients import patient, written
from training.datasets.stored import StoredPatient, store
from training.studydata import SHIFTED_TEST, TEST, StudyData

JUDGED = {"covid": 2, "normal": 2, "cap": 1}


def phantoms(folder: Path) -> StudyData:
    """Six to train on, six to choose by, and five for either set of cases; without descriptors."""
    written(folder)
    for at, name in enumerate((TEST, SHIFTED_TEST), start=1):
        for n, kind in enumerate(JUDGED):
            store(folder / name / kind, _patients(kind, 1000 * at + 100 * n), f"tiny {kind}")
    return StudyData(folder=folder)


def _patients(kind: str, first: int) -> Iterator[tuple[str, StoredPatient]]:
    for n in range(JUDGED[kind]):
        yield kind, patient(first + n, lesion=kind in ("covid", "cap"))
