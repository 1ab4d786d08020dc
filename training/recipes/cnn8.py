"""Recipe of model 16, the CNN that Amyar et al. compare theirs with (section 3, experiment 3).

1,500 epochs; the learning rate and the batch, which the paper leaves open, are model 14's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from training.recipe import Recipe
from training.recipes.reconstruction import EPOCH, SMALL, TINY, Plan, card, of_family

_PAPER = Plan(steps=1500 * EPOCH)
SCALES: Mapping[str, Plan] = {
    "paper": _PAPER,
    "small": replace(_PAPER, **SMALL),
    "tiny": replace(_PAPER, **{**TINY, "steps": 60, "validate_every": 60, "lr": 3e-3}),  # dropout is in its way
}


def recipe(scale: str, plan: Plan) -> Recipe:
    described = card(16, scale, plan.plane, "cnn8", {"plane": plan.plane}, ("probability",))
    return of_family(described, plan, annotated={})
