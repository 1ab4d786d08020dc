"""What the recipes of COVID-MTL's volume networks (9 to 13) have in common (Bao et al., Pattern Recognition 2022).

The scale `paper` has the values of section 5.1: SGD with Nesterov momentum 0.9 and weight decay 5e-5, 80 epochs of
batches of 10, a cosine from 0.005 to 5e-5, volumes of 200 x 250 x 250 at 1 mm, moved, turned and with noise. Epochs are
those of the paper's 930 patients. Not followed: half precision (`--precision bfloat16` is near it), and the last epoch
as the result, because there is a validation set here to choose by. `small` looks at the same 200 x 250 x 250 mm in 64 x
80 x 80 voxels; `tiny` at much of it in so few that a test can afford them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from models.case import InputSpec, Kind, MaskPolicy
from models.volume_triage import CT_CLASSES, NAT_CLASSES, SEVERITIES
from training import drafts
from training.datasets.measured import feature_table
from training.datasets.simulated_labels import simulated_labels
from training.datasets.stored import TRAIN, VALIDATION, open_libraries
from training.datasets.volumes import ClassifiedVolumes
from training.drafts import drafted, samples
from training.losses import class_cross_entropy, random_weights, uncertainty_weighted
from training.recipe import Batch, Data, Group, Recipe, Scores, Stage, cosine
from training.scores import class_auc, mean_of

Task = Literal["CT", "NAT", "severity"]
Weighting = Literal["random", "uncertainty", "mean"]
CLASSES: Mapping[str, tuple[str, ...]] = {"CT": CT_CLASSES, "NAT": NAT_CLASSES, "severity": SEVERITIES}

# HU + 1024 from 0 to 2000; then the cohort's mean and standard deviation in those units (StandardCTInfo.xlsx), which
# count the zeros around the lungs.
WINDOW_HU = (-1024.0, 976.0)
MEAN_SD = (16.71 / 2000.0, 85.16 / 2000.0)
EPOCH = 93  # steps: 930 patients, 10 at a time
FLOOR = 0.01  # of the learning rate: 5e-5 of 5e-3 (the published code forgets to apply it)
# Where a training is so short that with the networks' own momentum of 0.01 the batch norms would still hold what they
# began with: such networks answer every patient alike.
NORM_MOMENTUM = 0.1
MEAN_AUC = "mean AUC"
SELECT = MEAN_AUC


@dataclass(frozen=True, kw_only=True)
class Plan(drafts.Plan):
    """What `--set` changes in every one of them."""

    steps: int = 80 * EPOCH
    volumes: int = 10
    lr: float = 5e-3
    weight_decay: float = 5e-5
    augment: bool = True
    slices: int = 200
    plane: int = 250
    slice_mm: float = 1.0
    pixel_mm: float = 1.0
    norm_momentum: float | None = None  # of the batch norms; None: the networks' 0.01
    validate_every: int = EPOCH
    validation_cases: int = 100
    seed: int = 11  # of the published split


@dataclass(frozen=True, kw_only=True)
class SingleTask(Plan):
    """A network of its own for each task."""

    task: Task = "NAT"


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(
        steps=100,
        volumes=4,
        slices=64,
        plane=80,
        slice_mm=3.125,
        pixel_mm=3.125,
        norm_momentum=NORM_MOMENTUM,
        validate_every=50,
        validation_cases=40,
    ),
    "tiny": Plan(
        steps=18,
        volumes=4,
        lr=3e-3,
        augment=False,
        slices=16,
        plane=40,
        slice_mm=12.5,
        pixel_mm=6.25,
        norm_momentum=NORM_MOMENTUM,
        validate_every=18,
        validation_cases=4,
        by_heart=True,
    ),
}
P = TypeVar("P", bound=Plan)


def scales(kind: type[P]) -> dict[str, P]:
    """The scales of a plan that has more to change."""
    return {scale: kind(**asdict(plan)) for scale, plan in SCALES.items()}


def recipe(
    number: int,
    scale: str,
    plan: Plan,
    *,
    architecture: str,
    arguments: Mapping[str, Any],
    tasks: Sequence[str],
    stages: Sequence[Stage],
    features_mm: float | None = None,
) -> Recipe:
    """`features_mm`: the grid of the radiomic features of a network that is given them beside the volume."""
    spec = InputSpec(
        kind=Kind.VOLUME,
        pixel_mm=plan.pixel_mm,
        slice_mm=plan.slice_mm,
        window_hu=WINDOW_HU,
        mask=MaskPolicy.ZERO,
        size=(plan.slices, plan.plane, plan.plane),
        mean_sd=MEAN_SD,
        features_mm=features_mm,
    )
    said = {"probability": "CT" in tasks or "NAT" in tasks, "class_probabilities": "severity" in tasks}
    card = replace(
        drafted(number, scale),
        outputs=tuple(name for name, there in said.items() if there),
        architecture=architecture,
        arguments=arguments,
        input=spec,
        classes={task: CLASSES[task] for task in tasks},
        limits="a drawn patient has no test and no course: labels of such are simulated, and support no conclusion",
    )
    return Recipe(
        card=card,
        stages=tuple(stages),
        data=partial(_data, plan=plan, spec=spec, tasks=tasks),
        validate=partial(validate, tasks=tasks),
        select=SELECT,
        seed=plan.seed,
        norm_momentum=plan.norm_momentum,
    )


def single_task(
    number: int, scale: str, plan: SingleTask, architecture: str, arguments: Mapping[str, Any] | None = None
) -> Recipe:
    """One network for one task: models 9, 10 and 11."""
    return recipe(
        number,
        scale,
        plan,
        architecture=architecture,
        arguments={"classes": len(CLASSES[plan.task]), **(arguments or {})},
        tasks=[plan.task],
        stages=[stage(plan, plan.task, [plan.task])],
    )


def stage(plan: Plan, name: str, tasks: Sequence[str], *, weighting: Weighting = "mean", **special: Any) -> Stage:
    return drafts.stage(
        plan,
        name,
        partial(loss, tasks=tasks, weighting=weighting),
        floored_cosine,
        optimizer=partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=plan.weight_decay),
        groups=(Group(prefix="log_variance", options={"weight_decay": 0.0}), Group()),
        **special,
    )


def floored_cosine(done: float) -> float:
    return max(FLOOR, cosine(done))


def loss(network: nn.Module, batch: Batch, *, tasks: Sequence[str], weighting: Weighting) -> dict[str, Tensor]:
    """The weighted cross-entropy of each task."""
    said = answers(network, batch, tasks)
    losses = torch.stack([class_cross_entropy(said[task], batch[task]) for task in tasks])
    if weighting == "uncertainty":
        weighted = uncertainty_weighted(losses, network.get_parameter("log_variance"))
    elif weighting == "random":
        weighted = losses * random_weights(len(tasks)).to(losses.device)
    else:
        weighted = losses / len(tasks)
    return dict(zip(tasks, weighted, strict=True))


def answers(network: nn.Module, batch: Batch, tasks: Sequence[str]) -> Mapping[str, Tensor]:
    """The logits of a network with one task, or with several, by task; it is given features where there are any."""
    given = [batch[name] for name in ("image", "features") if name in batch]
    said: Tensor | Mapping[str, Tensor] = network(*given)
    return said if isinstance(said, Mapping) else {tasks[0]: said}


def validate(network: nn.Module, cases: Iterable[Batch], *, tasks: Sequence[str]) -> Scores:
    """ROC AUC of each task, of severity the mean of one class against the rest, and the mean over tasks. A class that
    no case has is left out; where that leaves nothing, nan."""
    device = next(network.parameters()).device
    likely: dict[str, list[list[float]]] = {task: [] for task in tasks}
    truth: dict[str, list[int]] = {task: [] for task in tasks}
    for case in cases:
        said = answers(network, {name: t.to(device) for name, t in case.items()}, tasks)
        for task in tasks:
            likely[task] += torch.softmax(said[task], dim=1).tolist()
            truth[task] += case[task].tolist()
    areas = {f"{task} AUC": class_auc(np.array(likely[task]), np.array(truth[task])) for task in tasks}
    return {**areas, MEAN_AUC: mean_of(list(areas.values()))}


def _data(folder: Path, *, plan: Plan, spec: InputSpec, tasks: Sequence[str]) -> Data:
    kind = partial(
        ClassifiedVolumes,
        spec=spec,
        labels=simulated_labels,
        tasks=tasks,
        volumes=plan.volumes,
        augment=plan.augment,
    )
    if spec.features_mm is not None:
        opened = zip((TRAIN, VALIDATION), open_libraries(folder), strict=True)
        tables = [feature_table(folder / name, library, spec.features_mm) for name, library in opened]
        kind = partial(kind, features=tuple(tables))
    return samples(plan, kind)(folder)
