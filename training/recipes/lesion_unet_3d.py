"""Recipe of model 4, the 3D U-Net of CT triage (Goncharov et al., section 4.3).

The scale `paper` has the paper's values: 10,000 batches of 16, plain SGD (no momentum: our reading), learning rate
0.01, binary cross-entropy; boxes of 32 x 128 x 128 voxels are our choice. `small` and `tiny` take Adam: so few steps
of plain SGD teach nothing that could be compared. `small` takes two boxes of 8 slices to a batch: the Dice of the
patients by which checkpoints are chosen was 0.49, and with as many slices in half as many batches 0.20. Of a single
box torch computes 3-D convolutions another way, which took nearly four times as long on a CPU. What it shares with
models 2 and 3 is in `training.lesions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from models.case import Kind
from models.network import LESION_LEVEL
from training import ct_triage, lesions
from training.ct_triage import SMALL, BoxPlan
from training.datasets.lesions import LesionBoxes
from training.recipe import Recipe
from training.recipes.lesion_unet import SHARES

# The whole series passes at once, as in the paper, up to this; a study of thin slices passes in overlapping parts.
TILE = (128, 192, 224)


@dataclass(frozen=True, kw_only=True)
class Plan(BoxPlan):
    """What `--set` changes; a box has `slices` x `plane` x `plane` voxels."""

    steps: int = 10_000
    boxes: int = 16
    slices: int = 32
    plane: int = 128
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.01
    dice: bool = False  # beside the cross-entropy
    level: float = LESION_LEVEL


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(
        **{**SMALL, "steps": 400, "boxes": 2, "optimizer": "adam", "lr": 3e-3, "dice": True, "validate_every": 400},
        slices=8,
        plane=80,
    ),
    "tiny": Plan(
        steps=9,
        boxes=2,
        slices=16,
        plane=32,
        optimizer="adam",
        lr=0.05,
        validate_every=9,
        validation_cases=4,
        by_heart=True,
    ),
}


def recipe(scale: str, plan: Plan) -> Recipe:
    spec = ct_triage.boxed(plan, Kind.VOLUME, tile=TILE)
    optimizer = torch.optim.SGD if plan.optimizer == "sgd" else torch.optim.Adam
    kind = partial(
        LesionBoxes,
        spec=spec,
        augmentation=ct_triage.augmentation(plan),
        shares=SHARES,
        boxes=plan.boxes,
        size=(plan.slices, plan.plane, plan.plane),
    )
    return lesions.recipe(
        plan,
        lesions.card(4, scale, spec, plan.level),
        ct_triage.stage(plan, "lesions", partial(lesions.loss, with_dice=plan.dice), optimizer=optimizer),
        kind,
    )
