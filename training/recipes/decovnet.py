"""Recipe of model 29, DeCoVNet (Wang et al., IEEE TMI 2020), after the description of the authors' published deCoVnet.

Theirs: window -1200 to 600 HU, the box of the lungs as 224 x 336 pixels, slices 1 mm apart, the lung mask as a second
channel, one scan at a time, Adam, learning rate 1e-5, 300 epochs (of which they say that 110 suffice), as many scans of
each class, turned by up to 10 degrees and scaled by 20 %. Our choices: no shear, and brightness moves by 30 HU instead
of half the picture's range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.case import InputSpec, Kind, MaskPolicy
from training.augment import Augmentation
from training.diagnosis import SCANS, SMALL, TINY, SeriesPlan, card, of_series
from training.recipe import Batch, Recipe

WINDOW_HU = (-1200.0, 600.0)
AUGMENTATION = Augmentation(shift_hu=30.0, eight_bit=0.0, rotation_deg=10.0, scale=(0.8, 1.2))


@dataclass(frozen=True, kw_only=True)
class Plan(SeriesPlan):
    """What `--set` changes."""

    steps: int = 300 * SCANS
    lr: float = 1e-5
    validate_every: int = SCANS
    slice_mm: float = 1.0
    rows: int = 224
    columns: int = 336


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(**{**SMALL, "lr": 1e-3, "slice_mm": 4.5, "rows": 80, "columns": 80}),
    "tiny": Plan(
        **{**TINY, "steps": 18, "validate_every": 18, "slice_mm": 20.0, "rows": 48, "columns": 64, "augment": False}
    ),
}


def recipe(scale: str, plan: Plan) -> Recipe:
    spec = InputSpec(
        kind=Kind.VOLUME,
        pixel_mm=None,
        slice_mm=plan.slice_mm,
        window_hu=WINDOW_HU,
        mask=MaskPolicy.CROP,
        plane=(plan.rows, plan.columns),
    )
    return of_series(card(29, scale, spec, "decovnet"), plan, spec, logits, AUGMENTATION)


def logits(network: nn.Module, batch: Batch) -> Tensor:
    """Series by series: they differ in their number of slices."""
    volumes = torch.split(torch.cat([batch["image"], batch["lungs"]], dim=1), batch["sizes"][:, 0].tolist())
    return torch.cat([network(volume.transpose(0, 1)[None]) for volume in volumes])
