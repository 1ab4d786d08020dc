"""Recipe of model 13, COVID-MTL (Transfer): the two diagnoses first; then severity alone, by a new layer on the frozen
trunk, for 50 more epochs with Shift3D kept on (Bao et al., section 5.4). Chosen where the paper is silent: the layer
(see `models.covid_mtl`), the rate of the first stage for the second, frozen statistics of the frozen batch norms. What
it shares is in `training.covid_mtl`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from torch import nn

from training import covid_mtl
from training.covid_mtl import CLASSES, EPOCH, Weighting, validate
from training.recipe import Batch, Recipe, Scores
from training.scores import mean_of

DIAGNOSES = ["CT", "NAT"]
DIAGNOSIS_AUC, SEVERITY_AUC = "diagnosis AUC", "severity AUC"  # what the first and the second stage choose by


@dataclass(frozen=True, kw_only=True)
class Plan(covid_mtl.Plan):
    weighting: Weighting = "random"
    shift: bool = True
    transfer_steps: int = 50 * EPOCH
    transfer_lr: float = 5e-3


_SHARED = covid_mtl.scales(Plan)
SCALES: Mapping[str, Plan] = {
    "paper": _SHARED["paper"],
    "small": replace(_SHARED["small"], transfer_steps=60),
    "tiny": replace(_SHARED["tiny"], transfer_steps=24),
}


def recipe(scale: str, plan: Plan) -> Recipe:
    stages = [
        covid_mtl.stage(
            plan,
            "diagnosis",
            DIAGNOSES,
            weighting=plan.weighting,
            trainable=("trunk.", "specific.", "decision.", "log_variance"),
            select=DIAGNOSIS_AUC,
        ),
        covid_mtl.stage(
            plan,
            "severity",
            ["severity"],
            steps=plan.transfer_steps,
            lr=plan.transfer_lr,
            trainable=("severity.",),
        ),
    ]
    made = covid_mtl.recipe(
        13,
        scale,
        plan,
        architecture="covid-mtl-transfer",
        arguments={"shift": plan.shift, "uncertainty": plan.weighting == "uncertainty"},
        tasks=list(CLASSES),
        stages=stages,
    )
    return replace(made, validate=validate_both, select=SEVERITY_AUC)


def validate_both(network: nn.Module, cases: Iterable[Batch]) -> Scores:
    found = validate(network, cases, tasks=list(CLASSES))
    return {**found, DIAGNOSIS_AUC: mean_of([found[f"{task} AUC"] for task in DIAGNOSES])}
