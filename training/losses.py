"""Losses on logits. A target that is NaN says nothing there: unannotated series, padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

SURROUNDINGS, BORDER_WEIGHT = 31, 5.0  # pixels across; how much their contrast counts (Inf-Net's published loss)
SMOOTH = 1.0  # pixel: keeps the Dice of an empty target finite
SMALL = 1e-5  # pixel: keeps a quotient of an empty target finite that should not feel it otherwise


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


def class_cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean cross-entropy of (N, C) for the class numbers (N,) that are known; -1 says nothing."""
    every = F.cross_entropy(logits, classes, ignore_index=-1, reduction="sum")
    return every / (classes != -1).sum().clamp(min=1)


def random_weights(tasks: int, draws: int = 2) -> Tensor:
    """The weights (tasks,) of COVID-MTL's random-weighted loss, which add up to 1: the mean of so many draws from a
    flat Dirichlet distribution, to be drawn anew for every step (Bao et al., equation 6). Many draws: the mean loss."""
    return torch.distributions.Dirichlet(torch.ones(tasks)).sample((draws,)).mean(dim=0)


def uncertainty_weighted(losses: Tensor, log_variances: Tensor) -> Tensor:
    """Losses (tasks,) over the variance of their tasks, plus its logarithm's half, each by the number of tasks (Kendall
    et al., CVPR 2018, as COVID-MTL's ablation has it). The optimiser must be given `log_variances`."""
    return (losses * torch.exp(-log_variances) + 0.5 * log_variances) / losses.numel()


def focal_loss(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> Tensor:
    """Mean of -alpha (1 - p)^gamma log p where there is lesion, -(1 - alpha) p^gamma log(1 - p) where there is none, of
    the pixels that the target speaks of (Wang et al., DeepSC-COVID, equation 7)."""
    said = ~torch.isnan(target)
    truth = torch.where(said, target, 0.0)
    likely = torch.sigmoid(logits)
    lesion = -alpha * (1.0 - likely) ** gamma * truth * F.logsigmoid(logits)
    rest = -(1.0 - alpha) * likely**gamma * (1.0 - truth) * F.logsigmoid(-logits)
    return torch.where(said, lesion + rest, 0.0).sum() / said.sum().clamp(min=1)


def noise_robust_dice(logits: Tensor, target: Tensor, gamma: float = 1.5) -> Tensor:
    """Sum of |p - g|^gamma over the sums of p^2 and g^2, of the pixels that the target speaks of; between the Dice loss
    (gamma 2) and the mean absolute error, so that false marks weigh less (Wang et al., COPLE-Net, equation 3)."""
    said = ~torch.isnan(target)
    likely = torch.where(said, torch.sigmoid(logits), 0.0)
    truth = torch.where(said, target, 0.0)
    return ((likely - truth).abs() ** gamma).sum() / (likely.square().sum() + truth.square().sum() + SMALL)


def task_aware_loss(
    scales: Sequence[Tensor], evidence: Sequence[Tensor], weights: Sequence[float], speaks: Tensor
) -> Tensor:
    """Weighted mean squares of what lesion maps and evidence of equal shape (N, 1, ...) differ by, both squashed to
    [0, 1], over the samples that `speaks` (N,) names; 0, with a gradient of 0, where it names none (Wang et al.,
    DeepSC-COVID, equation 10; the squashing is ours, because their raw scales differ)."""
    share = speaks.float() / speaks.sum().clamp(min=1)
    terms = [
        weight * (share * (torch.sigmoid(s) - torch.sigmoid(v)).square().flatten(1).mean(1)).sum()
        for s, v, weight in zip(scales, evidence, weights, strict=True)
    ]
    return torch.stack(terms).sum()


def weighted_overlap(logits: Tensor, target: Tensor) -> Tensor:
    """Inf-Net's loss of maps (N, 1, H, W): cross-entropy and 1 - intersection over union, each picture by itself, with
    up to six times the weight where the target differs from its surroundings (Fan et al., equations 3 and 4)."""
    surroundings = F.avg_pool2d(target, SURROUNDINGS, stride=1, padding=SURROUNDINGS // 2)
    weights = 1.0 + BORDER_WEIGHT * (surroundings - target).abs()
    every = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    axes = (1, 2, 3)
    cross_entropy = (weights * every).sum(axes) / weights.sum(axes)
    likely = torch.sigmoid(logits)
    both, either = (weights * likely * target).sum(axes), (weights * (likely + target)).sum(axes)
    return (cross_entropy + 1.0 - (both + SMOOTH) / (either - both + SMOOTH)).mean()


def edges_of(masks: Tensor) -> Tensor:
    """The inner borders, a pixel wide, of masks (N, 1, H, W)."""
    return masks * F.max_pool2d(1.0 - masks, 3, stride=1, padding=1)
