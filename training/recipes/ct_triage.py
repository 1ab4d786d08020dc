"""Recipe of model 6, the two-head network of CT triage (Goncharov et al.), sections 2.3 and 4.5.

The scale `paper` has the paper's values: 60,000 batches of 5 series, Adam, learning rate 1e-4, cross-entropy of the
lesions in annotated positive series plus 0.1 times that of the series; where the paper is silent, those of the
published train_multitask_spatial.py: at most 32 slices, 128 x 160 pixels, 25 % negatives and 75 % positives (all of
which are annotated here). `shipped` is the plan for two cores and an hour: five levels, a hidden layer of 64, Dice
beside the cross-entropy, a cosine; every series is annotated, because a phantom's empty mask is as true as a full one,
and 40 % have no lesion. The score is then learned once more, alone and from the beginning: beside lesions that still
change its features, all 64 units of its hidden layer once fell silent for nearly every patient and stayed so, and, the
last layer having no bias, every score was one half. `small` teaches the paper's network on slices of 128 x 128 at 3 mm,
eight to a batch as for the U-Nets it is compared with: four of each of two series. A study is scored by four slices,
too. The second head learns at the paper's rate: at a hundredfold the loss went into thousands. On the patients by which
checkpoints are chosen the lesion Dice was 0.48, and with as many slices in batches of 16 of two series 0.40, of 16 of
one series 0.22. `tiny` lets it learn one batch by heart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from models.case import Kind
from models.network import LESION_LEVEL
from training import ct_triage
from training.ct_triage import MARGIN_MM, SMALL_MM, SeriesPlan
from training.drafts import drafted
from training.losses import binary_cross_entropy
from training.recipe import Batch, Group, Recipe, Scores
from training.scores import dice, mean_of, roc_auc

HEAD = "classification."  # its second head, by the names of its weights
SERIES_WEIGHT = 0.1  # of the series' cross-entropy (section 2.3)
PAPERS_SHARES = {"covid": 0.75, "cap": 1 / 12, "normal": 1 / 12, "other": 1 / 12}
SHARES = {"covid": 0.4, "cap": 0.2, "normal": 0.15, "other": 0.25}


@dataclass(frozen=True, kw_only=True)
class Plan(SeriesPlan):
    """What `--set` changes. `everything_annotated` False: only the lesions of COVID-19 teach the first head."""

    width: int = 8
    levels: int = 7
    pyramid_hidden: int = 1024
    head_lr: float | None = None  # of the second head, where it is not that of the rest
    score_steps: int = 0  # of a second stage, in which the second head alone learns, from the beginning
    score_lr: float = 1e-4  # the paper's
    dice: bool = False
    everything_annotated: bool = False
    level: float = LESION_LEVEL  # threshold of the lesion map
    select: Literal["AUC", "lesion Dice", "AUC and Dice"] = "AUC"


# Four series of 16 slices cost what two of 32 cost, and show the second head twice as many patients.
_SHIPPED = Plan(
    levels=5,
    pyramid_hidden=64,
    steps=2_800,
    score_steps=560,
    series=4,
    depth=16,
    lr=1e-3,
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
    levels=7,
    pyramid_hidden=1024,
    steps=800,
    score_steps=0,
    series=2,
    depth=4,
    lr=3e-3,
    head_lr=1e-4,
    pixel_mm=SMALL_MM,
    columns=128,
    validate_every=400,
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
    spec = ct_triage.boxed(plan, Kind.VOLUME, depth=plan.depth)
    card = replace(
        drafted(6, scale),
        outputs=("lesions", "probability"),
        thresholds={"lesion": plan.level},
        architecture="multitask-net",
        arguments={"width": plan.width, "levels": plan.levels, "pyramid_hidden": plan.pyramid_hidden},
        input=spec,
        limits="the score orders studies and is no probability until a site calibrates it",
    )
    shares, annotated = (SHARES, tuple(SHARES)) if plan.everything_annotated else (PAPERS_SHARES, ("covid",))
    head = () if plan.head_lr is None else (Group(prefix=HEAD, lr_factor=plan.head_lr / plan.lr),)
    both = ct_triage.stage(plan, "lesions and score", partial(loss, with_dice=plan.dice), groups=(*head, Group()))
    score = replace(
        both,
        name="score",
        steps=plan.score_steps or 1,
        lr=plan.score_lr,
        loss=loss_of_score,
        trainable=(HEAD,),
        anew=(HEAD,),
        select="AUC",
    )
    return Recipe(
        card=card,
        stages=(both, score) if plan.score_steps else (both,),
        data=ct_triage.series(plan, spec, shares, annotated),
        validate=partial(validate, level=plan.level),
        select=plan.select,
        seed=plan.seed,
    )


def loss(network: nn.Module, batch: Batch, *, with_dice: bool) -> dict[str, Tensor]:
    lesions, series = network(batch["image"], batch["sizes"])
    terms = ct_triage.lesion_loss(lesions, batch["lesions"], with_dice=with_dice)
    return terms | {"series cross-entropy": SERIES_WEIGHT * binary_cross_entropy(series, batch["covid"])}


def loss_of_score(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    _, series = network(batch["image"], batch["sizes"])
    return {"series cross-entropy": binary_cross_entropy(series, batch["covid"])}


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
    found = {"lesion Dice": mean_of(overlaps), "AUC": auc}
    return found | {"AUC and Dice": float(np.mean(list(found.values())))}
