"""One case through one pipeline, in numbers; and what remains of a case once its volume is gone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.cards import Card
from models.pipeline import Pipeline, Prediction
from models.predict import LungMasks, TriagePredictor, TriageResult
from models.refusal import NotAVolume
from models.severity import LEFT, RIGHT, severity
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
    """One case through one pipeline; `surfaces`: with their distances, which may take longer than the pipeline. Of a
    picture, the triage alone."""
    if case.picture:
        return replace(read_with(pipeline.triage, case, _given(case), surfaces=surfaces), lung_dice=NAN)
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


def read_with(predictor: TriagePredictor, case: HeldOut, lungs: LungMasks, *, surfaces: bool) -> Measured:
    """One case by one model that is given the lungs. Without lungs it is refused, and has found nothing."""
    if not lungs.labels.any():
        return Measured(lung_dice=0.0, lesion_dice=NAN, fraction=0.0, score=0.0, seconds=NAN, refused=True)
    began = time.perf_counter()
    found = predictor.triage(case.volume, lungs)
    seconds = time.perf_counter() - began
    inside = None if case.labels is None else case.labels > 0
    fraction, lesion_dice, masks = NAN, NAN, {}
    if found.lesions is not None:
        fraction = severity(lungs.labels, found.lesions, case.volume.voxel_ml).fraction
        if case.lesions is not None:
            lesion_dice, mm = dice(found.lesions, case.lesions), case.volume.spacing_mm
            with_surfaces = surfaces and bool(case.lesions.any())
            masks = overlap("lesion", found.lesions, case.lesions, mm, inside=inside, surfaces=with_surfaces)
    return Measured(
        lung_dice=NAN if inside is None else dice(lungs.labels > 0, inside),
        lesion_dice=lesion_dice,
        fraction=fraction,
        score=fraction if found.probability is None else found.probability,
        seconds=seconds,
        is_probability=found.probability is not None,
        classes=classes_of(found, predictor.card),
        masks=masks,
    )


def _given(case: HeldOut) -> LungMasks:
    """The lungs of a picture: those that are known, or all of it, by halves."""
    labels = case.labels
    if labels is None:
        labels = np.full(case.volume.shape, LEFT, np.uint8)
        labels[..., : labels.shape[2] // 2] = RIGHT  # columns run to the patient's left
    return LungMasks(labels=labels, sides_by_size=False)


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
