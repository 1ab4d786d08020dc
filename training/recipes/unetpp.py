"""Recipe of model 22, U-Net++ L4 (Zhou et al., IEEE TMI 2019), which leaves model 21, its pruned L1, beside it.

Four heads are trained together; the loss of each is half the cross-entropy minus Dice, and kernels decay by an L2 of
1e-4, as in the published keras/helper_functions.py. Chosen: the mean over heads, Adam with 3e-4, 100 epochs, one slice
with and one without lesions in turn. What it shares with the other segmenters is in `training.segmenters`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from models import catalogue
from models.cards import Card
from models.unetpp import UNetPlusPlus, pruned
from training import segmenters
from training.recipe import Batch, Group, Recipe
from training.segmenters import Plan, cross_entropy_and_dice

CROSS_ENTROPY = 0.5
# Keras adds 1e-4 |w|^2 to the loss, whose gradient is twice that; here it decays the biases of the nodes too.
DECAY = Group(prefix="nodes.", options={"weight_decay": 2e-4})
DEPTHS = {22: 4, 21: 1}

SCALES = segmenters.scales(Plan(), tiny_lr=3e-3, tiny_steps=14)


def recipe(scale: str, plan: Plan) -> Recipe:
    return of_depth(22, scale, plan)


def of_depth(number: int, scale: str, plan: Plan) -> Recipe:
    """The training of both, of which that model becomes the bundle, and the other lies beside it."""
    made = segmenters.of_slices(
        number, scale, plan, loss=loss, likely=partial(of_head, head=DEPTHS[number]), groups=(DECAY, Group())
    )

    def kept(card: Card, network: nn.Module) -> Mapping[str, tuple[Card, nn.Module]]:
        trained = cast(UNetPlusPlus, network)
        return {
            "bundle" if n == number else f"bundle-{catalogue.item(n).name}": (
                replace(card, name=f"{catalogue.item(n).name}-{scale}", number=n, arguments={"depth": depth}),
                pruned(trained, depth),
            )
            for n, depth in DEPTHS.items()
        }

    return replace(made, card=replace(made.card, arguments={"deep_supervision": True}), bundles=kept)


def of_head(network: nn.Module, x: Tensor, *, head: int) -> Tensor:
    """Probabilities (N, H, W) by the head of that depth, of a network that has all of them."""
    return torch.sigmoid(network(x))[:, head - 1]


def loss(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    heads = network(batch["image"])
    of_each = [cross_entropy_and_dice(head, batch["lesions"], CROSS_ENTROPY) for head in heads.split(1, dim=1)]
    return {name: torch.stack([terms[name] for terms in of_each]).mean() for name in of_each[0]}
