"""Model 32 by name, for `triaged train`: its thresholds searched for on patients whose lesions are known.

CT triage (Goncharov et al., section 4.3) takes the values whose lesions have the highest mean Dice over its annotated
training scans, and does not print its grid. Ours is around the values it found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import zoo
from models.bundle import save_bundle
from models.grid import in_plane_shape, resample_hu, resample_mask
from models.morphology import components
from models.thresholding import ARCHITECTURE, Thresholding, dense, fewest, lesions
from training.atonce import Described, planned, require_new, write_manifest
from training.datasets.phantom import Patient, volume_of
from training.datasets.stored import DataError, StoredLibrary, open_libraries
from training.scores import dice
from training.train import BUNDLE, Trained

NAME = "thresholding"
DICE = "lesion Dice"
HU_MIN = (-800.0, -750.0, -700.0, -650.0, -600.0, -500.0)
HU_MAX = (100.0, 300.0)
SIGMA = (1.0, 2.0, 4.0, 6.0)  # pixels
SMALLEST = (0.0, 0.0005, 0.001, 0.002, 0.005)  # V_min, of the lung volume
COARSE = ((-700.0, -500.0), (300.0,), (1.0, 4.0), (0.0, 0.001))

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--set` changes. `patients`: at most so many with lesions, evenly spread; 0: all. `coarse`: a grid of 8
    settings instead of 240."""

    patients: int = 0
    coarse: bool = False


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(patients=40),
    "tiny": Plan(patients=2, coarse=True),
}


def train(name: str, *, scale: str, changes: Sequence[str], data: Path, out: Path) -> Trained:
    """Search on the annotated patients of data/train, judge on those of data/validation, and write out/bundle.

    Raises TrainingError where the folder holds a training, DataError where nobody's lesions are known.
    """
    plan = planned(name, scale, SCALES, changes)
    require_new(out)
    patients, held_out = open_libraries(data)
    found, reached = search(_with_lesions(patients, plan.patients), plan)
    judged = [_dice(patient, found) for patient in _with_lesions(held_out, plan.patients)]
    scores = {DICE: float(np.mean(judged)), f"{DICE}, searched on": reached}
    described = f"{patients.description}; judged on {held_out.description}"
    card = replace(
        zoo.METHODS[NAME],
        name=f"{NAME}-{scale}",
        thresholds=found.thresholds,
        training_data=described,
        synthetic=patients.synthetic or held_out.synthetic,
        scores={score: round(value, 4) for score, value in scores.items()},
        architecture=ARCHITECTURE,
    )
    save_bundle(out / BUNDLE, card, {})
    whose = Described(digest=f"{patients.digest}+{held_out.digest}", description=described)
    write_manifest(out, name, scale, plan, whose)
    return Trained(bundle=out / BUNDLE, scores=scores, best_step=None)


def search(patients: list[Patient], plan: Plan) -> tuple[Thresholding, float]:
    """The settings whose lesions have the highest mean Dice over these patients, and that; of equals the first."""
    grid = settings(plan)
    total: Values = np.sum([_of_grid(patient, grid) for patient in patients], axis=0)
    best = int(total.argmax())
    return grid[best], float(total[best]) / len(patients)


def settings(plan: Plan) -> list[Thresholding]:
    """All that are tried."""
    axes = COARSE if plan.coarse else (HU_MIN, HU_MAX, SIGMA, SMALLEST)
    return [Thresholding(hu_min=a, hu_max=b, sigma=c, smallest=d) for a, b, c, d in product(*axes)]


def _of_grid(patient: Patient, grid: list[Thresholding]) -> Values:
    """Dice of each setting on one patient. Those that differ in the smallest size alone share their components."""
    volume = volume_of(patient)
    shape = in_plane_shape(volume.shape, volume.spacing_mm[1:], grid[0].grid_mm)
    hu, inside = resample_hu(volume.hu, shape), resample_mask(patient.lungs, shape)
    truth = resample_mask(patient.lesions & patient.lungs, shape)
    counted: dict[Thresholding, tuple[NDArray[Any], NDArray[Any]]] = {}
    found = []
    for setting in grid:
        key = replace(setting, smallest=0.0)
        if key not in counted:
            labelled = components(dense(hu, inside, setting), corners=True)
            many = int(labelled.max()) + 1
            counted[key] = (np.bincount(labelled.ravel(), minlength=many), np.bincount(labelled[truth], minlength=many))
        sizes, overlaps = (counts[1:] for counts in counted[key])
        kept = sizes >= max(1, fewest(inside, setting))
        found.append(2.0 * overlaps[kept].sum() / max(1, sizes[kept].sum() + truth.sum()))
    return np.array(found, np.float64)


def _dice(patient: Patient, setting: Thresholding) -> float:
    """As it serves."""
    return dice(lesions(volume_of(patient), patient.lungs, setting), patient.lesions & patient.lungs)


def _with_lesions(library: StoredLibrary, most: int) -> list[Patient]:
    """Annotated patients who have some, of any kind."""
    annotated = [n for n, told in enumerate(library.annotated) if told]
    there = [n for n in annotated if (library[n].lesions & library[n].lungs).any()]
    if not there:
        raise DataError(f"{library.description}: nobody's lesions are known; add annotated patients to search on")
    chosen = np.linspace(0, len(there) - 1, min(most or len(there), len(there))).round().astype(int)
    return [library[there[i]] for i in dict.fromkeys(chosen.tolist())]
