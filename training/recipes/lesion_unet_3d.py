"""Recipe of model 4, the 3D U-Net of CT triage (Goncharov et al., section 4.3).

The scale `paper` has the paper's values: 10,000 batches of 16, plain SGD (no momentum: our reading), learning rate
0.01, binary cross-entropy; boxes of 32 x 128 x 128 voxels are our choice. `small` and `tiny` take Adam: 300 steps of
plain SGD teach nothing that could be compared. What it shares with models 2 and 3 is in `training.lesions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from models.case import InputSpec, Kind
from models.network import LESION_LEVEL, PIXEL_MM
from training import lesions
from training.augment import Augmentation
from training.datasets.lesions import LesionBoxes
from training.datasets.stored import open_libraries
from training.recipe import Recipe, Stage, constant, cosine
from training.recipes.lesion_unet import SHARES

# The whole series passes at once, as in the paper, up to this; a study of thin slices passes in overlapping parts.
TILE = (128, 192, 224)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--set` changes; a box has `slices` x `plane` x `plane` voxels."""

    steps: int = 10_000
    boxes: int = 16
    slices: int = 32
    plane: int = 128
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.01
    schedule: Literal["constant", "cosine"] = "constant"
    augment: bool = False
    margin_mm: float = 0.0
    pixel_mm: float = PIXEL_MM
    level: float = LESION_LEVEL
    validate_every: int = 300
    validation_cases: int = 30
    by_heart: bool = False
    seed: int = 42


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(
        steps=300,
        boxes=2,
        plane=80,
        optimizer="adam",
        lr=1e-3,
        schedule="cosine",
        augment=True,
        margin_mm=lesions.MARGIN_MM,
        pixel_mm=lesions.SMALL_MM,
        validate_every=100,
        validation_cases=40,
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
    def data(folder: Path, spec: InputSpec) -> LesionBoxes:
        train, held_out = open_libraries(folder)
        return LesionBoxes(
            train=train,
            held_out=held_out,
            spec=spec,
            augmentation=Augmentation() if plan.augment else None,
            validation_cases=plan.validation_cases,
            shares=SHARES,
            boxes=plan.boxes,
            size=(plan.slices, plan.plane, plan.plane),
        )

    stage = Stage(
        name="lesions",
        steps=plan.steps,
        loss=lesions.loss,
        lr=plan.lr,
        schedule=cosine if plan.schedule == "cosine" else constant,
        validate_every=plan.validate_every,
        optimizer=torch.optim.SGD if plan.optimizer == "sgd" else torch.optim.Adam,
    )
    card = lesions.card(4, scale, lesions.input_spec(Kind.VOLUME, plan.pixel_mm, plan.margin_mm, TILE), plan.level)
    return lesions.recipe(card, stage, data, by_heart=plan.by_heart, seed=plan.seed)
