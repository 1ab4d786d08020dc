"""A public data set, or a researcher's own folder, as cases to judge by: at native pixels, as it was unpacked.

Judged by is its test part; where it has none, what it holds back to choose checkpoints by. What nobody drew or knows is
not scored: a case without lungs has no lung Dice and no true severity, its lesions can be scored all the same.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.classical import body_mask
from models.sides import middle_of, split
from models.volume import Volume
from training.cases import HeldOut
from training.datasets.public import scanner
from training.datasets.public.case import MM, Case
from training.datasets.public.files import Malformed, opened
from training.datasets.public.registry import cases_of, data_set
from training.datasets.public.split import TEST, TRAIN, VALIDATION, part_of
from training.datasets.stored import DataError

CHOSEN_BY = "; checkpoints may have been chosen by these"


@dataclass(frozen=True, kw_only=True)
class PublishedCases:
    """The cases of the data set `name` in a folder."""

    name: str
    folder: Path
    limit: int | None = None
    synthetic: bool = False

    @property
    def description(self) -> str:
        part, cases = _judged_by(self.name, self.folder)
        return f"{data_set(self.name).title}: {len(cases)} cases of its {part} part{CHOSEN_BY * (part == VALIDATION)}"

    def __len__(self) -> int:
        there = len(_judged_by(self.name, self.folder)[1])
        return there if self.limit is None else min(self.limit, there)

    def origin(self, number: int) -> str:
        """Name, size and time of every file of the case."""
        case = self._case(number)
        masks = [mask for mask in (case.lungs, *case.not_lungs, case.lesions) if mask is not None]
        paths = [*case.image.paths, *(mask.path for mask in masks)]
        facts = [(str(p), (stat := p.stat()).st_size, stat.st_mtime_ns) for p in paths if p.is_file()]
        said = [case.id, case.image.slice, case.image.grey_hu, *(repr(mask) for mask in masks), facts]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def __getitem__(self, number: int) -> HeldOut:
        """Raises DataError on a case that is malformed."""
        case = self._case(number)
        try:
            found = opened(case)
        except Malformed as error:
            advice = f"`triaged data check {self.name}` tells of every case"
            raise DataError(f"{case.id}: {error.words} ({advice})") from error
        return HeldOut(
            name=case.id,
            kind=case.kind,
            volume=found.volume,
            labels=None if found.lungs is None else sides(found.lungs, found.volume),
            lesions=found.lesions,
            groups=_groups(case, found.volume),
            picture=MM in case.unknown,
        )

    def _case(self, number: int) -> Case:
        return _judged_by(self.name, self.folder)[1][number]


def sides(lungs: NDArray[np.bool_], volume: Volume) -> NDArray[np.uint8]:
    """Lungs as right and left, on both sides of the middle of the body."""
    middle_mm = middle_of(body_mask(volume.hu, volume.spacing_mm), volume.affine_lps)
    return split(lungs, volume.affine_lps, oriented=True, middle_mm=middle_mm)


@functools.cache
def _judged_by(name: str, folder: Path) -> tuple[str, tuple[Case, ...]]:
    """Which part, and its cases. Raises DataError where there is none."""
    known = data_set(name)
    parts: dict[str, list[Case]] = {TRAIN: [], VALIDATION: [], TEST: []}
    for case in cases_of(known, folder):
        parts[part_of(case, known)].append(case)
    for part in (TEST, VALIDATION):
        if parts[part]:
            return part, tuple(parts[part])
    advice = "add cases, or name the part of each in a column split" if name == "own" else "add cases"
    raise DataError(f"of {len(parts[TRAIN])} cases in {folder} none is to judge by, all are to train on: {advice}")


def _groups(case: Case, volume: Volume) -> dict[str, str]:
    spacing = {} if MM in case.unknown else {"slice spacing": f"{volume.spacing_mm[0]:.0f} mm"}
    return {**spacing, **scanner.facts(case.image), **case.facts}
