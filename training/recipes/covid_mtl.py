"""Recipe of model 12, COVID-MTL on volumes: three tasks at once, their losses weighted at random (Bao et al., section
4.3). `weighting` and `shift` are the paper's ablations. What it shares is in `training.covid_mtl`."""

from __future__ import annotations

from dataclasses import dataclass

from training import covid_mtl
from training.covid_mtl import CLASSES, Weighting
from training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Plan(covid_mtl.Plan):
    weighting: Weighting = "random"
    shift: bool = True


SCALES = covid_mtl.scales(Plan)


def recipe(scale: str, plan: Plan) -> Recipe:
    tasks = list(CLASSES)
    return covid_mtl.recipe(
        12,
        scale,
        plan,
        architecture="covid-mtl",
        arguments={"tasks": tasks, "shift": plan.shift, "uncertainty": plan.weighting == "uncertainty"},
        tasks=tasks,
        stages=[covid_mtl.stage(plan, "three tasks", tasks, weighting=plan.weighting)],
    )
