"""Recipe of model 24, COPLE-Net (Wang et al., IEEE TMI 2020): its noise-robust Dice loss on slices in the box of the
lungs. The paper's self-ensembling teacher, which learns from noisy marks, is left out. Chosen: Adam with 1e-4, 80
epochs. What it shares with the other segmenters is in `training.segmenters`."""

from __future__ import annotations

from torch import Tensor, nn

from models.case import MaskPolicy
from models.serving import from_pairs
from training import segmenters
from training.datasets.masked_slices import BoxedSlices
from training.losses import noise_robust_dice
from training.recipe import Batch, Recipe
from training.segmenters import EPOCH, Plan, lesion_logit

WINDOW_HU = (-1400.0, 100.0)  # level -650, width 1500: the authors' config/config.cfg
SCALES = segmenters.scales(Plan(steps=80 * EPOCH, lr=1e-4))


def recipe(scale: str, plan: Plan) -> Recipe:
    return segmenters.of_slices(
        24,
        scale,
        plan,
        loss=loss,
        likely=from_pairs,
        dataset=BoxedSlices,
        mask=MaskPolicy.CROP,
        window_hu=WINDOW_HU,
    )


def loss(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    return {"noise-robust Dice": noise_robust_dice(lesion_logit(network(batch["image"])), batch["lesions"])}
