"""Recipe of model 12, COVID-MTL: three tasks at once, their losses weighted at random (Bao et al., section 4.3).

`weighting`, `shift` and `features` are the paper's ablations. Features are measured on its grid at its scale, on a
coarser one below, and scaled by their ranges in the patients that are trained on (the published code takes those of the
whole cohort, the test part too). What it shares is in `training.covid_mtl`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from models.feature_names import NAMES
from training import covid_mtl, loop
from training.covid_mtl import CLASSES, Weighting
from training.datasets.fixed import OneBatch
from training.datasets.measured import GRIDS_MM
from training.datasets.volumes import ClassifiedVolumes
from training.recipe import Data, Recipe


@dataclass(frozen=True, kw_only=True)
class Plan(covid_mtl.Plan):
    weighting: Weighting = "random"
    shift: bool = True
    features: bool = False  # the 375 beside the volume
    features_mm: float = GRIDS_MM["paper"]  # what they are measured on


SCALES = {scale: replace(plan, features_mm=GRIDS_MM[scale]) for scale, plan in covid_mtl.scales(Plan).items()}


def recipe(scale: str, plan: Plan) -> Recipe:
    tasks = list(CLASSES)
    made = covid_mtl.recipe(
        12,
        scale,
        plan,
        architecture="covid-mtl",
        arguments={
            "tasks": tasks,
            "features": len(NAMES) if plan.features else 0,
            "shift": plan.shift,
            "uncertainty": plan.weighting == "uncertainty",
        },
        tasks=tasks,
        stages=[covid_mtl.stage(plan, "three tasks", tasks, weighting=plan.weighting)],
        features_mm=plan.features_mm if plan.features else None,
    )
    return replace(made, fit=fit) if plan.features else made


def fit(recipe: Recipe, network: nn.Module, data: Data, run: loop.Run) -> loop.Fitted:
    """The ranges of the features, then the loop."""
    volumes = data.of if isinstance(data, OneBatch) else data
    if not isinstance(volumes, ClassifiedVolumes) or volumes.features is None:
        raise loop.TrainingError("COVID-MTL with features needs patients whose features are measured")
    table = torch.from_numpy(volumes.features[0])
    network.get_buffer("feature_low").copy_(table.amin(dim=0))
    network.get_buffer("feature_high").copy_(table.amax(dim=0))
    return loop.fit(recipe, network, data, run)
