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
from models.reconstruction import LEVELS
from models.slicewise import LESION_LEVEL
from training import drafts
from training.datasets.slices import LabelledSlices
from training.drafts import drafted
from training.losses import binary_cross_entropy, dice_loss
from training.recipe import Batch, Group, Recipe, Scores, Stage
from training.scores import Confusion, dice, roc_auc

EPOCH = 211  # steps: 844 images in batches of 4
# Kinds among the images: 349 of 844 with COVID-19; the others divided as the phantoms' kinds are.
SHARES = {"covid": 349 / 844, "cap": 0.2, "normal": 0.15, "other": 0.2366}
WITH_MASK = 50 / 349  # of the images with COVID-19
WINDOW_HU = (-1350.0, 150.0)  # the usual lung window, level -600 and width 1500: the paper's images are pictures
LEVEL = 0.5  # of the probability of COVID-19 (the paper names none)
SELECT = "negative loss"
DECODERS, LAST = ("reconstruction", "segmentation"), 3  # of the network, and the last layer of each

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
    """What it changes where there are decoders. `ends_steps`: as many first, at the rate `ends_lr`, in which only the
    biases that decoders end in learn. Then `by_width`: a level learns as much more slowly as it is wider than the
    first; `last_lr`: a factor of the rate of what decoders end in; `cross_entropy`: the weight of that of lesions."""

    width: int = 64
    with_mask: float = WITH_MASK
    ends_steps: int = 0
    ends_lr: float = 0.2
    by_width: bool = False
    last_lr: float = 1.0
    cross_entropy: float = 0.0


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
    "validate_every": 90,
    "validation_cases": 20,
}
# A decoder ends in two maps behind a ReLU, two weights and a bias. Adam moves every parameter by the learning rate, and
# where nothing is normalised a small one: after 20 steps at 1e-4 both maps of the U-Net were 0 everywhere (seed 42),
# pushed there because nearly all of a picture is no lesion. So the bias learns to say that first, wide levels learn
# more slowly, and cross-entropy stands beside Dice, by which a constant is the better the surer it is of lesion. It is
# still too little: of 400 slices the U-Net at 256 learns to draw (Dice 0.14 on the study's test set), the three-task
# network does not.
SMALL_DECODERS: Mapping[str, Any] = {
    "ends_steps": 20,
    "steps": 180,
    "lr": 1e-4,
    "by_width": True,
    "last_lr": 20.0,
    "cross_entropy": 1.0,
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
    "small": replace(ThreeTaskPlan(), **{**SMALL, **SMALL_DECODERS}),
    "tiny": replace(ThreeTaskPlan(), **TINY),
}


def recipe(scale: str, plan: ThreeTaskPlan) -> Recipe:
    outputs = tuple(output for task, output in (("T2", "lesions"), ("T3", "probability")) if task in plan.tasks)
    arguments = {"tasks": plan.tasks, "plane": plan.plane, "width": plan.width}
    empty = 1.0 if plan.empty_masks else 0.0
    annotated = {"covid": plan.with_mask, "cap": empty, "normal": empty, "other": empty}
    described = card(14, scale, plan.plane, "three-task-net", arguments, outputs)
    return of_family(described, plan, annotated=annotated, stages=stages(plan))


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


def stages(plan: UNetPlan) -> tuple[Stage, ...]:
    """Of a network with decoders."""
    told = partial(loss, cross_entropy=plan.cross_entropy)
    every = drafts.stage(plan, "slices", told, groups=groups(plan))
    if plan.ends_steps == 0:
        return (every,)
    ends = tuple(f"{decoder}.{LAST}.bias" for decoder in DECODERS)
    return (drafts.stage(plan, "ends", told, trainable=ends, steps=plan.ends_steps, lr=plan.ends_lr), every)


def groups(plan: UNetPlan) -> tuple[Group, ...]:
    """Parameters by how fast they learn."""
    last = (Group(prefix=f"{decoder}.{LAST}.", lr_factor=plan.last_lr) for decoder in DECODERS)
    wide = []
    for level in range(1, LEVELS) if plan.by_width else ():
        up = LEVELS - 1 - level  # of a decoder the coarsest level is the first
        parts = [f"{decoder}.0.{what}.{up}." for decoder in DECODERS for what in ("ups", "blocks")]
        wide += [Group(prefix=part, lr_factor=0.5**level) for part in (f"encoder.blocks.{level}.", *parts)]
    return (*last, *wide, Group())


def of_family(
    described: Card,
    plan: Plan,
    *,
    annotated: Mapping[str, float],
    only_annotated: bool = False,
    stages: tuple[Stage, ...] = (),
) -> Recipe:
    """`annotated`: the share of each kind's images that have masks; `only_annotated`: none but those of COVID-19 that
    have are trained on; `stages`: those of the plan where there are none."""
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
        stages=stages or (drafts.stage(plan, "slices", loss),),
        data=drafts.samples(plan, kind, richest=True),
        validate=validate,
        select=SELECT,
        seed=plan.seed,
    )


def answers(network: nn.Module, x: Tensor) -> Mapping[str, Tensor]:
    """By task, also of a network that has one task."""
    found = network(x)
    return found if isinstance(found, Mapping) else {"covid": found}


def loss(network: nn.Module, batch: Batch, *, cross_entropy: float = 0.0) -> dict[str, Tensor]:
    found = answers(network, batch["image"])
    terms = {}
    if "reconstruction" in found:
        terms["reconstruction"] = F.mse_loss(found["reconstruction"], batch["image"])
    if "lesions" in found:
        terms["lesion Dice"] = dice_loss(found["lesions"], batch["lesions"])
        if cross_entropy > 0.0:
            terms["lesion cross-entropy"] = cross_entropy * binary_cross_entropy(found["lesions"], batch["lesions"])
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
