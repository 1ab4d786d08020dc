"""Recipe of model 21, U-Net++ L1: the training of model 22, of which the pruned network is kept first."""

from __future__ import annotations

from training.recipe import Recipe
from training.recipes import unetpp
from training.segmenters import Plan

SCALES = unetpp.SCALES


def recipe(scale: str, plan: Plan) -> Recipe:
    return unetpp.of_depth(21, scale, plan)
