"""Recipe of model 26, the 2D ResNet-50 of DeepSC-COVID's comparison (Table II), whose training no source describes.

Our choices: slices with lung, cut out by the lung mask as DeepSC-COVID's own input is, of 224 x 224 pixels, each with
its scan's label; the scan's answer is the mean over slices; Adam, learning rate 1e-4, batches of 32, 30 epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from models.case import Aggregator, InputSpec, Kind, MaskPolicy
from training import diagnosis
from training.datasets.slices import LabelledSlices
from training.deepsc import WINDOW_HU
from training.diagnosis import BALANCED, SCANS, SMALL, TINY, card, of_image
from training.recipe import Recipe

EPOCH = SCANS * 254 // 32  # steps: 254 slices a scan on average


@dataclass(frozen=True, kw_only=True)
class Plan(diagnosis.Plan):
    """What `--set` changes."""

    steps: int = 30 * EPOCH
    lr: float = 1e-4
    validate_every: int = EPOCH
    slices: int = 32
    plane: int = 224
    depth: int = 64  # slices of a study that are read when serving


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(**{**SMALL, "slices": 8, "plane": 128, "depth": 16}),
    "tiny": Plan(**{**TINY, "slices": 4, "plane": 64, "depth": 4}),
}


def recipe(scale: str, plan: Plan) -> Recipe:
    spec = InputSpec(
        kind=Kind.SLICES,
        pixel_mm=None,
        window_hu=WINDOW_HU,
        mask=MaskPolicy.ZERO,
        plane=(plan.plane, plan.plane),
        depth=plan.depth,
        aggregator=Aggregator.MEAN,
    )
    kind = partial(LabelledSlices, spec=spec, slices=plan.slices, shares=BALANCED, annotated={}, lesions_first=False)
    return diagnosis.recipe(plan, card(26, scale, spec, "resnet50"), "slices", kind, of_image)
