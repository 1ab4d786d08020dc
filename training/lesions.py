"""What the recipes of CT triage's lesion segmenters (2, 3 and 4) have in common (Goncharov et al., section 4.3).

The threshold of the map is that of the published const.py, which is the multitask network's; the paper names none for
these. `small` looks at the box of the lungs in slices at 3 mm, which hardly fills 128 x 128, `tiny` learns one batch of
64 x 64 by heart; the network is the paper's in both. What they share with the other networks of the paper is in
`training.ct_triage`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from models import catalogue
from models.cards import Card
from models.case import InputSpec, Kind
from models.network import LESION_LEVEL
from models.serving import Likely, from_logits
from training import ct_triage, drafts
from training.ct_triage import SMALL, BoxPlan
from training.datasets.lesions import LesionSlices
from training.drafts import drafted
from training.recipe import Batch, Data, Recipe, Scores, Stage
from training.scores import dice, mean_of, roc_auc

Read = Callable[[nn.Module, Tensor], Tensor]  # of a patient's slices (S, 1, H, W), to probabilities on the CPU

DICE, AUC = "lesion Dice", "AUC"
CHUNK = 16  # slices that pass a network at a time where patients are validated


@dataclass(frozen=True, kw_only=True)
class SlicePlan(BoxPlan):
    """What `--set` changes in both 2D U-Nets. The paper: 30,000 batches of 30 slices, Adam, learning rate 1e-4, binary
    cross-entropy. `plane` 0: slices whole, zero-padded to the largest of the batch."""

    steps: int = 30_000
    slices: int = 30
    plane: int = 0
    dice: bool = False  # beside the cross-entropy
    level: float = LESION_LEVEL  # threshold of the lesion map


SLICE_SCALES: Mapping[str, SlicePlan] = {
    "paper": SlicePlan(),
    "small": SlicePlan(**{**SMALL, "steps": 800, "slices": 8, "lr": 3e-3, "dice": True, "validate_every": 400}),
    "tiny": SlicePlan(steps=24, slices=4, lr=0.05, plane=64, by_heart=True, validate_every=24, validation_cases=4),
}


def of_slices(number: int, scale: str, plan: SlicePlan, shares: Mapping[str, float]) -> Recipe:
    """The recipe of models 2 and 3, which differ by whom they are shown."""
    spec = ct_triage.boxed(plan, Kind.SLICES)
    kind = partial(
        LesionSlices,
        spec=spec,
        augmentation=ct_triage.augmentation(plan),
        shares=shares,
        slices=plan.slices,
        plane=plan.plane,
    )
    return recipe(
        plan,
        card(number, scale, spec, plan.level),
        ct_triage.stage(plan, "lesions", partial(loss, with_dice=plan.dice)),
        kind,
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
    plan: drafts.Plan,
    card: Card,
    stage: Stage,
    kind: Callable[..., Data],
    *,
    read: Read | None = None,
    richest: bool = False,
) -> Recipe:
    """`kind` and `richest` as in `drafts.samples`; `read`: how the network gives probabilities for a patient's slices,
    where it is not by one logit per pixel."""
    return Recipe(
        card=card,
        stages=(stage,),
        data=drafts.samples(plan, kind, richest=richest),
        validate=partial(validate, level=card.thresholds["lesion"], read=read),
        select=DICE,
        seed=plan.seed,
    )


def loss(network: nn.Module, batch: Batch, *, with_dice: bool) -> dict[str, Tensor]:
    return ct_triage.lesion_loss(network(batch["image"]), batch["lesions"], with_dice=with_dice)


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
    return {DICE: mean_of(overlaps), AUC: roc_auc(np.array(fractions), np.array(covid))}


def likely(network: nn.Module, image: Tensor) -> Tensor:
    """Probabilities for one patient's slices (S, 1, H, W), of a network that sees slices or the whole, on the CPU."""
    parameter = next(network.parameters())
    if any(p.ndim == 5 for p in network.parameters()):  # 3D kernels
        whole = torch.sigmoid(network(image.transpose(0, 1)[None].to(parameter.device)))
        return whole[0].transpose(0, 1).cpu()
    return by_slices(network, image, of_slices=from_logits)


def by_slices(network: nn.Module, image: Tensor, *, of_slices: Likely) -> Tensor:
    """Probabilities for one patient's slices (S, 1, H, W), on the CPU; `of_slices` as in serving."""
    device = next(network.parameters()).device
    return torch.cat([of_slices(network, part.to(device)).cpu()[:, None] for part in torch.split(image, CHUNK)])
