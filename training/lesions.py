"""What the recipes of CT triage's lesion segmenters (2, 3 and 4) have in common (Goncharov et al., section 4.3).

The threshold of the map is that of the published const.py, which is the multitask network's; the paper names none for
these. `small` looks at slices of 128 x 128 at 3 mm, `tiny` learns one batch of 64 x 64 by heart; the network is the
paper's in both. Phantoms beside the paper's data: every scale but `paper` augments, and every empty mask is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from models import catalogue
from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.network import LESION_LEVEL, PIXEL_MM, WINDOW_HU
from training.augment import Augmentation
from training.datasets.fixed import OneBatch
from training.datasets.lesions import LesionSlices
from training.datasets.stored import open_libraries
from training.drafts import drafted
from training.losses import binary_cross_entropy
from training.recipe import Batch, Data, Recipe, Scores, Stage, constant, cosine
from training.scores import dice, roc_auc

Read = Callable[[nn.Module, Tensor], Tensor]  # of a patient's slices (S, 1, H, W), to probabilities on the CPU

DICE, AUC = "lesion Dice", "AUC"
MARGIN_MM = 6.0  # around the box of the lungs: a predicted lung ends short of consolidation at the pleura
SMALL_MM = 3.0  # pixels of the scale small
CHUNK = 16  # slices that pass a network at a time where patients are validated


@dataclass(frozen=True, kw_only=True)
class SlicePlan:
    """What `--set` changes in both 2D U-Nets. The paper: 30,000 batches of 30 slices, Adam, learning rate 1e-4, binary
    cross-entropy. `plane` 0: slices whole, zero-padded to the largest of the batch."""

    steps: int = 30_000
    slices: int = 30
    lr: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    augment: bool = False
    margin_mm: float = 0.0
    pixel_mm: float = PIXEL_MM
    plane: int = 0
    level: float = LESION_LEVEL  # threshold of the lesion map
    validate_every: int = 300  # batches, as for the multitask network
    validation_cases: int = 30
    by_heart: bool = False  # one batch, again and again
    seed: int = 42


SLICE_SCALES: Mapping[str, SlicePlan] = {
    "paper": SlicePlan(),
    "small": SlicePlan(
        steps=600,
        slices=32,
        lr=1e-3,
        schedule="cosine",
        augment=True,
        margin_mm=MARGIN_MM,
        pixel_mm=SMALL_MM,
        plane=128,
        validate_every=100,
        validation_cases=40,
    ),
    "tiny": SlicePlan(steps=12, slices=4, lr=0.1, plane=64, by_heart=True, validate_every=12, validation_cases=4),
}


def of_slices(number: int, scale: str, plan: SlicePlan, shares: Mapping[str, float]) -> Recipe:
    """The recipe of models 2 and 3, which differ by whom they are shown."""

    def data(folder: Path, spec: InputSpec) -> LesionSlices:
        train, held_out = open_libraries(folder)
        return LesionSlices(
            train=train,
            held_out=held_out,
            spec=spec,
            augmentation=Augmentation() if plan.augment else None,
            validation_cases=plan.validation_cases,
            shares=shares,
            slices=plan.slices,
            plane=plan.plane,
        )

    stage = Stage(
        name="lesions",
        steps=plan.steps,
        loss=loss,
        lr=plan.lr,
        schedule=cosine if plan.schedule == "cosine" else constant,
        validate_every=plan.validate_every,
    )
    spec = input_spec(Kind.SLICES, plan.pixel_mm, plan.margin_mm)
    return recipe(card(number, scale, spec, plan.level), stage, data, by_heart=plan.by_heart, seed=plan.seed)


def input_spec(kind: Kind, pixel_mm: float, margin_mm: float, tile: tuple[int, int, int] | None = None) -> InputSpec:
    """What all of them see: the box of the lungs."""
    return InputSpec(
        kind=kind, pixel_mm=pixel_mm, window_hu=WINDOW_HU, mask=MaskPolicy.CROP, margin_mm=margin_mm, tile=tile
    )


def card(number: int, scale: str, spec: InputSpec, level: float) -> Card:
    configuration = catalogue.item(number).configurations[0]
    return replace(
        drafted(number, scale),
        outputs=("lesions",),
        thresholds={"lesion": level},
        architecture=configuration.architecture,
        arguments=configuration.arguments,
        input=spec,
        limits="severity only, no probability: whatever looks like a lesion of COVID-19 counts",
    )


def recipe(
    card: Card,
    stage: Stage,
    data: Callable[[Path, InputSpec], Data],
    *,
    by_heart: bool,
    seed: int,
    read: Read | None = None,
    richest: bool = False,
) -> Recipe:
    """`by_heart`: one batch, again and again, one rich in lesions where `richest` is asked for; `read`: how the network
    gives probabilities for a patient's slices, where it is not by one logit per pixel."""
    spec = card.input
    assert spec is not None  # `card` made it

    def opened(folder: Path) -> Data:
        found = data(folder, spec)
        return OneBatch(of=found, seed=seed, richest=richest) if by_heart else found

    return Recipe(
        card=card,
        stages=(stage,),
        data=opened,
        validate=partial(validate, level=card.thresholds["lesion"], read=read),
        select=DICE,
        seed=seed,
    )


def loss(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    return {"cross-entropy": binary_cross_entropy(network(batch["image"]), batch["lesions"])}


def validate(network: nn.Module, cases: Iterable[Batch], *, level: float, read: Read | None = None) -> Scores:
    """Mean Dice over patients who have lesions; ROC AUC of the affected fraction of both lungs for COVID-19 against
    all others, as the paper scores segmenters."""
    overlaps, fractions, covid = [], [], []
    for case in cases:
        inside = case["lungs"].numpy() > 0.5
        found = ((read or likely)(network, case["image"]).numpy() > level) & inside
        truth = case["lesions"].numpy() > 0.5
        if truth.any():
            overlaps.append(dice(found, truth))
        fractions.append(float(found.sum() / inside.sum()))
        covid.append(bool(case["covid"] > 0.5))
    return {
        DICE: float(np.mean(overlaps)) if overlaps else float("nan"),
        AUC: roc_auc(np.array(fractions), np.array(covid)),
    }


def likely(network: nn.Module, image: Tensor) -> Tensor:
    """Probabilities for one patient's slices (S, 1, H, W), of a network that sees slices or the whole, on the CPU."""
    parameter = next(network.parameters())
    if any(p.ndim == 5 for p in network.parameters()):  # 3D kernels
        whole = torch.sigmoid(network(image.transpose(0, 1)[None].to(parameter.device)))
        return whole[0].transpose(0, 1).cpu()
    parts = [torch.sigmoid(network(part.to(parameter.device))).cpu() for part in torch.split(image, CHUNK)]
    return torch.cat(parts)
