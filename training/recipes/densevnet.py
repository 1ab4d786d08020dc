"""Recipe of model 23, DenseVNet (Gibson et al., IEEE TMI 2018): the box of the lungs stretched to 144 x 144 x 144.

Adam with 1e-3 and Dice are those of NiftyNet's config/densevnet_config.ini, the affine augmentation of 0.1 that of its
dense_vnet.py. Chosen: 30,000 batches of 2 (the published example has 3,001 of 6). What it shares with the other
segmenters is in `training.segmenters`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from models.case import InputSpec, Kind, MaskPolicy
from models.deepsc_triage import LEVEL
from models.maps import stretched
from models.serving import from_pairs
from training import drafts, lesions
from training.datasets.masked_slices import StretchedVolumes
from training.deepsc import SEED, WINDOW_HU
from training.losses import dice_loss
from training.recipe import Batch, Recipe
from training.segmenters import SHARES, lesion_logit


@dataclass(frozen=True, kw_only=True)
class Plan(drafts.Plan):
    """What `--set` changes; a volume is stretched to `slices` x `plane` x `plane` voxels."""

    steps: int = 30_000
    volumes: int = 2
    lr: float = 1e-3
    bent: float = 0.1
    slices: int = 144
    plane: int = 144
    level: float = LEVEL
    validate_every: int = 500
    validation_cases: int = 100
    seed: int = SEED


SCALES: Mapping[str, Plan] = {
    "paper": Plan(),
    "small": Plan(steps=150, slices=64, plane=80, validate_every=150, validation_cases=10),
    "tiny": Plan(steps=28, lr=2e-3, slices=16, plane=32, validate_every=28, validation_cases=4, by_heart=True),
}


def recipe(scale: str, plan: Plan) -> Recipe:
    size = (plan.slices, plan.plane, plan.plane)
    spec = InputSpec(kind=Kind.VOLUME, pixel_mm=None, window_hu=WINDOW_HU, mask=MaskPolicy.CROP, resized=size)
    return lesions.recipe(
        plan,
        lesions.card(23, scale, spec, plan.level),
        drafts.stage(plan, "lesions", loss),
        partial(StretchedVolumes, spec=spec, shares=SHARES, volumes=plan.volumes, bent=plan.bent),
        read=partial(read, size=size),
        richest=True,
    )


def loss(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    return {"lesion Dice": dice_loss(lesion_logit(network(batch["image"])), batch["lesions"])}


def read(network: nn.Module, image: Tensor, *, size: tuple[int, int, int]) -> Tensor:
    """Probabilities for one patient's slices (S, 1, H, W), on the CPU, as in serving."""
    whole = image.transpose(0, 1)[None].to(next(network.parameters()).device)
    found = stretched(from_pairs(network, stretched(whole, size))[:, None], whole.shape[2:])
    return found[0].transpose(0, 1).cpu()
