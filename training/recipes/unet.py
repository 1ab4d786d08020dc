"""Recipe of model 15, the U-Net that Amyar et al. compare theirs with (section 3, experiment 2).

One task of model 14's network, with its settings, trained on the images that have masks: 50 in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from training.recipe import Recipe
from training.recipes.reconstruction import SMALL, TINY, UNetPlan, card, of_family

EPOCH = 13  # steps: 50 images in batches of 4

_PAPER = UNetPlan(steps=500 * EPOCH, validate_every=EPOCH)
SCALES: Mapping[str, UNetPlan] = {
    "paper": _PAPER,
    "small": replace(_PAPER, **SMALL),
    "tiny": replace(_PAPER, **{**TINY, "lr": 1e-4, "slices": 2}),  # without norms, Dice alone saturates above that
}


def recipe(scale: str, plan: UNetPlan) -> Recipe:
    arguments = {"tasks": "T2", "plane": plan.plane, "width": plan.width}
    described = card(15, scale, plan.plane, "three-task-net", arguments, ("lesions",))
    return of_family(described, plan, annotated={"covid": plan.with_mask}, only_annotated=True)
