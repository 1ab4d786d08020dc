"""Recipe of model 17, U-net(R231), which DeepSC-COVID takes ready-made from its authors (Hofmanninger et al., 2020).

What the network is given is theirs: each slice by itself, the box of the body as 256 x 256 pixels, -1024 to 600 HU.
How it was trained is not said in the papers of this zoo; our choice is the schedule of model 1 (16,000 batches, Adam,
1e-3 and 1e-4 after half of them), with cross-entropy of background, right and left lung.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.case import InputSpec, Kind, MaskPolicy
from models.network import LUNG_LEVEL
from training import drafts
from training.datasets.slices import LabelledSlices
from training.drafts import drafted
from training.recipe import Batch, Recipe, Scores, drop
from training.scores import dice, mean_of

WINDOW_HU = (-1024.0, 600.0)
SHARES = {"covid": 0.4, "cap": 0.2, "normal": 0.15, "other": 0.25}
SELECT = "lung Dice"


@dataclass(frozen=True, kw_only=True)
class Plan(drafts.Plan):
    """What `--set` changes."""

    steps: int = 16_000
    slices: int = 30
    plane: int = 256
    lr: float = 1e-3
    validate_every: int = 160
    validation_cases: int = 30
    seed: int = 42


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(steps=600, slices=4, plane=128, validate_every=100, validation_cases=40),
    "tiny": Plan(steps=6, slices=4, plane=64, validate_every=6, validation_cases=4, by_heart=True),
}


def recipe(scale: str, plan: Plan) -> Recipe:
    plane = (plan.plane, plan.plane)
    spec = InputSpec(kind=Kind.SLICES, pixel_mm=None, window_hu=WINDOW_HU, mask=MaskPolicy.BODY, plane=plane)
    card = replace(
        drafted(17, scale),
        outputs=("lungs",),
        thresholds={"lung": LUNG_LEVEL},
        architecture="r231",
        input=spec,
        limits="slice by slice; the sides are those of model 31, not the network's own",
    )
    kind = partial(LabelledSlices, spec=spec, slices=plan.slices, shares=SHARES, annotated={}, lesions_first=False)
    return Recipe(
        card=card,
        stages=(drafts.stage(plan, "lungs", loss, drop(0.5, 0.1)),),
        data=drafts.samples(plan, kind),
        validate=validate,
        select=SELECT,
        seed=plan.seed,
    )


def loss(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    return {"cross-entropy": F.cross_entropy(network(batch["image"]), batch["lungs"])}


def validate(network: nn.Module, cases: Iterable[Batch]) -> Scores:
    """Mean Dice of both lungs together over slices, and how often a pixel of lung is on its side."""
    device = next(network.parameters()).device
    overlaps, sides = [], []
    for case in cases:
        found = network(case["image"].to(device)).argmax(dim=1).cpu().numpy()
        truth = case["lungs"].numpy()
        overlaps.append(dice(found > 0, truth > 0))
        both = (found > 0) & (truth > 0)
        if both.any():
            sides.append(float((found == truth)[both].mean()))
    return {SELECT: float(np.mean(overlaps)), "side accuracy": mean_of(sides)}
