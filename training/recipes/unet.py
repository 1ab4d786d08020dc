"""Recipe of model 15, the U-Net that Amyar et al. compare theirs with (section 3, experiment 2).

One task of model 14's network, with its settings, trained on the images that have masks: 50 in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from training.recipe import Recipe
from training.recipes.reconstruction import SMALL, SMALL_DECODERS, TINY, UNetPlan, card, of_family, stages

EPOCH = 13  # steps: 50 images in batches of 4


_PAPER = UNetPlan(steps=500 * EPOCH, validate_every=EPOCH)
# Adam moves every weight alike, so what leaves a layer moves the further the more enters it: without norms, where the
# first level learns in dozens of steps, the fifth would drive all maps to 0 or 1 for good. And lesions fill a quarter
# of the picture: Dice alone halves only where the rest has fallen below even odds, for which three numbers at the end
# have far to go. Seed 1: both weights of that layer begin below 0, and what is no lesion may learn to raise the maps
# behind them; with 42 both are above, and the bias alone speaks against.
_BY_HEART = {"plane": 32, "slices": 2, "steps": 36, "validate_every": 36, "lr": 5e-4, "seed": 1}
SCALES: Mapping[str, UNetPlan] = {
    "paper": _PAPER,
    "small": replace(_PAPER, **{**SMALL, **SMALL_DECODERS}),
    "tiny": replace(_PAPER, **{**TINY, **_BY_HEART}, by_width=True, last_lr=40.0),
}


def recipe(scale: str, plan: UNetPlan) -> Recipe:
    arguments = {"tasks": "T2", "plane": plan.plane, "width": plan.width}
    described = card(15, scale, plan.plane, "three-task-net", arguments, ("lesions",))
    annotated = {"covid": plan.with_mask}
    return of_family(described, plan, annotated=annotated, only_annotated=True, stages=stages(plan))
