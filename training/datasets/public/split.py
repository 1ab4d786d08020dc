"""Which part a patient belongs to: decided once and for ever by his identifier, so that no file has to be kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import accumulate

from training.datasets.public.case import Case, DataSet

TRAIN, VALIDATION, TEST = PARTS = ("train", "validation", "test")


def part(data_set: str, patient: str, shares: Mapping[str, float]) -> str:
    """The part of a patient: his hash as a number from 0 to 1, against the shares one after the other. It hangs on
    nothing else: new patients leave the old ones where they were."""
    digest = hashlib.sha256(f"{data_set}\n{patient}".encode()).digest()
    drawn = int.from_bytes(digest[:8]) / 2**64 * sum(shares.values())
    for name, end in zip(shares, accumulate(shares.values()), strict=True):
        if drawn < end:
            return name
    return list(shares)[-1]


def part_of(case: Case, data_set: DataSet) -> str:
    """As published or as the researcher says; else by the patient."""
    return case.split or part(data_set.name, case.patient, data_set.shares)


def in_two_parts(placed: Iterable[tuple[str, str, str]]) -> list[tuple[str, ...]]:
    """Of (case, patient, part): the cases of each patient who is in more than one part."""
    cases: dict[str, list[str]] = {}
    parts: dict[str, set[str]] = {}
    for case, patient, where in placed:
        cases.setdefault(patient, []).append(case)
        parts.setdefault(patient, set()).add(where)
    return [tuple(cases[patient]) for patient, found in parts.items() if len(found) > 1]
