"""Recipe of model 25, FSS-2019-nCov (Abdel-Basset et al., Knowledge-Based Systems 2021), as rebuilt in `models.fss`.

Episodes: each slice of a batch comes with a slice of a random patient whose lesions are known. Chosen: cross-entropy
and Dice, Adam with 1e-4, 100 epochs; the supports it answers from are drawn from the training patients before the first
step. Left out: the unlabelled scans of its semi-supervised training, and ImageNet's weights, so that it begins at
random. What it shares with the other segmenters is in `training.segmenters`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.fss import FewShotNet
from models.serving import from_supports
from training import loop, segmenters
from training.datasets.fixed import OneBatch
from training.datasets.masked_slices import MaskedSlices, SupportedSlices
from training.recipe import Batch, Data, Recipe
from training.segmenters import EPOCH, Plan, cross_entropy_and_dice

SCALES = segmenters.scales(Plan(steps=100 * EPOCH, lr=1e-4), tiny_lr=2e-3, tiny_steps=10)


def recipe(scale: str, plan: Plan) -> Recipe:
    made = segmenters.of_slices(25, scale, plan, loss=loss, likely=from_supports, dataset=SupportedSlices)
    return replace(made, fit=fit)


def loss(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    logits = network(batch["image"], batch["support"], batch["support_lesions"])
    return cross_entropy_and_dice(logits, batch["lesions"])


def fit(recipe: Recipe, network: nn.Module, data: Data, run: loop.Run) -> loop.Fitted:
    """Give the network its supports, then train it."""
    support(cast(FewShotNet, network), cast(MaskedSlices, data.of if isinstance(data, OneBatch) else data), recipe.seed)
    return loop.fit(recipe, network, data, run)


def support(network: FewShotNet, data: MaskedSlices, seed: int) -> None:
    plane = network.support_images.shape[2:]
    known = data.supports(len(network.support_images), np.random.default_rng(seed))
    for name, kept in (("image", network.support_images), ("lesions", network.support_masks)):
        maps = [F.interpolate(k[name], size=plane, mode="bilinear", align_corners=False) for k in known]
        kept.copy_(torch.cat(maps) if name == "image" else torch.cat(maps).round())
