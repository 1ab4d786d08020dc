"""A data set brought onto the networks' grid, in the form of a library that every recipe reads.

What the data set does not say stays open: a case without drawn lesions is "not annotated", lungs that a model found are
named as its, and pixels, HU or lungs that nobody knows are said to be unknown, so that only such networks are trained
on them as do not ask. Several data sets can go into one library, one after the other; a case that is there is not
prepared again, so an interrupted preparation goes on where it was. Who a patient is does not enter the library: a
digest of his identifier does, and the name of the case.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.predict import LungsPredictor, resolve
from models.volume import Volume
from training.datasets.public import scanner
from training.datasets.public.case import LUNGS, MM, Case, DataSet
from training.datasets.public.check import is_annotated, require_kind, require_place
from training.datasets.public.files import NOMINAL_MM, Fault, Malformed, Opened, opened
from training.datasets.public.registry import DATA_SETS, cases_of
from training.datasets.public.split import PARTS, part_of
from training.datasets.stored import INDEX, DataError, StoredPatient, indexed, on_grid, saved

PIXEL_MM = NOMINAL_MM  # CT triage, 2.1: the grid of the synthetic libraries too
BY_DATA_SET, WHOLE_PICTURE = "data set", "whole picture"
Entry = Mapping[str, Any]
Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `triaged data prepare` is told. `lungs`: a model for cases without a lung mask; `slice_mm`: leave slices out
    until they lie at least so far apart; `leave_out`: go on where a case is malformed."""

    lungs: str | None = None
    slice_mm: float | None = None
    leave_out: bool = False
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """How many patients of which kind each part of the library has, and what was left out, with the reason."""

    parts: Mapping[str, Mapping[str, int]]
    annotated: int
    left_out: Sequence[tuple[str, str]]


def prepare(
    data_set: DataSet,
    folder: Path,
    library: Path,
    settings: Settings | None = None,
    progress: Progress = lambda words: None,
) -> Prepared:
    """Add the cases of a data set to a library. Raises DataError where that is not possible, saying what to do."""
    how = settings or Settings()
    shelves = {part: _Shelf(library / part) for part in PARTS}
    there = {case: part for part, shelf in shelves.items() for case in shelf.cases()}
    patients = {str(e["patient"]): part for part, shelf in shelves.items() for e in shelf.entries}
    left_out: list[tuple[str, str]] = []
    named: set[str] = set()
    for number, case in enumerate(cases_of(data_set, folder)):
        if (data_set.name, case.id) in there:
            continue
        progress(f"{number + 1}: {case.id}")
        if case.id in named:
            raise DataError(f"there are two cases {case.id}: keep one, or give them names of their own")
        named.add(case.id)
        part, patient = part_of(case, data_set), _digest(data_set, case)
        if patients.setdefault(patient, part) != part:
            raise DataError(f"{case.id}: its patient is in {patients[patient]} already, and would be in {part} too")
        try:
            require_kind(case, data_set)
            stored, lungs_by = _brought(case, how)
        except Malformed as error:
            if not how.leave_out:
                words = "Put it right (data check tells of every case), or leave such cases out (--leave-out)"
                raise DataError(f"{case.id}: {error.words}. {words}") from error
            left_out.append((case.id, error.words))
            continue
        shelves[part].add(stored, _entry(data_set, case, patient, lungs_by))
    for shelf in shelves.values():
        shelf.close()
    entries = [entry for shelf in shelves.values() for entry in shelf.entries]
    if not entries:
        raise DataError(f"{data_set.title}: no case in {folder} could be prepared")
    return Prepared(
        parts={part: dict(Counter(str(e["kind"]) for e in s.entries)) for part, s in shelves.items() if s.entries},
        annotated=sum(bool(e["annotated"]) for e in entries),
        left_out=left_out,
    )


class _Shelf:
    """One part of a library, which can be added to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.entries: list[Entry] = []
        if (folder / INDEX).is_file():
            try:
                index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
                self.entries = list(index["patients"])
                synthetic = bool(index.get("synthetic", True))
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{folder / INDEX} is not readable: remove the library and prepare it anew") from error
            if synthetic and self.entries:
                raise DataError(f"{folder} holds synthetic patients: choose another folder for real ones")

    def cases(self) -> list[tuple[str, str]]:
        return [(str(e["source"]), str(e["case"])) for e in self.entries]

    def add(self, patient: StoredPatient, entry: Entry) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.entries.append({**entry, "sha256": saved(self._folder, len(self.entries), patient)})
        self.close()

    def close(self) -> None:
        if self.entries:
            indexed(self._folder, self.entries, _described(self.entries), synthetic=False)


def _brought(case: Case, how: Settings) -> tuple[StoredPatient, str]:
    """A case on the grid, and who says where its lungs are."""
    found = opened(case)
    require_place(found)
    volume = _thinned(found, how.slice_mm)
    lungs, lungs_by = _lungs(case, volume, how)
    lesions = np.zeros(lungs.shape, np.bool_) if volume.lesions is None else volume.lesions
    # Consolidation is lung: a lung mask that stops before it does not hold here.
    patient = on_grid(volume.volume, lungs | lesions, lesions, PIXEL_MM, annotated=is_annotated(case))
    return patient, lungs_by


def _lungs(case: Case, found: Opened, how: Settings) -> tuple[NDArray[np.bool_], str]:
    if found.lungs is not None:
        lungs, by = found.lungs, BY_DATA_SET
    elif LUNGS in case.unknown:
        return np.ones(found.volume.shape, np.bool_), WHOLE_PICTURE
    elif how.lungs is None:
        raise DataError(f"{case.id} has no lung mask: name a model that finds lungs, such as --lungs lungs-unet")
    else:
        predictor = _predictor(how.lungs, how.device)
        lungs, by = predictor.lungs(found.volume).labels > 0, f"{predictor.card.name} {predictor.card.version}"
    if not lungs.any():
        raise Malformed(Fault.VALUES, f"no lungs according to {by}: is it a chest? Leave it out")
    return lungs, by


@functools.lru_cache(maxsize=1)
def _predictor(name: str, device: str) -> LungsPredictor:
    return resolve(name, "lungs", device)


def _thinned(found: Opened, slice_mm: float | None) -> Opened:
    """Every n-th slice, so that they lie at least `slice_mm` apart; none is made up."""
    step = 1 if slice_mm is None else max(1, int(np.ceil(slice_mm / found.volume.spacing_mm[0] - 1e-6)))
    if step == 1:
        return found
    affine = found.volume.affine_lps.copy()
    affine[:3, 0] *= step
    return Opened(
        volume=Volume(hu=np.ascontiguousarray(found.volume.hu[::step]), affine_lps=affine),
        lungs=None if found.lungs is None else found.lungs[::step],
        lesions=None if found.lesions is None else found.lesions[::step],
    )


def _digest(data_set: DataSet, case: Case) -> str:
    return hashlib.sha256(f"{data_set.name}\n{case.patient}".encode()).hexdigest()[:16]


def _entry(data_set: DataSet, case: Case, patient: str, lungs_by: str) -> Entry:
    return {
        "kind": case.kind,
        "annotated": is_annotated(case),
        "unknown": sorted(case.unknown),
        "source": data_set.name,
        "case": case.id,
        "patient": patient,
        "lungs": lungs_by,
        "facts": {**scanner.facts(case.image), **case.facts},
    }


def _described(entries: Sequence[Entry]) -> str:
    """For cards: "254 cases of Mosmed-1110; 120 with lesions annotated; lungs of 254 by lungs-unet 1"."""
    sources = Counter(str(e["source"]) for e in entries)
    named = " and ".join(
        f"{n} case{'s' * (n > 1)} of {DATA_SETS[name].title if name in DATA_SETS else name}"
        for name, n in sources.items()
    )
    by = Counter(str(e["lungs"]) for e in entries if e["lungs"] != BY_DATA_SET)
    lungs = [f"lungs of {n} by {name}" if name != WHOLE_PICTURE else f"no lungs of {n}" for name, n in by.items()]
    unknown = [f"pixel size of {n} unknown" for n in [sum(MM in e["unknown"] for e in entries)] if n]
    annotated = sum(bool(e["annotated"]) for e in entries)
    return "; ".join([named, f"{annotated} with lesions annotated", *lungs, *unknown])
