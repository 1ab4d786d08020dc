"""Model 24: COPLE-Net, which DeepSC-COVID compares with.

A noise-robust framework for automatic segmentation of COVID-19 pneumonia lesions from CT images (Wang et al., IEEE
Transactions on Medical Imaging 2020); channels, dropout and dilations as in the authors' HiLab-git/COPLE-Net
(coplenet.py, MIT; none of its code and none of their weights are here). What differs: planes of any
size, zero-padded inside to a multiple of 16. The paper's self-ensembling teacher is no part of the network.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.layers import to_multiple

WIDTHS = (32, 64, 128, 256, 512)
DROPOUT = (0.0, 0.0, 0.3, 0.4, 0.5)
DILATIONS = ((1, 1), (3, 2), (3, 4), (3, 6))  # kernel and dilation of each branch of the bottleneck


class CopleNet(nn.Module):
    """Logits of background and lesion for axial slices: (N, 1, H, W) in [0, 1] to (N, classes, H, W)."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.first = Block(1, WIDTHS[0], DROPOUT[0])
        self.down = nn.ModuleList(
            [Block(2 * a, b, p) for a, b, p in zip(WIDTHS, WIDTHS[1:], DROPOUT[1:], strict=False)]
        )
        self.bottom = Pyramid(WIDTHS[-1])
        self.bridges = nn.ModuleList([_unit(n, n // 2, 1) for n in WIDTHS[:-1]])
        self.narrow = nn.ModuleList([nn.Conv2d(b, a // 2, 1) for a, b in pairwise(WIDTHS)])
        self.up = nn.ModuleList([Block(n, n, p) for n, p in zip(WIDTHS, DROPOUT[:-1], strict=False)])
        self.last = nn.Conv2d(WIDTHS[0], classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        x = self.first(to_multiple(x, 2 ** len(self.down)))
        skips = []
        for down, bridge in zip(self.down, self.bridges, strict=True):
            skips.append(bridge(x))
            both = torch.cat([F.max_pool2d(x, 2), F.avg_pool2d(x, 2)], dim=1)
            x = down(both) + both
        x = self.bottom(x)
        for level in reversed(range(len(self.up))):
            x = F.interpolate(self.narrow[level](x), scale_factor=2, mode="bilinear", align_corners=True)
            both = torch.cat([skips[level], x], dim=1)
            x = self.up[level](both) + both
        result: Tensor = self.last(x)
        return result[..., :rows, :columns]


class Block(nn.Module):
    """Two convolutions with dropout between, then channels weighed: out = f x + x."""

    def __init__(self, channels: int, out: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(_unit(channels, out, 3), nn.Dropout(dropout), _unit(out, out, 3))
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(out, out // 2, 1),
            nn.LeakyReLU(),
            nn.Conv2d(out // 2, out, 1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        result: Tensor = self.weigh(x) * x + x
        return result


class Pyramid(nn.Module):
    """Four dilations side by side, a quarter of the channels each, then joined by a 1 x 1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [nn.Conv2d(channels, channels // 4, k, padding=k // 2 * d, dilation=d) for k, d in DILATIONS]
        )
        self.join = _unit(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.join(torch.cat([branch(x) for branch in self.branches], dim=1))
        return result


def _unit(channels: int, out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, kernel, padding=kernel // 2), nn.BatchNorm2d(out), nn.LeakyReLU())
