"""What the recipes of the segmenters that DeepSC-COVID compares with (21 to 25) have in common (Wang et al., Table II).

The paper says nothing of how they were trained. Networks are shown what its own network is shown: the window, and 1,000
scans of COVID-19 and CAP; `paper` has each method's own optimiser where its authors publish it, and else our choice.
An epoch is a slice of each scan, 8 at a time. `small` looks at slices at 3 mm and keeps the last step; `tiny` learns
one batch by heart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from models.case import InputSpec, Kind, MaskPolicy
from models.deepsc_triage import LEVEL
from models.serving import Likely
from training import drafts, lesions
from training.datasets.masked_slices import MaskedSlices
from training.deepsc import SEED, WINDOW_HU
from training.losses import binary_cross_entropy, dice_loss
from training.recipe import Loss, Recipe

SHARES: Mapping[str, float] = {"covid": 595 / 1000, "cap": 405 / 1000}  # of the training scans that carry lesions
EPOCH = 125  # steps


@dataclass(frozen=True, kw_only=True)
class Plan(drafts.Plan):
    """What `--set` changes in the 2D segmenters. `pixel_mm` 0: pixels as they come."""

    steps: int = 100 * EPOCH
    slices: int = 8
    lr: float = 3e-4
    with_lesions: float = 0.5  # share of the slices
    pixel_mm: float = 0.0
    level: float = LEVEL
    validate_every: int = EPOCH
    validation_cases: int = 100
    seed: int = SEED


def scales(paper: Plan, tiny_lr: float = 1e-3, tiny_steps: int = 10) -> dict[str, Plan]:
    small = replace(paper, steps=600, slices=4, lr=1e-3, pixel_mm=3.0, validate_every=600, validation_cases=10)
    tiny = replace(
        paper,
        steps=tiny_steps,
        slices=2,
        lr=tiny_lr,
        with_lesions=1.0,
        pixel_mm=6.0,
        validate_every=tiny_steps,
        validation_cases=4,
        by_heart=True,
    )
    return {"paper": paper, "small": small, "tiny": tiny}


def of_slices(
    number: int,
    scale: str,
    plan: Plan,
    *,
    loss: Loss,
    likely: Likely,
    dataset: type[MaskedSlices] = MaskedSlices,
    mask: MaskPolicy = MaskPolicy.ZERO,
    window_hu: tuple[float, float] = WINDOW_HU,
    **special: Any,
) -> Recipe:
    """`likely`: what the network gives for slices, as probabilities, as in serving; `special` as in `drafts.stage`."""
    spec = InputSpec(kind=Kind.SLICES, pixel_mm=plan.pixel_mm or None, window_hu=window_hu, mask=mask)
    return lesions.recipe(
        plan,
        lesions.card(number, scale, spec, plan.level),
        drafts.stage(plan, "lesions", loss, **special),
        partial(dataset, spec=spec, shares=SHARES, slices=plan.slices, with_lesions=plan.with_lesions),
        read=partial(lesions.by_slices, of_slices=likely),
        richest=True,
    )


def lesion_logit(pair: Tensor) -> Tensor:
    """Logits of background and lesion, (N, 2, ...), as the one logit (N, 1, ...) of the same probability."""
    return pair[:, 1:] - pair[:, :1]


def cross_entropy_and_dice(logits: Tensor, target: Tensor, cross_entropy: float = 1.0) -> dict[str, Tensor]:
    return {
        "cross-entropy": cross_entropy * binary_cross_entropy(logits, target),
        "lesion Dice": dice_loss(logits, target),
    }
