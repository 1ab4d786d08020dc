"""What the recipes of DeepSC-COVID and of its tasks alone (18, 19, 20) have in common (Wang et al., section V-A).

The scale `paper` has the paper's values: first both tasks apart, learning rate 1e-3, then together, 1e-4; Adam, each
time with a linear decay; no augmentation. What is in its missing supplement is chosen: 100 and 50 epochs of 1,353
scans, one at a time; focal loss with alpha 0.9 and gamma 2; weights 1 (Dice), 2 (focal), 1 (class) and 10 (task-aware,
the best of the paper's 0, 1, 10, 100). Apart, the classification is told of no lesions. Lesions are learned from
COVID-19 and CAP alone, as the authors' loader has it; classes weigh by their inverse frequency.

Switches of the ablations: `inception`, `cross_stitch`, `channels`, `task_aware` (the weight), `multi_scale` (False:
only the coarsest pair of the task-aware loss).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.case import InputSpec, Kind, MaskPolicy
from models.deepsc import SCALES as ETA
from models.deepsc import DeepSC, Reading, Tasks, cut
from models.deepsc_triage import LEVEL, TASK
from models.volume_triage import DIAGNOSES
from training import drafts
from training.datasets.patches import ScanPatches
from training.drafts import drafted
from training.losses import dice_loss, focal_loss, task_aware_loss
from training.recipe import Batch, Recipe, Scores, Stage, linear
from training.scores import class_auc, dice, mean_of

WINDOW_HU = (-1400.0, 200.0)  # printed "[-1, 400 HU, 200 HU]"; the code has these
ALPHA, GAMMA = 0.9, 2.0
DICE_WEIGHT, FOCAL_WEIGHT = 1.0, 2.0
WITH_LESIONS = ("covid", "cap")
EPOCH = 1353  # steps: the training part, one scan at a time
SEED = 103  # of the published code
AUC, LESION_DICE, ACCURACY, BOTH = "AUC", "lesion Dice", "accuracy", "AUC and Dice"
SELECT: Mapping[Tasks, str] = {"both": BOTH, "lesions": LESION_DICE, "diagnosis": AUC}


@dataclass(frozen=True, kw_only=True)
class Plan(drafts.Plan):
    """What `--set` changes in each of the three. Sizes are voxels; `pixel_mm` and `slice_mm` 0: as they come;
    `slices` and `plane` 0: the scan as large as it is."""

    steps: int = 100 * EPOCH
    scans: int = 1
    lr: float = 1e-3
    inception: bool = True
    pixel_mm: float = 0.0
    slice_mm: float = 0.0
    slices: int = 0
    plane: int = 0
    patch_slices: int = 24
    patch_plane: int = 256
    overview_slices: int = 48
    overview_plane: int = 256
    validate_every: int = EPOCH
    validation_cases: int = 135  # a tenth of the training part
    seed: int = SEED


@dataclass(frozen=True, kw_only=True)
class LesionPlan(Plan):
    """Where there are lesions to learn."""

    channels: int = 1


@dataclass(frozen=True, kw_only=True)
class JointPlan(LesionPlan):
    """Where both tasks are learned: `steps` and `lr` are those of the first stage."""

    joint_steps: int = 50 * EPOCH
    joint_lr: float = 1e-4
    cross_stitch: bool = True
    task_aware: float = 10.0
    multi_scale: bool = True


P = TypeVar("P", bound=Plan)
# 200 x 250 x 250 mm in 64 x 80 x 80 voxels, a patch of half its side as in the paper; and as much in so few that a test
# can afford them.
_SMALL = Plan(
    steps=150,
    scans=2,  # torch computes 3-D convolutions of a single sample another, slower way
    pixel_mm=3.125,
    slice_mm=3.125,
    slices=64,
    plane=80,
    patch_plane=40,
    overview_plane=80,
    validate_every=150,  # as with all that it is compared with, once, at the end: no step is chosen
    validation_cases=10,
)
_TINY = Plan(
    steps=24,
    scans=2,
    pixel_mm=10.4,
    slice_mm=25.0,
    slices=8,
    plane=24,
    patch_slices=8,
    patch_plane=24,
    overview_slices=8,
    overview_plane=24,
    validate_every=24,
    validation_cases=4,
    by_heart=True,
)


def scales(kind: type[P], small: Mapping[str, float], tiny: Mapping[str, float]) -> dict[str, P]:
    """The scales of a plan that has more to change; what it changes where scans are small."""
    return {"paper": kind(), "small": kind(**{**asdict(_SMALL), **small}), "tiny": kind(**{**asdict(_TINY), **tiny})}


def recipe(number: int, scale: str, plan: Plan, tasks: Tasks, arguments: Mapping[str, Any], *stages: Stage) -> Recipe:
    spec = InputSpec(
        kind=Kind.VOLUME,
        pixel_mm=plan.pixel_mm or None,
        slice_mm=plan.slice_mm or None,
        window_hu=WINDOW_HU,
        mask=MaskPolicy.ZERO,
        size=(plan.slices, plan.plane, plan.plane) if plan.slices and plan.plane else None,
        tile=(plan.patch_slices, plan.patch_plane, plan.patch_plane),
        overview=(plan.overview_slices, plan.overview_plane, plan.overview_plane),
    )
    said = {
        "lesions": tasks != "diagnosis",
        "probability": tasks != "lesions",
        "class_probabilities": tasks != "lesions",
    }
    card = replace(
        drafted(number, scale),
        outputs=tuple(name for name, there in said.items() if there),
        thresholds={"lesion": LEVEL} if tasks != "diagnosis" else {},
        classes={} if tasks == "lesions" else {TASK: DIAGNOSES},
        architecture="deepsc",
        arguments={"tasks": tasks, "inception": plan.inception, **arguments},
        input=spec,
        limits="three classes: what is neither COVID-19 nor CAP is called non-pneumonia",
    )
    kind = partial(ScanPatches, spec=spec, scans=plan.scans, annotated=WITH_LESIONS)
    return Recipe(
        card=card,
        stages=stages,
        data=drafts.samples(plan, kind, richest=True),
        validate=validate,
        select=SELECT[tasks],
        seed=plan.seed,
    )


def stage(
    plan: Plan, name: str, *, apart: bool, task_aware: float = 0.0, multi_scale: bool = True, **special: Any
) -> Stage:
    """`apart`: neither task hears of the other, while training and while choosing; `special` as in `drafts.stage`."""
    told = partial(loss, apart=apart, task_aware=task_aware, multi_scale=multi_scale)
    return drafts.stage(plan, name, told, linear, validate=partial(validate, apart=apart), **special)


def loss(network: nn.Module, batch: Batch, *, apart: bool, task_aware: float, multi_scale: bool) -> dict[str, Tensor]:
    """The paper's terms, each with its weight (equation 11), of the tasks that the network has."""
    said: Reading = network(batch["patches"], batch["scans"], batch["places"], apart=apart)
    terms = {}
    if said.lesions is not None:
        terms["lesion Dice"] = DICE_WEIGHT * dice_loss(said.lesions, batch["lesions"])
        terms["lesion focal"] = FOCAL_WEIGHT * focal_loss(said.lesions, batch["lesions"], ALPHA, GAMMA)
    if said.classes is not None:
        every = F.cross_entropy(said.classes, batch["diagnosis"], reduction="none")
        terms["class"] = (batch["weight"].to(every.dtype) * every).mean()
    if said.lesions is not None and said.classes is not None and task_aware > 0.0 and not apart:
        terms["task-aware"] = task_aware * agreement(network, said, batch, 3 if multi_scale else 1)
    return terms


def agreement(network: nn.Module, said: Reading, batch: Batch, scales: int) -> Tensor:
    """The task-aware loss of the coarsest lesion map and the deepest evidence, and so on. The evidence is that of the
    true class, and a scan without pneumonia has none: only COVID-19 and CAP have lesions."""
    if not isinstance(network, DeepSC):
        raise TypeError(f"{type(network).__name__} is no DeepSC")
    deepest_first = network.evidence(said.encoded, batch["diagnosis"])[::-1]
    maps = said.scales[:scales]
    there = [cut(v, batch["places"], s.shape[2:]) for v, s in zip(deepest_first, maps, strict=False)]
    return task_aware_loss(maps, there, ETA[:scales], batch["diagnosis"] < len(WITH_LESIONS))


def validate(network: nn.Module, cases: Iterable[Batch], *, apart: bool = False) -> Scores:
    """Mean Dice over whole patients who have lesions; accuracy and ROC AUC, the mean of one class against the rest; of
    what the network says, and the mean of Dice and AUC."""
    if not isinstance(network, DeepSC):
        raise TypeError(f"{type(network).__name__} is no DeepSC")
    device = next(network.parameters()).device
    overlaps, likely, classes = [], [], []
    for case in cases:
        case = {name: t.to(device) for name, t in case.items()}
        pairs = zip(torch.split(case["patches"], 1), torch.split(case["places"], 1), strict=True)
        found = network.read(case["scans"], pairs, apart=apart)
        truth = case["lesions"].cpu().numpy() > 0.5
        if found.lesions and truth.any():
            overlaps.append(dice((torch.cat(found.lesions) > LEVEL).cpu().numpy(), truth))
        if found.classes is not None:
            likely.append(torch.softmax(found.classes[0], dim=0).tolist())
            classes.append(int(case["diagnosis"]))
    scores = {}
    if network.tasks != "diagnosis":
        scores[LESION_DICE] = mean_of(overlaps)
    if network.tasks != "lesions":
        table, truth = np.array(likely), np.array(classes)
        scores |= {AUC: class_auc(table, truth), ACCURACY: float((table.argmax(axis=1) == truth).mean())}
    return scores | ({BOTH: mean_of([scores[AUC], scores[LESION_DICE]])} if network.tasks == "both" else {})
