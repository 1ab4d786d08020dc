"""One case through one pipeline, in numbers; and what remains of a case once its volume is gone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from models.pipeline import Pipeline, Prediction
from models.refusal import NotAVolume
from models.severity import severity
from training.cases import HeldOut
from training.scores import dice

VERSION = 1  # of what is measured: measurements kept under another are made again
NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case without its volume. `fraction`: truly affected, of the worse lung."""

    name: str
    kind: str
    fraction: float
    descriptors: Mapping[str, float]
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one pipeline made of one case. nan: the model does not say. A refused case has found nothing, as it would
    stay where it stood in the list."""

    lung_dice: float
    lesion_dice: float
    fraction: float  # affected, of the worse lung
    score: float  # the probability; of a model that gives none, the fraction (MODELS.md 36)
    seconds: float  # of the whole pipeline, reading left out
    refused: bool = False

    @property
    def severity(self) -> float:
        return self.score if np.isnan(self.fraction) else self.fraction


def remaining(case: HeldOut) -> Case:
    """The case without its volume."""
    truth = severity(case.labels, case.lesions, case.volume.voxel_ml).fraction
    return Case(name=case.name, kind=case.kind, fraction=truth, descriptors=case.descriptors, groups=case.groups)


def measure(pipeline: Pipeline, case: HeldOut) -> Measured:
    """One case through one pipeline."""
    began = time.perf_counter()
    try:
        found = pipeline.run(case.volume)
    except NotAVolume:
        seconds = time.perf_counter() - began
        return Measured(lung_dice=0.0, lesion_dice=0.0, fraction=0.0, score=0.0, refused=True, seconds=seconds)
    return measured_of(found, case, time.perf_counter() - began)


def measured_of(found: Prediction, case: HeldOut, seconds: float) -> Measured:
    """A prediction held against the truth."""
    fraction = NAN if found.severity is None else found.severity.fraction
    return Measured(
        lung_dice=dice(found.labels > 0, case.labels > 0),
        lesion_dice=NAN if found.lesions is None else dice(found.lesions, case.lesions),
        fraction=fraction,
        score=fraction if found.probability is None else found.probability,
        seconds=seconds,
    )
