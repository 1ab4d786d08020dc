"""Recipe of model 1, the lung U-Net of CT triage (Goncharov et al.), sections 2.1.1 and 4.2.

The scale `paper` has the paper's values: 16,000 batches of 30 slices, Adam, learning rate 1e-3 and 1e-4 after 8,000,
binary cross-entropy, no augmentation. `shipped` is the plan for two cores and an hour: five levels instead of seven,
cross-entropy and Dice, a cosine, and the augmentation without which a phantom teaches "dark is lung". `small` teaches
the paper's network so, on slices of 128 x 128 at 3 mm; `tiny` lets it learn one batch of 64 x 64 by heart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from models.case import InputSpec, Kind
from models.network import LUNG_LEVEL, WINDOW_HU
from training import ct_triage, drafts
from training.augment import Augmentation
from training.ct_triage import SMALL_MM
from training.datasets.phantom import LungSlices
from training.drafts import drafted
from training.losses import binary_cross_entropy, dice_loss
from training.recipe import Batch, Group, Recipe, Scores
from training.scores import dice

SELECT = "lung Dice"  # CT triage keeps the checkpoint of the best validation Dice
REDRAWN = 0.3  # of the slices: every tissue's HU drawn anew, so that the shape is what is learned


@dataclass(frozen=True, kw_only=True)
class Plan(ct_triage.Plan):
    """What `--set` changes. `plane` 0: slices whole, zero-padded to the largest of the batch; `head_lr`: a factor of
    the last layer's learning rate."""

    width: int = 8
    levels: int = 7
    steps: int = 16_000
    slices: int = 30
    lr: float = 1e-3
    head_lr: float = 1.0
    schedule: ct_triage.Falling = "drop"
    dice: bool = False
    plane: int = 0
    validate_every: int = 160  # batches: an epoch of train_lungs_sgm.py


# 20 slices a batch instead of 30: more steps in the same hour.
_SHIPPED = Plan(
    levels=5,
    steps=2_200,
    slices=20,
    schedule="cosine",
    dice=True,
    augment=True,
    plane=176,
    validate_every=440,
    validation_cases=28,
)
_SMALL = replace(
    _SHIPPED, levels=7, steps=600, slices=32, pixel_mm=SMALL_MM, plane=128, validate_every=100, validation_cases=40
)
SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "shipped": _SHIPPED,
    "small": _SMALL,
    "tiny": Plan(
        steps=10,
        slices=4,
        lr=2e-3,
        head_lr=50.0,  # eight weights decide how sure the network may be
        schedule="cosine",
        pixel_mm=6.0,
        plane=64,
        validate_every=10,
        validation_cases=4,
        by_heart=True,
    ),
}


def recipe(scale: str, plan: Plan) -> Recipe:
    spec = InputSpec(kind=Kind.SLICES, pixel_mm=plan.pixel_mm, window_hu=WINDOW_HU)
    card = replace(
        drafted(1, scale),
        outputs=("lungs",),
        thresholds={"lung": LUNG_LEVEL},
        architecture="lungs-unet",
        arguments={"width": plan.width, "levels": plan.levels},
        input=spec,
        limits="slice by slice; trachea, main bronchi and effusion are not lung, consolidation is",
    )
    groups = (Group(),) if plan.head_lr == 1.0 else (Group(prefix="head.", lr_factor=plan.head_lr), Group())
    kind = partial(
        LungSlices,
        spec=spec,
        augmentation=Augmentation(redrawn=REDRAWN) if plan.augment else None,
        slices=plan.slices,
        plane=plan.plane,
    )
    return Recipe(
        card=card,
        stages=(ct_triage.stage(plan, "lungs", partial(loss, with_dice=plan.dice), groups=groups),),
        data=drafts.samples(plan, kind),
        validate=validate,
        select=SELECT,
        seed=plan.seed,
    )


def loss(network: nn.Module, batch: Batch, *, with_dice: bool) -> dict[str, Tensor]:
    logits = network(batch["image"])
    terms = {"cross-entropy": binary_cross_entropy(logits, batch["lungs"])}
    return terms | ({"Dice": dice_loss(logits, batch["lungs"])} if with_dice else {})


def validate(network: nn.Module, cases: Iterable[Batch]) -> Scores:
    """Mean Dice of whole patients."""
    device = next(network.parameters()).device
    found = [
        dice((torch.sigmoid(network(case["image"].to(device))) > LUNG_LEVEL).cpu().numpy(), case["lungs"].numpy() > 0.5)
        for case in cases
    ]
    return {SELECT: float(np.mean(found))}
