"""Losses on logits. A target that is NaN says nothing there: unannotated series, padding."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

SMOOTH = 1.0  # pixel: keeps the Dice of an empty target finite


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over all pixels that the target speaks of; 0, with a gradient of 0, where it is silent altogether."""
    said = ~torch.isnan(target)
    every = F.binary_cross_entropy_with_logits(logits, torch.where(said, target, 0.0), reduction="none")
    return torch.where(said, every, 0.0).sum() / said.sum().clamp(min=1)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - soft Dice over the whole batch, of the pixels that the target speaks of."""
    said = ~torch.isnan(target)
    likely = torch.where(said, torch.sigmoid(logits), 0.0)
    truth = torch.where(said, target, 0.0)
    return 1.0 - (2.0 * (likely * truth).sum() + SMOOTH) / (likely.sum() + truth.sum() + SMOOTH)
