"""A library of patients on disk (`triaged phantom --library`, `triaged data prepare`) as cases to judge by.

Its patients lie on the networks' grid (2 mm in-plane, some 12 mm between slices): good for a look at a training, while
`heldout` has native pixels and spacings that nobody trained on.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.volume import Volume
from training.cases import Cases, HeldOut
from training.datasets.public.case import MM
from training.datasets.public.split import PARTS, TEST
from training.datasets.published import CHOSEN_BY, PublishedCases, sides
from training.datasets.stored import INDEX, VALIDATION, DataError, StoredLibrary

PHANTOM = "phantom"
APART = ("covid", "cap", "normal", "atelectasis")


@dataclass(frozen=True, kw_only=True)
class LibraryCases:
    """The patients of one folder; of a folder with train/ and others, those it tests by, or else validates by."""

    folder: Path
    limit: int | None = None
    name: str = PHANTOM

    @property
    def synthetic(self) -> bool:
        return _opened(self._place).synthetic

    @property
    def description(self) -> str:
        chosen = CHOSEN_BY if self._place == self.folder / VALIDATION else ""
        return f"{_opened(self._place).description}, at 2 mm in-plane{chosen}"

    def __len__(self) -> int:
        there = len(_opened(self._place).kinds)
        return there if self.limit is None else min(self.limit, there)

    def origin(self, number: int) -> str:
        return f"{_opened(self._place).digest} {number}"

    def __getitem__(self, number: int) -> HeldOut:
        """Raises DataError on a file that the index does not describe."""
        patient, entry = _opened(self._place)[number], _entries(self._place)[number]
        # Stored from foot to head, rows to the back, columns to the left.
        affine = np.zeros((4, 4))
        affine[2, 0], affine[1, 1], affine[0, 2] = patient.spacing_mm
        affine[3, 3] = 1.0
        volume = Volume(hu=patient.hu, affine_lps=affine)
        kind = str(entry.get("drawn", entry["kind"]))
        return HeldOut(
            name=f"{kind} {number:05}",
            kind=kind if kind in APART else "other",
            volume=volume,
            labels=sides(patient.lungs, volume),
            lesions=patient.lesions if patient.annotated else None,
            descriptors=entry.get("descriptors", {}),
            groups={"slice spacing": f"{patient.spacing_mm[0]:.0f} mm", **entry.get("facts", {})},
            picture=MM in entry.get("unknown", ()),
        )

    @property
    def _place(self) -> Path:
        places = (self.folder / TEST, self.folder / VALIDATION)
        return next((place for place in places if (place / INDEX).is_file()), self.folder)


def cases_in(name: str, folder: Path, limit: int | None = None) -> Cases:
    """The cases of a data set to judge by: of a library where the folder is one, and of drawn patients always; else as
    the data set is published. DataError comes with the first question."""
    if name == PHANTOM or any((folder / part / INDEX).is_file() for part in ("", *PARTS)):
        return LibraryCases(folder=folder, limit=limit, name=name)
    return PublishedCases(folder=folder, limit=limit, name=name)


@functools.cache
def _opened(folder: Path) -> StoredLibrary:
    return StoredLibrary(folder)


@functools.cache
def _entries(folder: Path) -> list[dict[str, Any]]:
    """What the index says of each patient; `_opened` has seen that it is one."""
    found: list[dict[str, Any]] = json.loads((folder / INDEX).read_text(encoding="utf-8"))["patients"]
    return found


__all__ = ["DataError", "LibraryCases", "cases_in"]
