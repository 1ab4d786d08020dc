"""Recipe of model 5, the slice-pooling ResNet50 of CT triage (Goncharov et al., sections 2.2 and 4.4).

The scale `paper` has the paper's values: 60,000 batches of 5 series, Adam, learning rate 1e-4, cross-entropy of the
label; where the paper is silent, those of the published train_resnet.py: at most 32 slices, 128 x 160 pixels, as many
positives as negatives, checkpoint by ROC AUC. `head=pyramid` is the published code's reading of the network. `small`
looks at 16 slices of 128 x 128 at 3 mm; `tiny` learns one batch by heart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor, nn

from models.case import InputSpec, Kind, MaskPolicy
from models.network import PIXEL_MM, WINDOW_HU
from training.augment import Augmentation
from training.datasets.fixed import OneBatch
from training.datasets.phantom import LesionSeries
from training.datasets.stored import open_libraries
from training.drafts import drafted
from training.lesions import AUC, MARGIN_MM, SMALL_MM
from training.losses import binary_cross_entropy
from training.recipe import Batch, Data, Recipe, Scores, Stage, constant, cosine
from training.scores import roc_auc

SHARES = {"covid": 0.5, "cap": 1 / 6, "normal": 1 / 6, "other": 1 / 6}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--set` changes. While training, a series is cropped about its centre to `rows` x `columns`."""

    head: Literal["maximum", "pyramid"] = "maximum"
    steps: int = 60_000
    series: int = 5
    lr: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    augment: bool = False
    margin_mm: float = 0.0
    pixel_mm: float = PIXEL_MM
    depth: int = 32
    rows: int = 128
    columns: int = 160
    validate_every: int = 300
    validation_cases: int = 30
    by_heart: bool = False
    seed: int = 42


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(
        steps=600,
        series=2,
        schedule="cosine",
        augment=True,
        margin_mm=MARGIN_MM,
        pixel_mm=SMALL_MM,
        depth=16,
        columns=128,
        validate_every=100,
        validation_cases=40,
    ),
    "tiny": Plan(
        steps=8, series=4, lr=1e-3, depth=4, rows=64, columns=64, validate_every=8, validation_cases=4, by_heart=True
    ),
}


def recipe(scale: str, plan: Plan) -> Recipe:
    spec = InputSpec(
        kind=Kind.VOLUME,
        pixel_mm=plan.pixel_mm,
        window_hu=WINDOW_HU,
        mask=MaskPolicy.CROP,
        margin_mm=plan.margin_mm,
        depth=plan.depth,
    )
    card = replace(
        drafted(5, scale),
        outputs=("probability",),
        architecture="slice-pool",
        arguments={"head": plan.head},
        input=spec,
        limits="no lesions and no severity; the score is no probability until a site calibrates it",
    )
    stage = Stage(
        name="score",
        steps=plan.steps,
        loss=loss,
        lr=plan.lr,
        schedule=cosine if plan.schedule == "cosine" else constant,
        validate_every=plan.validate_every,
    )
    data = partial(_data, plan=plan, spec=spec)
    return Recipe(card=card, stages=(stage,), data=data, validate=validate, select=AUC, seed=plan.seed)


def _data(folder: Path, *, plan: Plan, spec: InputSpec) -> Data:
    train, held_out = open_libraries(folder)
    series = LesionSeries(
        train=train,
        held_out=held_out,
        spec=spec,
        augmentation=Augmentation() if plan.augment else None,
        validation_cases=plan.validation_cases,
        series=plan.series,
        shares=SHARES,
        annotated=(),
        limit=(plan.rows, plan.columns),
    )
    return OneBatch(of=series, seed=plan.seed) if plan.by_heart else series


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
