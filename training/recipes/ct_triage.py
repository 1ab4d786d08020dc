"""Recipe of model 6, the two-head network of CT triage (Goncharov et al.), sections 2.3 and 4.5.

The scale `paper` has the paper's values: 60,000 batches of 5 series, Adam, learning rate 1e-4, cross-entropy of the
lesions in annotated positive series plus 0.1 times that of the series; where the paper is silent, those of the
published train_multitask_spatial.py: at most 32 slices, 128 x 160 pixels, 25 % negatives and 75 % positives (all of
which are annotated here). `shipped` is the plan for two cores and an hour: five levels, a hidden layer of 64, Dice
beside the cross-entropy, a cosine; every series is annotated, because a phantom's empty mask is as true as a full one,
and 40 % have no lesion. Its second head learns at the paper's rate and not at the tenfold of the rest: with that, all
of its 64 hidden units were 0 for nearly every patient, and, the last layer having no bias, every score was one half. A
unit at 0 gets no gradient, so that it stays there. `small` teaches the paper's network so, on 16 slices of 128 x 128 at
3 mm; `tiny` lets it learn one batch by heart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.network import LESION_LEVEL, PIXEL_MM, WINDOW_HU
from models.zoo import CT_TRIAGE
from training.augment import Augmentation
from training.datasets.fixed import OneBatch
from training.datasets.phantom import LesionSeries
from training.datasets.stored import open_libraries
from training.lesions import MARGIN_MM, SMALL_MM
from training.losses import binary_cross_entropy, dice_loss
from training.recipe import Batch, Data, Group, Recipe, Scores, Stage, constant, cosine
from training.scores import dice, roc_auc

SERIES_WEIGHT = 0.1  # of the series' cross-entropy (section 2.3)
DEPTH, LIMIT = 32, (128, 160)  # slices, and pixels of the crop while training (train_multitask_spatial.py)
PAPERS_SHARES = {"covid": 0.75, "cap": 1 / 12, "normal": 1 / 12, "other": 1 / 12}
SHARES = {"covid": 0.4, "cap": 0.2, "normal": 0.15, "other": 0.25}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--set` changes. `everything_annotated` False: only the lesions of COVID-19 teach the first head. While
    training, a series is cropped about its centre to `rows` x `columns`."""

    width: int = 8
    levels: int = 7
    pyramid_hidden: int = 1024
    steps: int = 60_000
    series: int = 5
    lr: float = 1e-4
    classification_lr: float = 1.0  # of the second head, by the rest's
    schedule: Literal["constant", "cosine"] = "constant"
    dice: bool = False
    augment: bool = False
    everything_annotated: bool = False
    margin_mm: float = 0.0
    pixel_mm: float = PIXEL_MM
    depth: int = DEPTH
    rows: int = LIMIT[0]
    columns: int = LIMIT[1]
    level: float = LESION_LEVEL  # threshold of the lesion map
    select: Literal["AUC", "lesion Dice", "AUC and Dice"] = "AUC"
    validate_every: int = 300  # batches: an epoch of train_multitask_spatial.py
    validation_cases: int = 30
    by_heart: bool = False  # one batch, again and again
    seed: int = 42


# Four series of 16 slices cost what two of 32 cost, and show the second head twice as many patients.
_SHIPPED = Plan(
    levels=5,
    pyramid_hidden=64,
    steps=2_800,
    series=4,
    depth=16,
    lr=1e-3,
    classification_lr=0.1,
    schedule="cosine",
    dice=True,
    augment=True,
    everything_annotated=True,
    margin_mm=MARGIN_MM,
    select="AUC and Dice",
    validate_every=280,
    validation_cases=56,
)
_SMALL = replace(
    _SHIPPED,
    classification_lr=1.0,
    levels=7,
    pyramid_hidden=1024,
    steps=600,
    series=2,
    pixel_mm=SMALL_MM,
    columns=128,
    validate_every=100,
    validation_cases=40,
)
SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "shipped": _SHIPPED,
    "small": _SMALL,
    "tiny": Plan(
        steps=20,
        series=2,
        lr=0.01,
        everything_annotated=True,
        pixel_mm=6.0,
        depth=4,
        rows=64,
        columns=64,
        validate_every=20,
        validation_cases=4,
        by_heart=True,
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
    card = Card(
        name="ct-triage" if scale == "shipped" else f"ct-triage-{scale}",
        version="1",
        number=6,
        paper=CT_TRIAGE,
        roles=("triage",),
        outputs=("lesions", "probability"),
        thresholds={"lesion": plan.level},
        architecture="multitask-net",
        arguments={"width": plan.width, "levels": plan.levels, "pyramid_hidden": plan.pyramid_hidden},
        input=spec,
        limits="the score orders studies and is no probability until a site calibrates it",
    )
    stage = Stage(
        name="lesions and score",
        steps=plan.steps,
        loss=partial(loss, with_dice=plan.dice),
        lr=plan.lr,
        schedule=cosine if plan.schedule == "cosine" else constant,
        validate_every=plan.validate_every,
        groups=_groups(plan.classification_lr),
    )
    return Recipe(
        card=card,
        stages=(stage,),
        data=partial(_data, plan=plan, spec=spec),
        validate=partial(validate, level=plan.level),
        select=plan.select,
        seed=plan.seed,
    )


def _groups(classification_lr: float) -> tuple[Group, ...]:
    if classification_lr == 1.0:
        return (Group(),)
    return (Group(prefix="classification.", lr_factor=classification_lr), Group())


def _data(folder: Path, *, plan: Plan, spec: InputSpec) -> Data:
    train, held_out = open_libraries(folder)
    series = LesionSeries(
        train=train,
        held_out=held_out,
        spec=spec,
        augmentation=Augmentation() if plan.augment else None,
        validation_cases=plan.validation_cases,
        series=plan.series,
        shares=SHARES if plan.everything_annotated else PAPERS_SHARES,
        annotated=tuple(SHARES) if plan.everything_annotated else ("covid",),
        limit=(plan.rows, plan.columns),
    )
    return OneBatch(of=series, seed=plan.seed) if plan.by_heart else series


def loss(network: nn.Module, batch: Batch, *, with_dice: bool) -> dict[str, Tensor]:
    lesions, series = network(batch["image"], batch["sizes"])
    terms = {
        "lesion cross-entropy": binary_cross_entropy(lesions, batch["lesions"]),
        "series cross-entropy": SERIES_WEIGHT * binary_cross_entropy(series, batch["covid"]),
    }
    return terms | ({"lesion Dice": dice_loss(lesions, batch["lesions"])} if with_dice else {})


def validate(network: nn.Module, cases: Iterable[Batch], *, level: float) -> Scores:
    """Mean Dice over patients who have lesions, ROC AUC of the score for COVID-19 against all others."""
    device = next(network.parameters()).device
    overlaps, scores, covid = [], [], []
    for case in cases:
        lesions, series = network(case["image"].to(device), case["sizes"].to(device))
        truth = case["lesions"].numpy() > 0.5
        if truth.any():
            overlaps.append(dice((torch.sigmoid(lesions) > level).cpu().numpy(), truth))
        scores.append(float(series))
        covid.append(bool(case["covid"] > 0.5))
    auc = roc_auc(np.array(scores), np.array(covid))
    found = {"lesion Dice": float(np.mean(overlaps)) if overlaps else float("nan"), "AUC": auc}
    return found | {"AUC and Dice": float(np.mean(list(found.values())))}
