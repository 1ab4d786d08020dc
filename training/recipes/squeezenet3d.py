"""Recipe of model 10, SqueezeNet3D as COVID-MTL's baseline: one network per task. What it shares is in
`training.covid_mtl`."""

from __future__ import annotations

from training import covid_mtl
from training.covid_mtl import SingleTask
from training.recipe import Recipe

SCALES = covid_mtl.scales(SingleTask)


def recipe(scale: str, plan: SingleTask) -> Recipe:
    return covid_mtl.single_task(10, scale, plan, "squeezenet3d")
