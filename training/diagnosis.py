"""What the recipes of DeepSC-COVID's compared classifiers (26 to 29) have in common.

DeepSC-COVID (Wang et al., IEEE TMI 2021), section V: COVID-19, CAP and non-pneumonia on 1,353 training scans. It does
not say how they were trained; each recipe has the values of its method's own publication, and its own choices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.cards import Card
from models.case import InputSpec
from models.volume_triage import DIAGNOSES
from training import drafts
from training.augment import Augmentation
from training.datasets.diagnoses import DiagnosedSeries
from training.deepsc import SEED
from training.drafts import drafted
from training.losses import class_cross_entropy
from training.recipe import Batch, Data, Recipe, Schedule, Scores, constant, cosine
from training.scores import class_auc

SCANS = 1353
TASK = "diagnosis"
ACCURACY, AUC = "accuracy", "AUC"
# As many of each class (COVNet's sampler, DeCoVNet's oversampling); non-pneumonia is normal or something else.
BALANCED: Mapping[str, float] = {"covid": 1 / 3, "cap": 1 / 3, "normal": 1 / 6, "other": 1 / 6}

Logits = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True, kw_only=True)
class Plan(drafts.Plan):
    """What `--set` changes in all of them."""

    validation_cases: int = 100
    seed: int = SEED


# What the scales mean for all of them: two cores, and a test.
SMALL: Mapping[str, Any] = {"steps": 300, "lr": 3e-4, "validate_every": 300, "validation_cases": 10}
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


def recipe(
    plan: Plan,
    card: Card,
    name: str,
    kind: Callable[..., Data],
    logits: Logits,
    schedule: Schedule = constant,
    **special: Any,
) -> Recipe:
    """One stage of that name; `kind` as in `drafts.samples`, `special` as in `drafts.stage`."""
    return Recipe(
        card=card,
        stages=(drafts.stage(plan, name, partial(loss, logits=logits), schedule, **special),),
        data=drafts.samples(plan, kind),
        validate=partial(validate, logits=logits),
        select=AUC,
        seed=plan.seed,
    )


def of_image(network: nn.Module, batch: Batch) -> Tensor:
    """The logits of a network that is given nothing but images."""
    result: Tensor = network(batch["image"])
    return result


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
    return {AUC: class_auc(table, classes), ACCURACY: float((table.argmax(axis=1) == classes).mean())}


@dataclass(frozen=True, kw_only=True)
class SeriesPlan(Plan):
    """What it changes where whole series are read."""

    series: int = 1
    augment: bool = True


def of_series(
    card: Card, plan: SeriesPlan, spec: InputSpec, logits: Logits, augmentation: Augmentation, **special: Any
) -> Recipe:
    """The recipe of a network that reads whole series (28 and 29)."""
    kind = partial(
        DiagnosedSeries,
        spec=spec,
        augmentation=augmentation if plan.augment else None,
        series=plan.series,
        shares=BALANCED,
    )
    return recipe(plan, card, "series", kind, logits, cosine, **special)
