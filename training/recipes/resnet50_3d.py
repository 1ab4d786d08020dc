"""Recipe of model 27, the 3D ResNet-50 of DeepSC-COVID's comparison (Table II), whose training no source describes.

Our choices: the whole scan, cut out by the lung mask as DeepSC-COVID's own input is, stretched to 48 x 256 x 256; Adam,
learning rate 1e-4, batches of 2, 100 epochs, random weights to begin with. `pseudo` trains the pseudo-3D network that
the paper cites in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.case import InputSpec, Kind, MaskPolicy
from training import diagnosis
from training.datasets.diagnoses import DIAGNOSIS
from training.datasets.fixed import OneBatch
from training.datasets.stored import open_libraries
from training.datasets.volumes import ClassifiedVolumes
from training.deepsc import WINDOW_HU
from training.diagnosis import AUC, SCANS, SMALL, TASK, TINY, card
from training.recipe import Batch, Data, Recipe, Stage, constant

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
    "small": Plan(**{**SMALL, "slices": 64, "plane": 80}),
    "tiny": Plan(**{**TINY, "slices": 16, "plane": 40}),
}


def recipe(scale: str, plan: Plan) -> Recipe:
    spec = InputSpec(
        kind=Kind.VOLUME,
        pixel_mm=None,
        window_hu=WINDOW_HU,
        mask=MaskPolicy.ZERO,
        resized=(plan.slices, plan.plane, plan.plane),
    )
    described = card(27, scale, spec, "resnet3d")
    stage = Stage(
        name="volumes",
        steps=plan.steps,
        loss=partial(diagnosis.loss, logits=logits),
        lr=plan.lr,
        schedule=constant,
        validate_every=plan.validate_every,
    )
    return Recipe(
        card=replace(described, arguments={**described.arguments, **HARA, "pseudo": plan.pseudo}),
        stages=(stage,),
        data=partial(_data, plan=plan, spec=spec),
        validate=partial(diagnosis.validate, logits=logits),
        select=AUC,
        seed=plan.seed,
    )


def logits(network: nn.Module, batch: Batch) -> Tensor:
    result: Tensor = network(batch["image"])
    return result


def _data(folder: Path, *, plan: Plan, spec: InputSpec) -> Data:
    train, held_out = open_libraries(folder)
    volumes = ClassifiedVolumes(
        train=train,
        held_out=held_out,
        spec=spec,
        validation_cases=plan.validation_cases,
        labels=lambda kind, affected: {TASK: DIAGNOSIS[kind]},
        tasks=(TASK,),
        volumes=plan.volumes,
    )
    return OneBatch(of=volumes, seed=plan.seed) if plan.by_heart else volumes
