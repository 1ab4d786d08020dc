"""Patients in bulk, on the grid the networks see: drawn, scanned at native pixels, reduced, kept on disk.

A patient is reduced by the code that serves (`models.grid`). Each lies in a file of its own as soon as it is drawn, so
that a library can be stopped, resumed and lengthened; the index comes last. `training.datasets.stored` reads it.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training.datasets.stored import INDEX, StoredLibrary, StoredPatient, on_grid
from training.phantom.case import Patient, Rendered
from training.phantom.descriptors import descriptors
from training.phantom.population import MAIN, Drawn, Habits, Kind, draw

PIXEL_MM = 2.0  # CT triage, 2.1
VERSION = 4  # of the generator: a patient drawn by another is drawn anew
WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which patients: `count` of a place, from `first_seed` on; every seed is one patient for ever."""

    count: int
    habits: Habits = MAIN
    first_seed: int = 0
    kind: Kind | None = None  # None: drawn by their shares
    slices: int | None = None  # None: 24 to 32
    pixel_mm: float = PIXEL_MM

    @property
    def description(self) -> str:
        what = "patients" if self.kind is None else self.kind.value
        return f"{self.count} synthetic {what}, generator {VERSION} {self.habits.name}, from seed {self.first_seed}"


def scanned(plan: Plan, number: int) -> tuple[Drawn, Rendered]:
    """The `number`-th patient of a plan at native pixels."""
    drawn = draw(plan.first_seed + number, kind=plan.kind, habits=plan.habits, slices=plan.slices)
    return drawn, Patient(drawn.phantom).scan(drawn.scan)


def cases(plan: Plan) -> Iterator[tuple[Drawn, Rendered]]:
    """Patients one after the other at native pixels, for evaluations that need no cache."""
    for number in range(plan.count):
        yield scanned(plan, number)


def reduced(shown: Rendered, pixel_mm: float = PIXEL_MM) -> StoredPatient:
    """A scan on the networks' grid."""
    truth = shown.truth
    return on_grid(shown.volume, truth.right_lung | truth.left_lung, truth.right_lesion | truth.left_lesion, pixel_mm)


def generate(
    folder: Path, plan: Plan, *, workers: int = WORKERS, drawn: Callable[[int], None] = lambda number: None
) -> StoredLibrary:
    """Draw what is missing of a plan into `folder` and open it. `drawn` hears of each patient as it is done."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(plan.count)
    jobs = [(folder, plan, number) for number in numbers]
    if workers <= 1:
        entries = []
        for job in jobs:
            entries.append(_kept(*job))
            drawn(job[2])
    else:
        # Spawned, not forked: the caller may have threads.
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            entries = []
            for number, entry in enumerate(pool.map(_kept, *zip(*jobs, strict=True))):
                entries.append(entry)
                drawn(number)
    index = {"description": plan.description, "patients": entries}
    _write(folder / INDEX, json.dumps(index, indent=1) + "\n")
    return StoredLibrary(folder)


def _kept(folder: Path, plan: Plan, number: int) -> dict[str, object]:
    """The index entry of one patient, drawn unless he is there already."""
    path, beside = folder / f"{number:05}.npz", folder / f"{number:05}.json"
    origin = _origin(plan, number)
    if path.is_file() and beside.is_file():
        entry: dict[str, object] = json.loads(beside.read_text(encoding="utf-8"))
        if entry["origin"] == origin:
            return entry
    drawn, shown = scanned(plan, number)
    patient = reduced(shown, plan.pixel_mm)
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(
        temporary, hu=patient.hu, lungs=patient.lungs, lesions=patient.lesions, spacing_mm=patient.spacing_mm
    )
    temporary.replace(path)
    entry = {
        "kind": drawn.label.value,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "drawn": drawn.kind.value,
        "crossed": drawn.crossed,
        "white_lung": drawn.white_lung,
        "right_ml": round(shown.truth.right_ml, 1),
        "left_ml": round(shown.truth.left_ml, 1),
        "descriptors": descriptors(patient.hu, patient.lungs, patient.lesions, patient.spacing_mm),
        "origin": origin,
    }
    _write(beside, json.dumps(entry) + "\n")
    return entry


def _origin(plan: Plan, number: int) -> dict[str, object]:
    """What decides how a patient looks, as plain values."""
    return {
        "version": VERSION,
        "seed": plan.first_seed + number,
        "habits": json.loads(json.dumps(asdict(plan.habits))),
        "kind": plan.kind,
        "slices": plan.slices,
        "pixel_mm": plan.pixel_mm,
    }


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
