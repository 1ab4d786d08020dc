"""Recipe of model 5, the slice-pooling ResNet50 of CT triage (Goncharov et al., sections 2.2 and 4.4).

The scale `paper` has the paper's values: 60,000 batches of 5 series, Adam, learning rate 1e-4, cross-entropy of the
label; where the paper is silent, those of the published train_resnet.py: at most 32 slices, 128 x 160 pixels, as many
positives as negatives, checkpoint by ROC AUC. `head=pyramid` is the published code's reading of the network. `small`
takes four slices of 128 x 128 at 3 mm of each of two series, as the two-head network it is compared with, and hardly
learns: on the patients by which checkpoints are chosen its AUC ended at 0.58, and with as many slices in 400 series of
16 at a rate of 1e-3, or in batches of four series of 8, at 0.53 and 0.52. `tiny` learns one batch by heart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from torch import Tensor, nn

from models.case import Kind
from training import ct_triage
from training.ct_triage import SMALL, SeriesPlan
from training.drafts import drafted
from training.lesions import AUC
from training.losses import binary_cross_entropy
from training.recipe import Batch, Recipe, Scores
from training.scores import roc_auc

SHARES = {"covid": 0.5, "cap": 1 / 6, "normal": 1 / 6, "other": 1 / 6}


@dataclass(frozen=True, kw_only=True)
class Plan(SeriesPlan):
    """What `--set` changes."""

    head: Literal["maximum", "pyramid"] = "maximum"


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(
        **{**SMALL, "steps": 800, "series": 2, "lr": 3e-4, "depth": 4, "columns": 128, "validate_every": 400}
    ),
    "tiny": Plan(
        steps=8, series=4, lr=1e-3, depth=4, rows=64, columns=64, validate_every=8, validation_cases=4, by_heart=True
    ),
}


def recipe(scale: str, plan: Plan) -> Recipe:
    spec = ct_triage.boxed(plan, Kind.VOLUME, depth=plan.depth)
    card = replace(
        drafted(5, scale),
        outputs=("probability",),
        architecture="slice-pool",
        arguments={"head": plan.head},
        input=spec,
        limits="no lesions and no severity; the score is no probability until a site calibrates it",
    )
    return Recipe(
        card=card,
        stages=(ct_triage.stage(plan, "score", loss),),
        data=ct_triage.series(plan, spec, SHARES, annotated=()),
        validate=validate,
        select=AUC,
        seed=plan.seed,
    )


def loss(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    return {"cross-entropy": binary_cross_entropy(network(batch["image"], batch["sizes"]), batch["covid"])}


def validate(network: nn.Module, cases: Iterable[Batch]) -> Scores:
    """ROC AUC of the score for COVID-19 against all others."""
    device = next(network.parameters()).device
    scores, covid = [], []
    for case in cases:
        scores.append(float(network(case["image"].to(device), case["sizes"].to(device))))
        covid.append(bool(case["covid"] > 0.5))
    return {AUC: roc_auc(np.array(scores), np.array(covid))}
