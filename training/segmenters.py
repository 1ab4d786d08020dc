"""What the recipes of the segmenters that DeepSC-COVID compares with (21 to 25) have in common (Wang et al., Table II).

The paper says nothing of how they were trained. Networks are shown what its own network is shown: the window, and 1,000
scans of COVID-19 and CAP; `paper` has each method's own optimiser where its authors publish it, and else our choice.
An epoch is a slice of each scan, 8 at a time. `small` looks at slices at 3 mm; `tiny` learns one batch by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from models.case import InputSpec, Kind, MaskPolicy
from models.deepsc_triage import LEVEL
from models.serving import Likely
from training import lesions
from training.datasets.masked_slices import MaskedSlices
from training.datasets.stored import open_libraries
from training.deepsc import WINDOW_HU
from training.losses import binary_cross_entropy, dice_loss
from training.recipe import Batch, Data, Group, Recipe, Stage, constant

SHARES: Mapping[str, float] = {"covid": 595 / 1000, "cap": 405 / 1000}  # of the training scans that carry lesions
EPOCH = 125  # steps
CHUNK = 16  # slices that pass a network at a time where patients are validated

Loss = Callable[[nn.Module, Batch], Mapping[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--set` changes in the 2D segmenters. `pixel_mm` 0: pixels as they come."""

    steps: int = 100 * EPOCH
    slices: int = 8
    lr: float = 3e-4
    with_lesions: float = 0.5  # share of the slices
    pixel_mm: float = 0.0
    level: float = LEVEL
    validate_every: int = EPOCH
    validation_cases: int = 100
    by_heart: bool = False  # one batch, again and again
    seed: int = 103  # of DeepSC-COVID's published code


def scales(paper: Plan, tiny_lr: float = 1e-3, tiny_steps: int = 10) -> dict[str, Plan]:
    small = replace(paper, steps=600, slices=16, pixel_mm=3.0, validate_every=100, validation_cases=40)
    tiny = replace(
        paper,
        steps=tiny_steps,
        slices=4,
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
    groups: tuple[Group, ...] = (Group(),),
) -> Recipe:
    """`likely`: what the network gives for slices, as probabilities; as in serving."""

    def data(folder: Path, spec: InputSpec) -> Data:
        train, held_out = open_libraries(folder)
        return dataset(
            train=train,
            held_out=held_out,
            spec=spec,
            validation_cases=plan.validation_cases,
            shares=SHARES,
            slices=plan.slices,
            with_lesions=plan.with_lesions,
        )

    stage = Stage(
        name="lesions",
        steps=plan.steps,
        loss=loss,
        lr=plan.lr,
        schedule=constant,
        validate_every=plan.validate_every,
        groups=groups,
    )
    spec = InputSpec(kind=Kind.SLICES, pixel_mm=plan.pixel_mm or None, window_hu=WINDOW_HU, mask=mask)
    described = lesions.card(number, scale, spec, plan.level)
    read = partial(by_slices, likely=likely)
    return lesions.recipe(described, stage, data, by_heart=plan.by_heart, seed=plan.seed, read=read, richest=True)


def by_slices(network: nn.Module, image: Tensor, *, likely: Likely) -> Tensor:
    """Probabilities for one patient's slices (S, 1, H, W), on the CPU."""
    device = next(network.parameters()).device
    return torch.cat([likely(network, part.to(device)).cpu()[:, None] for part in torch.split(image, CHUNK)])


def lesion_logit(pair: Tensor) -> Tensor:
    """Logits of background and lesion, (N, 2, ...), as the one logit (N, 1, ...) of the same probability."""
    return pair[:, 1:] - pair[:, :1]


def cross_entropy_and_dice(logits: Tensor, target: Tensor, cross_entropy: float = 1.0) -> dict[str, Tensor]:
    return {
        "cross-entropy": cross_entropy * binary_cross_entropy(logits, target),
        "lesion Dice": dice_loss(logits, target),
    }
