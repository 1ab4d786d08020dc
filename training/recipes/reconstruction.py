"""Recipe of model 14, the three-task network of Amyar et al., section 2.2, and what models 15 and 16 share with it.

The scale `paper` has the paper's values: 256 x 256 pixels, batches of 4, Adam, learning rate 1e-4, 500 epochs of 844
images, of which 349 show COVID-19, of which 50 have masks; mean squared error, Dice and cross-entropy with equal
weights; no augmentation. Where it is silent: pictures come from a lung window and are stretched to [0, 1] one by one;
an image without a mask says nothing about lesions, be it of COVID-19 or not (`empty_masks` makes the latter say that
there are none). The paper stops after 35 epochs without a better validation; here a training runs to its end and keeps
the weights of the best.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.cards import Card
from models.case import Aggregator, InputSpec, Kind
from models.maps import spec_of
from models.slicewise import LESION_LEVEL
from training import drafts
from training.datasets.slices import LabelledSlices
from training.drafts import drafted
from training.losses import binary_cross_entropy, dice_loss
from training.recipe import Batch, Group, Recipe, Scores
from training.scores import Confusion, dice, roc_auc

EPOCH = 211  # steps: 844 images in batches of 4
# Kinds among the images: 349 of 844 with COVID-19; the others divided as the phantoms' kinds are.
SHARES = {"covid": 349 / 844, "cap": 0.2, "normal": 0.15, "other": 0.2366}
WITH_MASK = 50 / 349  # of the images with COVID-19
WINDOW_HU = (-1350.0, 150.0)  # the usual lung window, level -600 and width 1500: the paper's images are pictures
LEVEL = 0.5  # of the probability of COVID-19 (the paper names none)
SELECT = "negative loss"

Tasks = Literal["T1T2", "T1T3", "T2T3", "T1T2T3"]
Outputs = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan(drafts.Plan):
    """What `--set` changes in all three models."""

    plane: int = 256
    steps: int = 500 * EPOCH
    slices: int = 4
    lr: float = 1e-4
    validate_every: int = EPOCH
    validation_cases: int = 100
    seed: int = 42  # of the random split, which the paper does not publish


@dataclass(frozen=True, kw_only=True)
class UNetPlan(Plan):
    """What it changes where there are masks."""

    width: int = 64
    with_mask: float = WITH_MASK


@dataclass(frozen=True, kw_only=True)
class ThreeTaskPlan(UNetPlan):
    """What it changes in model 14."""

    tasks: Tasks = "T1T2T3"
    empty_masks: bool = False


# What the scales mean for all three models: two cores, and a test.
SMALL: Mapping[str, Any] = {
    "plane": 128,
    "steps": 200,
    "slices": 2,
    "lr": 1e-3,
    "validate_every": 200,
    "validation_cases": 40,
}
TINY: Mapping[str, Any] = {
    "plane": 64,
    "steps": 9,
    "slices": 2,
    "lr": 1e-3,
    "validate_every": 9,
    "validation_cases": 4,
    "by_heart": True,
}
SCALES: Mapping[str, ThreeTaskPlan] = {
    "paper": ThreeTaskPlan(),
    "small": replace(ThreeTaskPlan(), **SMALL),
    "tiny": replace(ThreeTaskPlan(), **TINY),
}


def recipe(scale: str, plan: ThreeTaskPlan) -> Recipe:
    outputs = tuple(output for task, output in (("T2", "lesions"), ("T3", "probability")) if task in plan.tasks)
    arguments = {"tasks": plan.tasks, "plane": plan.plane, "width": plan.width}
    empty = 1.0 if plan.empty_masks else 0.0
    annotated = {"covid": plan.with_mask, "cap": empty, "normal": empty, "other": empty}
    described = card(14, scale, plan.plane, "three-task-net", arguments, outputs)
    return of_family(described, plan, annotated=annotated)


def card(
    number: int, scale: str, plane: int, architecture: str, arguments: Mapping[str, object], outputs: Outputs
) -> Card:
    spec = InputSpec(
        kind=Kind.SLICES,
        pixel_mm=None,
        window_hu=WINDOW_HU,
        plane=(plane, plane),
        per_slice=True,
        aggregator=Aggregator.TOP_TENTH,
    )
    return replace(
        drafted(number, scale),
        outputs=outputs,
        thresholds={"lesion": LESION_LEVEL} if "lesions" in outputs else {},
        architecture=architecture,
        arguments=arguments,
        input=spec,
        limits="made for single pictures that show something; a study's score is that of its highest tenth of slices",
    )


def of_family(
    described: Card,
    plan: Plan,
    *,
    annotated: Mapping[str, float],
    only_annotated: bool = False,
    groups: tuple[Group, ...] = (Group(),),
) -> Recipe:
    """`annotated`: the share of each kind's images that have masks; `only_annotated`: none but those of COVID-19 that
    have are trained on."""
    kind = partial(
        LabelledSlices,
        spec=spec_of(described),
        slices=plan.slices,
        shares={"covid": 1.0} if only_annotated else SHARES,
        annotated=annotated,
        told_only=only_annotated,
    )
    return Recipe(
        card=described,
        stages=(drafts.stage(plan, "slices", loss, groups=groups),),
        data=drafts.samples(plan, kind, richest=True),
        validate=validate,
        select=SELECT,
        seed=plan.seed,
    )


def answers(network: nn.Module, x: Tensor) -> Mapping[str, Tensor]:
    """By task, also of a network that has one task."""
    found = network(x)
    return found if isinstance(found, Mapping) else {"covid": found}


def loss(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    found = answers(network, batch["image"])
    terms = {}
    if "reconstruction" in found:
        terms["reconstruction"] = F.mse_loss(found["reconstruction"], batch["image"])
    if "lesions" in found:
        terms["lesion Dice"] = dice_loss(found["lesions"], batch["lesions"])
    if "covid" in found:
        terms["cross-entropy"] = binary_cross_entropy(found["covid"], batch["covid"])
    return terms


def validate(network: nn.Module, cases: Iterable[Batch]) -> Scores:
    """Mean Dice over images with lesions, of masks and soft as in the paper, ROC AUC, accuracy, sensitivity and
    specificity for COVID-19, of what the network says; the mean loss with its sign turned, by which it is chosen."""
    device = next(network.parameters()).device
    losses, overlaps, soft, likely, covid = [], [], [], [], []
    for case in cases:
        case = {name: t.to(device) for name, t in case.items()}
        losses.append(float(torch.stack(list(loss(network, case).values())).sum()))
        found = answers(network, case["image"])
        truth = case["lesions"].cpu().numpy() > 0.5
        if "lesions" in found and truth.any():
            overlaps.append(dice((torch.sigmoid(found["lesions"]) > LESION_LEVEL).cpu().numpy(), truth))
            soft.append(1.0 - float(dice_loss(found["lesions"], case["lesions"])))
        if "covid" in found:
            likely.append(float(torch.sigmoid(found["covid"])))
            covid.append(bool(case["covid"] > 0.5))
    scores = {SELECT: -float(np.mean(losses))}
    if overlaps:
        scores |= {"lesion Dice": float(np.mean(overlaps)), "soft Dice": float(np.mean(soft))}
    if likely:
        said = Confusion.of(np.array(likely) > LEVEL, covid)
        scores |= {"AUC": roc_auc(likely, covid), "accuracy": said.accuracy}
        scores |= {"sensitivity": said.sensitivity, "specificity": said.specificity}
    return scores
