"""One case through one pipeline, in numbers; and what remains of a case once its volume is gone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.cards import Card
from models.pipeline import Pipeline, Prediction
from models.predict import TriageResult
from models.refusal import NotAVolume
from models.severity import severity
from training.cases import HeldOut
from training.overlap import overlap, slice_wise
from training.scores import dice

VERSION = 3  # of what is measured: measurements kept under another are made again
NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case without its volume. `fraction`: truly affected, of the worse lung; nan where the data set does not say."""

    name: str
    kind: str
    fraction: float
    descriptors: Mapping[str, float]
    groups: Mapping[str, str] = field(default_factory=dict)
    lesion_ml: float = NAN  # true lesions, in the lungs or where lungs are not known; nan where nobody says

    @property
    def has_lesions(self) -> bool:
        return self.fraction > 0 or self.lesion_ml > 0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one pipeline made of one case. nan: the model or the data set does not say. A refused case has found
    nothing, as it would stay where it stood in the list."""

    lung_dice: float
    lesion_dice: float
    fraction: float  # affected, of the worse lung
    score: float  # the probability; of a model that gives none, the fraction (MODELS.md 36)
    seconds: float  # of the whole pipeline, reading left out
    refused: bool = False
    is_probability: bool = False  # what `score` is
    classes: Mapping[str, float] = field(default_factory=dict)  # probability of each; empty: the model does not say
    masks: Mapping[str, float] = field(default_factory=dict)  # what else the masks score (training.overlap)

    @property
    def severity(self) -> float:
        return self.score if np.isnan(self.fraction) else self.fraction


def remaining(case: HeldOut) -> Case:
    """The case without its volume."""
    truth = NAN
    if case.labels is not None and case.lesions is not None:
        truth = severity(case.labels, case.lesions, case.volume.voxel_ml).fraction
    return Case(
        name=case.name,
        kind=case.kind,
        fraction=truth,
        descriptors=case.descriptors,
        groups=case.groups,
        lesion_ml=NAN if case.lesions is None else float(case.lesions.sum()) * case.volume.voxel_ml,
    )


def measure(pipeline: Pipeline, case: HeldOut, *, surfaces: bool = False) -> Measured:
    """One case through one pipeline; `surfaces`: with their distances, which may take longer than the pipeline."""
    began = time.perf_counter()
    try:
        found = pipeline.run(case.volume)
    except NotAVolume:
        seconds = time.perf_counter() - began
        nothing = np.zeros(case.volume.shape, np.bool_)
        scored = _masks(nothing, nothing, case, surfaces=surfaces)
        return Measured(
            lung_dice=scored.lung_dice,
            lesion_dice=scored.lesion_dice,
            masks=scored.others,
            fraction=0.0,
            score=0.0,
            seconds=seconds,
            refused=True,
        )
    return measured_of(found, pipeline.triage_card, case, time.perf_counter() - began, surfaces=surfaces)


def measured_of(found: Prediction, card: Card, case: HeldOut, seconds: float, *, surfaces: bool = False) -> Measured:
    """A prediction held against the truth; `card`: of the triage model."""
    fraction = NAN if found.severity is None else found.severity.fraction
    scored = _masks(found.labels > 0, found.lesions, case, surfaces=surfaces)
    return Measured(
        lung_dice=scored.lung_dice,
        lesion_dice=scored.lesion_dice,
        masks=scored.others,
        fraction=fraction,
        score=fraction if found.probability is None else found.probability,
        seconds=seconds,
        is_probability=found.probability is not None,
        classes=classes_of(found, card),
    )


def classes_of(found: Prediction | TriageResult, card: Card) -> dict[str, float]:
    """The probability of every class of every task by its name; of a task with two, also where the model told but that
    of the second."""
    if found.tasks is not None:
        return {name: p for classes in found.tasks.values() for name, p in classes.items()}
    if found.class_probabilities is not None:
        return dict(found.class_probabilities)
    names = card.arguments.get("classes")  # of a forest, what they are called; of a network, how many
    if isinstance(names, list | tuple) and len(names) == 2 and found.probability is not None:
        return {names[0]: 1.0 - found.probability, names[1]: found.probability}
    return {}


@dataclass(frozen=True, kw_only=True)
class _Scored:
    lung_dice: float
    lesion_dice: float
    others: Mapping[str, float]


def _masks(lungs: NDArray[np.bool_], lesions: NDArray[np.bool_] | None, case: HeldOut, *, surfaces: bool) -> _Scored:
    mm = case.volume.spacing_mm
    truth = None if case.labels is None else case.labels > 0
    lung_dice = lesion_dice = NAN
    others: dict[str, float] = {}
    if truth is not None:
        lung_dice = dice(lungs, truth)
        others |= overlap("lung", lungs, truth, mm, surfaces=surfaces) | slice_wise("lung", lungs, truth)
    if lesions is not None and case.lesions is not None:
        lesion_dice = dice(lesions, case.lesions)
        others |= overlap("lesion", lesions, case.lesions, mm, inside=truth, surfaces=surfaces)
    return _Scored(lung_dice=lung_dice, lesion_dice=lesion_dice, others=others)
