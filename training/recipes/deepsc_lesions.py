"""Recipe of model 19, DeepSC-COVID without its classification (Wang et al., section V-D): the first stage of model 18.
What it shares is in `training.deepsc`."""

from __future__ import annotations

from training import deepsc
from training.deepsc import LesionPlan
from training.recipe import Recipe

SCALES = deepsc.scales(LesionPlan, small={}, tiny={"steps": 14, "lr": 1e-2, "validate_every": 14})


def recipe(scale: str, plan: LesionPlan) -> Recipe:
    stage = deepsc.stage(plan, "lesions", apart=True)
    return deepsc.recipe(19, scale, plan, "lesions", {"channels": plan.channels}, stage)
