"""What the recipes of CT triage's networks (1 to 6) have in common (Goncharov et al., section 4).

The scale `paper` has the paper's values: Adam, at a rate that is constant unless said otherwise, slices of 2 mm pixels
in the box of the lungs; where the paper is silent, those of its published scripts. `small` looks at pixels of 3 mm.
Phantoms beside the paper's data: every scale but `paper` augments, and every empty mask is exact. `small` takes small
batches and so more steps, Dice beside the cross-entropy of lesions, and a rate that is higher for the fewer steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import Tensor

from models.case import InputSpec, Kind, MaskPolicy
from models.network import PIXEL_MM, WINDOW_HU
from training import drafts
from training.augment import Augmentation
from training.datasets.phantom import LesionSeries
from training.losses import binary_cross_entropy, dice_loss
from training.recipe import Loss, Schedule, Stage, constant, cosine, drop

MARGIN_MM = 6.0  # around the box of the lungs: a predicted lung ends short of consolidation at the pleura
SMALL_MM = 3.0  # pixels of the scale small
Falling = Literal["constant", "drop", "cosine"]  # how the rate falls
SCHEDULES: Mapping[Falling, Schedule] = {"constant": constant, "drop": drop(0.5, 0.1), "cosine": cosine}


@dataclass(frozen=True, kw_only=True)
class Plan(drafts.Plan):
    """What `--set` changes in all of them. `drop`: to a tenth after half of the steps."""

    lr: float = 1e-4
    schedule: Falling = "constant"
    augment: bool = False
    pixel_mm: float = PIXEL_MM
    validate_every: int = 300  # batches: an epoch of train_multitask_spatial.py
    validation_cases: int = 30
    seed: int = 42  # the published split's


@dataclass(frozen=True, kw_only=True)
class BoxPlan(Plan):
    """Where the network sees the box of the lungs."""

    margin_mm: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SeriesPlan(BoxPlan):
    """Where it scores series, models 5 and 6: 60,000 batches of 5 series. Published scripts: at most 32 slices; while
    training, a series is cropped about its centre to `rows` x `columns`."""

    steps: int = 60_000
    series: int = 5
    depth: int = 32
    rows: int = 128
    columns: int = 160


# What the scale small means where the box of the lungs is seen: two cores.
SMALL: Mapping[str, Any] = {
    "schedule": "cosine",
    "augment": True,
    "margin_mm": MARGIN_MM,
    "pixel_mm": SMALL_MM,
    "validate_every": 100,
    "validation_cases": 40,
}


def stage(plan: Plan, name: str, loss: Loss, **special: Any) -> Stage:
    return drafts.stage(plan, name, loss, SCHEDULES[plan.schedule], **special)


def lesion_loss(logits: Tensor, target: Tensor, *, with_dice: bool) -> dict[str, Tensor]:
    """The paper's cross-entropy; what ends long before the paper's 30,000 batches needs Dice beside it. The last layer
    has no bias that could learn how rare lesions are, and 200 batches of 32 went by for that alone."""
    terms = {"lesion cross-entropy": binary_cross_entropy(logits, target)}
    return terms | ({"lesion Dice": dice_loss(logits, target)} if with_dice else {})


def augmentation(plan: Plan) -> Augmentation | None:
    return Augmentation() if plan.augment else None


def boxed(
    plan: BoxPlan, kind: Kind, *, depth: int | None = None, tile: tuple[int, int, int] | None = None
) -> InputSpec:
    """The box of the lungs, in slices or whole."""
    return InputSpec(
        kind=kind,
        pixel_mm=plan.pixel_mm,
        window_hu=WINDOW_HU,
        mask=MaskPolicy.CROP,
        margin_mm=plan.margin_mm,
        depth=depth,
        tile=tile,
    )


def series(plan: SeriesPlan, spec: InputSpec, shares: Mapping[str, float], annotated: Sequence[str]) -> drafts.Opened:
    """Series of kinds drawn by their shares; of the kinds in `annotated` the network is told the lesions."""
    kind = partial(
        LesionSeries,
        spec=spec,
        augmentation=augmentation(plan),
        series=plan.series,
        shares=shares,
        annotated=annotated,
        limit=(plan.rows, plan.columns),
    )
    return drafts.samples(plan, kind)
