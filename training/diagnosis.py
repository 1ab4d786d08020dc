"""What the recipes of DeepSC-COVID's compared classifiers (26, 28, 29) have in common.

DeepSC-COVID (Wang et al., IEEE TMI 2021), section V: COVID-19, CAP and non-pneumonia on 1,353 training scans. It does
not say how they were trained; each recipe has the values of its method's own publication, and its own choices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.cards import Card
from models.case import InputSpec
from models.volume_triage import DIAGNOSES
from training.augment import Augmentation
from training.covid_mtl import auc
from training.datasets.diagnoses import DiagnosedSeries
from training.datasets.fixed import OneBatch
from training.datasets.stored import open_libraries
from training.drafts import drafted
from training.losses import class_cross_entropy
from training.recipe import Batch, Data, Group, Recipe, Scores, Stage, cosine

SCANS = 1353
TASK = "diagnosis"
ACCURACY, AUC = "accuracy", "AUC"
# As many of each class (COVNet's sampler, DeCoVNet's oversampling); non-pneumonia is normal or something else.
BALANCED: Mapping[str, float] = {"covid": 1 / 3, "cap": 1 / 3, "normal": 1 / 6, "other": 1 / 6}

Logits = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--set` changes in all of them. `by_heart`: one batch, again and again."""

    steps: int
    lr: float
    validate_every: int
    validation_cases: int = 100
    by_heart: bool = False
    seed: int = 103  # of DeepSC-COVID's published code


# What the scales mean for all of them: two cores, and a test.
SMALL: Mapping[str, Any] = {"steps": 600, "validate_every": 100, "validation_cases": 40}
TINY: Mapping[str, Any] = {"steps": 12, "lr": 1e-3, "validate_every": 12, "validation_cases": 4, "by_heart": True}


def card(number: int, scale: str, spec: InputSpec, architecture: str) -> Card:
    return replace(
        drafted(number, scale),
        outputs=("probability", "class_probabilities"),
        classes={TASK: DIAGNOSES},
        architecture=architecture,
        arguments={"classes": len(DIAGNOSES)},
        input=spec,
        limits="three classes: what is neither COVID-19 nor CAP is called non-pneumonia; random weights to begin with",
    )


def loss(network: nn.Module, batch: Batch, *, logits: Logits) -> dict[str, Tensor]:
    return {"cross-entropy": class_cross_entropy(logits(network, batch), batch[TASK])}


def validate(network: nn.Module, cases: Iterable[Batch], *, logits: Logits) -> Scores:
    """Accuracy, and the mean ROC AUC of one class against the rest."""
    device = next(network.parameters()).device
    likely: list[list[float]] = []
    truth: list[int] = []
    for case in cases:
        said = logits(network, {name: t.to(device) for name, t in case.items()})
        likely += torch.softmax(said, dim=1).tolist()
        truth += case[TASK].tolist()
    table, classes = np.array(likely), np.array(truth)
    return {AUC: auc(table, classes), ACCURACY: float((table.argmax(axis=1) == classes).mean())}


@dataclass(frozen=True, kw_only=True)
class SeriesPlan(Plan):
    """What it changes where whole series are read."""

    series: int = 1
    augment: bool = True


def of_series(
    number: int,
    scale: str,
    plan: SeriesPlan,
    spec: InputSpec,
    architecture: str,
    logits: Logits,
    augmentation: Augmentation,
    group: Group,
) -> Recipe:
    """The recipe of a network that reads whole series (28 and 29)."""
    stage = Stage(
        name="series",
        steps=plan.steps,
        loss=partial(loss, logits=logits),
        lr=plan.lr,
        schedule=cosine,
        validate_every=plan.validate_every,
        groups=(group,),
    )
    return Recipe(
        card=card(number, scale, spec, architecture),
        stages=(stage,),
        data=partial(_series, plan=plan, spec=spec, augmentation=augmentation if plan.augment else None),
        validate=partial(validate, logits=logits),
        select=AUC,
        seed=plan.seed,
    )


def _series(folder: Path, *, plan: SeriesPlan, spec: InputSpec, augmentation: Augmentation | None) -> Data:
    train, held_out = open_libraries(folder)
    series = DiagnosedSeries(
        train=train,
        held_out=held_out,
        spec=spec,
        augmentation=augmentation,
        validation_cases=plan.validation_cases,
        series=plan.series,
        shares=BALANCED,
    )
    return OneBatch(of=series, seed=plan.seed) if plan.by_heart else series
