"""Recipe of model 28, COVNet (Li et al., Radiology 2020), after the description of the authors' published COVNet.

Theirs: window -1250 to 250 HU, nothing outside the lungs, one scan at a time, Adam, learning rate 1e-5, weight decay
0.1, at most 50 epochs, as many scans of each class, mirrored and turned a little. Our choices: at most 64 slices of
512 x 512, which fit a GPU; a cosine where they divide the learning rate on a plateau; the house's augmentation without
their noise and elastic deformation; batch norms learn, because they begin at random here and not with ImageNet's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.case import InputSpec, Kind, MaskPolicy
from training.augment import Augmentation
from training.diagnosis import SCANS, SMALL, TINY, SeriesPlan, card, of_series
from training.recipe import Batch, Group, Recipe

WINDOW_HU = (-1250.0, 250.0)
AUGMENTATION = Augmentation(shift_hu=0.0, eight_bit=0.0, rotation_deg=3.0, scale=(0.9, 1.1), mirrored=0.5)


@dataclass(frozen=True, kw_only=True)
class Plan(SeriesPlan):
    """What `--set` changes."""

    steps: int = 50 * SCANS
    lr: float = 1e-5
    weight_decay: float = 0.1
    validate_every: int = SCANS
    plane: int = 512
    depth: int = 64


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(**{**SMALL, "plane": 128, "depth": 16}),
    "tiny": Plan(**{**TINY, "steps": 6, "validate_every": 6, "plane": 64, "depth": 4, "series": 2, "augment": False}),
}


def recipe(scale: str, plan: Plan) -> Recipe:
    spec = InputSpec(
        kind=Kind.VOLUME,
        pixel_mm=None,
        window_hu=WINDOW_HU,
        mask=MaskPolicy.ZERO,
        plane=(plan.plane, plan.plane),
        depth=plan.depth,
    )
    decay = Group(options={"weight_decay": plan.weight_decay})
    return of_series(card(28, scale, spec, "covnet"), plan, spec, logits, AUGMENTATION, groups=(decay,))


def logits(network: nn.Module, batch: Batch) -> Tensor:
    result: Tensor = network(batch["image"], torch.as_tensor(batch["sizes"]))
    return result
