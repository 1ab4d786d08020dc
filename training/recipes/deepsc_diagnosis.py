"""Recipe of model 20, DeepSC-COVID without its segmentation (Wang et al., section V-D): the first stage of model 18.
What it shares is in `training.deepsc`."""

from __future__ import annotations

from training import deepsc
from training.deepsc import Plan
from training.recipe import Recipe

SCALES = deepsc.scales(Plan, small={}, tiny={})


def recipe(scale: str, plan: Plan) -> Recipe:
    stage = deepsc.stage(plan, "diagnosis", apart=True)
    return deepsc.recipe(20, scale, plan, "diagnosis", {}, stage)
