"""Recipe of model 27, the 3D ResNet-50 of DeepSC-COVID's comparison (Table II), whose training no source describes.

Our choices: the whole scan, cut out by the lung mask as DeepSC-COVID's own input is, stretched to 48 x 256 x 256; Adam,
learning rate 1e-4, batches of 2, 100 epochs, random weights to begin with. `pseudo` trains the pseudo-3D network that
the paper cites in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from models.case import InputSpec, Kind, MaskPolicy
from training import diagnosis
from training.datasets.diagnoses import DIAGNOSIS
from training.datasets.volumes import ClassifiedVolumes
from training.deepsc import WINDOW_HU
from training.diagnosis import SCANS, SMALL, TASK, TINY, card, of_image
from training.recipe import Recipe

EPOCH = SCANS // 2  # steps
HARA: Mapping[str, Any] = {"depth": 50, "stem": 7, "stem_slices": 1, "first_stride": 1, "momentum": 0.1}


@dataclass(frozen=True, kw_only=True)
class Plan(diagnosis.Plan):
    """What `--set` changes."""

    steps: int = 100 * EPOCH
    lr: float = 1e-4
    validate_every: int = EPOCH
    volumes: int = 2
    slices: int = 48
    plane: int = 256
    pseudo: bool = False


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(**{**SMALL, "steps": 150, "validate_every": 150, "slices": 64, "plane": 80}),
    "tiny": Plan(**{**TINY, "slices": 16, "plane": 40}),
}


def recipe(scale: str, plan: Plan) -> Recipe:
    size = (plan.slices, plan.plane, plan.plane)
    spec = InputSpec(kind=Kind.VOLUME, pixel_mm=None, window_hu=WINDOW_HU, mask=MaskPolicy.ZERO, resized=size)
    described = card(27, scale, spec, "resnet3d")
    kind = partial(
        ClassifiedVolumes,
        spec=spec,
        labels=lambda kind, affected: {TASK: DIAGNOSIS[kind]},
        tasks=(TASK,),
        volumes=plan.volumes,
    )
    arguments = {**described.arguments, **HARA, "pseudo": plan.pseudo}
    return diagnosis.recipe(plan, replace(described, arguments=arguments), "volumes", kind, of_image)
