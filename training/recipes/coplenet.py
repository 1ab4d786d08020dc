"""Recipe of model 24, COPLE-Net (Wang et al., IEEE TMI 2020): its noise-robust Dice loss on slices in the box of the
lungs. Chosen: Adam with 1e-4, 80 epochs. What it shares with the other segmenters is in `training.segmenters`.

`teacher` is the paper's self-ensembling, for noisy marks: a mean teacher sees the slices with noise, and the network
agrees with it where the teacher's own loss is smaller. Weight, noise and the teacher's pace are ours; that the teacher
learns less from a network with a large loss is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from models.case import MaskPolicy
from models.serving import from_pairs
from training import segmenters
from training.datasets.masked_slices import BoxedSlices
from training.losses import noise_robust_dice
from training.recipe import Batch, Recipe, Teacher
from training.segmenters import EPOCH, lesion_logit

WINDOW_HU = (-1400.0, 100.0)  # level -650, width 1500: the authors' config/config.cfg
KEEP = 0.99  # of the teacher, in every step
AGREEMENT, NOISE = 0.1, 0.05  # weight of the agreement; standard deviation in the picture, which spans 0 to 1


@dataclass(frozen=True, kw_only=True)
class Plan(segmenters.Plan):
    teacher: bool = False


_PAPER = segmenters.Plan(steps=80 * EPOCH, lr=1e-4)
_SCALES = segmenters.scales(_PAPER)
# At the other segmenters' 1e-3 three seeds of three ended up calling the whole box a lesion.
_SMALL = replace(_SCALES["small"], lr=_PAPER.lr)
SCALES: Mapping[str, Plan] = {scale: Plan(**asdict(plan)) for scale, plan in {**_SCALES, "small": _SMALL}.items()}


def recipe(scale: str, plan: Plan) -> Recipe:
    made = segmenters.of_slices(
        24,
        scale,
        plan,
        loss=loss,
        likely=from_pairs,
        dataset=BoxedSlices,
        mask=MaskPolicy.CROP,
        window_hu=WINDOW_HU,
    )
    if not plan.teacher:
        return made
    taught = replace(made.stages[0], teacher=Teacher(loss=agreement, keep=KEEP))
    return replace(made, stages=(taught,))


def loss(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    return {"noise-robust Dice": noise_robust_dice(lesion_logit(network(batch["image"])), batch["lesions"])}


def agreement(network: nn.Module, batch: Batch, teacher: nn.Module) -> dict[str, Tensor]:
    """Mean square of what network and teacher differ by; 0, with a gradient of 0, where the teacher is no better."""
    image, lesions = batch["image"], batch["lesions"]
    said = lesion_logit(network(image))
    with torch.no_grad():
        taught = lesion_logit(teacher(image + NOISE * torch.randn_like(image)))
        better = noise_robust_dice(taught, lesions) < noise_robust_dice(said, lesions)
    apart = (torch.sigmoid(said) - torch.sigmoid(taught)).square()
    return {"agreement": AGREEMENT * better * apart[~torch.isnan(lesions)].mean()}
