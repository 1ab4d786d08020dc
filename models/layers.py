"""Blocks that more than one network uses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class PreActivation(nn.Sequential):
    """Batch norm, ReLU, convolution without bias, (N, C, H, W) to (N, C', H, W)."""

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__(
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False),
        )


class ResidualBlock(nn.Module):
    """Two 3 x 3 pre-activations and a shortcut, which is a 1 x 1 convolution without bias where channels change.

    CT triage's published code takes this block from deep_pipe (dpipe/layers/resblock.py).
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(PreActivation(channels, out, 3), PreActivation(out, out, 3))
        self.shortcut = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.body(x) + self.shortcut(x)
        return result


class UNet(nn.Module):
    """Residual encoder and decoder of `levels` levels: max-pooling by 2 (ceil) down, bilinear up, skips added.

    Level k > 1 has width * 2^(k-1) channels inside; `last` is what the right branch of level 1 consists of.
    Input and output (N, width, H, W), any H and W.
    """

    def __init__(self, width: int, levels: int, last: nn.Module) -> None:
        super().__init__()
        if width < 1 or levels < 2:
            raise ValueError(f"a U-Net of width {width} and {levels} levels")
        narrow = [width * 2 ** max(0, k - 1) for k in range(levels)]  # channels that enter level k, and leave it
        wide = [width * 2**k for k in range(levels)]
        self.left = nn.ModuleList([_pair(a, b, b) for a, b in zip(narrow[:-1], wide[:-1], strict=True)])
        self.bottom = _pair(narrow[-1], wide[-1], narrow[-1])
        self.right = nn.ModuleList(
            [last, *(_pair(b, b, a) for a, b in zip(narrow[1:-1], wide[1:-1], strict=True))],
        )

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for left in self.left:
            x = left(x)
            skips.append(x)
            x = F.max_pool2d(x, 2, ceil_mode=True)
        x = self.bottom(x)
        for right, skip in zip(reversed(self.right), reversed(skips), strict=True):
            x = right(skip + F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False))
        return x


def _pair(channels: int, middle: int, out: int) -> nn.Module:
    return nn.Sequential(ResidualBlock(channels, middle), ResidualBlock(middle, out))


def max_pyramid(x: Tensor, bins: Sequence[int]) -> Tensor:
    """Maxima over 1, 2^3, 4^3 ... boxes of a map (C, D, H, W), as one vector of C * sum(b^3).

    Windows as CT triage's published code has them: stride floor(size / n), kernel size - (n - 1) * stride. Axes that
    are shorter than the bins share voxels among bins.
    """
    parts = []
    for n in bins:
        if min(x.shape[1:]) < n:
            pooled = F.adaptive_max_pool3d(x, n)
        else:
            stride = [size // n for size in x.shape[1:]]
            kernel = [size - (n - 1) * step for size, step in zip(x.shape[1:], stride, strict=True)]
            pooled = F.max_pool3d(x, kernel, stride)
        parts.append(pooled.flatten())
    return torch.cat(parts)
