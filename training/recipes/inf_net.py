"""Recipe of model 30, Inf-Net (Fan et al., IEEE TMI 2020), after the description of the authors' published training.

Theirs: 50 annotated slices of 352 x 352, batches of 24, each at 0.75, 1 and 1.25 of that size, Adam, learning rate
1e-4, 100 epochs, gradients clipped at 0.5; cross-entropy and overlap, weighted, of four maps, and cross-entropy of the
edges. Not followed: their learning rate falls tenfold at every epoch after the 50th, where once was meant; a step here
has one of the three sizes, at random, so that there are three times as many steps. Our choices: slices of COVID-19
patients, every one annotated, from a lung window.

`semi` is Semi-Inf-Net: a share of the patients is annotated; then the others' slices come with pseudo-labels, for 10
epochs of 1,600 at 3e-4; then the annotated alone again. Theirs are 16 in a batch, here as many as of the annotated,
and theirs are labelled five by five by the network of the moment, here by a teacher that follows it slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.case import InputSpec, Kind
from models.slicewise import LESION_LEVEL
from training.datasets.fixed import OneBatch
from training.datasets.slices import LabelledSlices, WithUnlabelled
from training.datasets.stored import open_libraries
from training.drafts import drafted
from training.losses import binary_cross_entropy, edges_of, weighted_overlap
from training.recipe import Batch, Data, Group, Recipe, Scores, Stage, Teacher, constant, drop
from training.recipes.reconstruction import WINDOW_HU
from training.scores import dice

EPOCH = 3 * 2  # steps: 50 slices make two whole batches of 24, in three sizes
SIZES = (0.75, 1.0, 1.25)
CLIP = 0.5
KEEP = 0.99  # of the teacher, in every step
STEP = 32  # pixels of the plane to one of the coarsest map
SELECT = "lesion Dice"
# The batch norms in which the maps and the edges end: two numbers of each decide how sure the network may be.
NORMS = tuple(f"{place}.1." for place in ("attention.0.body.3", "attention.1.body.2", "attention.2.body.2", "edge_map"))
NAMES = ("finest map", "finer map", "coarser map", "coarsest map")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--set` changes. `sizes`: whether a step may have another size than the plane; `drop_at`: the share of the
    steps after which the learning rate is a tenth; `norms_lr`: a factor of the learning rate of the last norms."""

    steps: int = 100 * EPOCH
    slices: int = 24
    plane: int = 352
    lr: float = 1e-4
    drop_at: float = 0.5
    norms_lr: float = 1.0
    sizes: bool = True
    validate_every: int = EPOCH
    validation_cases: int = 50
    by_heart: bool = False
    seed: int = 42
    semi: bool = False
    labelled: float = 50 / 1650  # of the patients, for `semi`
    semi_steps: int = 10 * 3 * 1600 // 24
    semi_lr: float = 3e-4


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(steps=600, slices=4, plane=128, validate_every=100, validation_cases=40, semi_steps=300),
    "tiny": Plan(
        steps=28,
        slices=2,
        plane=64,
        lr=1e-3,
        drop_at=1.0,
        norms_lr=200.0,  # from a mean of 0 and a deviation of 1, which fit no picture that is mostly no lesion
        sizes=False,
        validate_every=28,
        validation_cases=4,
        by_heart=True,
    ),
}


class ClippedAdam(torch.optim.Adam):
    """Adam whose gradients are cut at CLIP on both sides."""

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        for group in self.param_groups:
            nn.utils.clip_grad_value_(group["params"], CLIP)
        return super().step(closure)


def recipe(scale: str, plan: Plan) -> Recipe:
    spec = InputSpec(kind=Kind.SLICES, pixel_mm=None, window_hu=WINDOW_HU, plane=(plan.plane, plan.plane))
    card = replace(
        drafted(30, scale),
        outputs=("lesions",),
        thresholds={"lesion": LESION_LEVEL},
        architecture="inf-net",
        input=spec,
        limits="learned from slices with lesions alone; severity only, no probability; random weights to begin with",
    )
    labelled = Stage(
        name="lesions",
        steps=plan.steps,
        loss=partial(loss, sizes=plan.sizes),
        lr=plan.lr,
        schedule=drop(plan.drop_at, 0.1),
        validate_every=plan.validate_every,
        optimizer=ClippedAdam,
        groups=(*(Group(prefix=norm, lr_factor=plan.norms_lr) for norm in NORMS), Group()),
    )
    pseudo = replace(
        labelled,
        name="pseudo-labels",
        steps=plan.semi_steps,
        lr=plan.semi_lr,
        schedule=constant,
        teacher=Teacher(loss=partial(pseudo_loss, sizes=plan.sizes), keep=KEEP),
    )
    stages = (labelled, pseudo, replace(labelled, name="annotated again")) if plan.semi else (labelled,)
    data = partial(_data, plan=plan, spec=spec)
    return Recipe(card=card, stages=stages, data=data, validate=validate, select=SELECT, seed=plan.seed)


def _data(folder: Path, *, plan: Plan, spec: InputSpec) -> Data:
    train, held_out = open_libraries(folder)
    labelled = LabelledSlices(
        train=train,
        held_out=held_out,
        spec=spec,
        validation_cases=plan.validation_cases,
        slices=plan.slices,
        shares={"covid": 1.0},
        annotated={"covid": plan.labelled if plan.semi else 1.0},
        told_only=True,
    )
    slices: Data = labelled
    if plan.semi:
        slices = WithUnlabelled(labelled=labelled, unlabelled=replace(labelled, annotated={}, told_only=False))
    return OneBatch(of=slices, seed=plan.seed, richest=True) if plan.by_heart else slices


def loss(network: nn.Module, batch: Batch, *, sizes: bool) -> dict[str, Tensor]:
    image, lesions = batch["image"], batch["lesions"]
    edges = edges_of(lesions)
    if sizes:
        size = SIZES[int(torch.randint(len(SIZES), ()))]
        pixels = round(image.shape[-1] * size / STEP) * STEP
        image, lesions, edges = (
            F.interpolate(m, size=(pixels, pixels), mode="bilinear", align_corners=True)
            for m in (image, lesions, edges)
        )
    maps, edge = network(image)
    terms = {name: weighted_overlap(maps[:, n : n + 1], lesions) for n, name in enumerate(NAMES)}
    return terms | {"edges": binary_cross_entropy(edge, edges)}


def pseudo_loss(network: nn.Module, batch: Batch, teacher: nn.Module, *, sizes: bool) -> dict[str, Tensor]:
    """Of slices whose lesions are where the teacher sees them."""
    with torch.no_grad():
        seen = (torch.sigmoid(teacher(batch["unlabelled"])[0][:, :1]) > LESION_LEVEL).float()
    terms = loss(network, {"image": batch["unlabelled"], "lesions": seen}, sizes=sizes)
    return {f"pseudo-labels: {name}": term for name, term in terms.items()}


def validate(network: nn.Module, cases: Iterable[Batch]) -> Scores:
    """Mean Dice over slices with lesions."""
    device = next(network.parameters()).device
    overlaps = []
    for case in cases:
        truth = case["lesions"].numpy() > 0.5
        if truth.any():
            found = torch.sigmoid(network(case["image"].to(device))[0][:, :1]) > LESION_LEVEL
            overlaps.append(dice(found.cpu().numpy(), truth))
    return {SELECT: float(np.mean(overlaps)) if overlaps else float("nan")}
