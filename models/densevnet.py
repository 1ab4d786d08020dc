"""Model 23: DenseVNet, which DeepSC-COVID compares with.

Automatic multi-organ segmentation on abdominal CT with dense V-networks (Gibson et al., IEEE Transactions on Medical
Imaging 2018); channels, dropout and resizing as in the authors' NifTK/NiftyNet
(niftynet/network/dense_vnet.py, Apache-2.0; none of its code and none of their weights are here). What differs:
convolutions of stride 2 are padded evenly on both sides, TensorFlow pads the far side more; no learned spatial prior,
which is off there too; the affine augmentation is the recipe's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

FIRST = 24
STACKS = ((5, 4), (10, 8), (10, 16))  # convolutions, and channels that each adds
SKIPS, DOWN = (12, 24, 24), 24
DROPOUT = 0.5
DIVISOR = 8  # of every axis of the input


class DenseVNet(nn.Module):
    """Logits of background and lesion: (N, 1, D, H, W) in [0, 1] to (N, classes, D, H, W), axes multiples of 8.

    The published input is a whole scan resized to 144 x 144 x 144.
    """

    def __init__(self, classes: int = 2, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.shrink = nn.Sequential(nn.AvgPool3d(3, stride=2, padding=1, count_include_pad=False), nn.BatchNorm3d(1))
        self.first = nn.Sequential(nn.Conv3d(1, FIRST, 5, stride=2, padding=2, bias=False), nn.BatchNorm3d(FIRST))
        channels = FIRST + 1
        self.stacks, self.skips, self.downs = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for n, ((convolutions, growth), skip) in enumerate(zip(STACKS, SKIPS, strict=True)):
            self.stacks.append(DenseStack(channels, convolutions, growth, dropout))
            wide = channels + convolutions * growth
            self.skips.append(_unit(wide, skip, dropout))
            if n < len(STACKS) - 1:
                self.downs.append(_unit(wide, DOWN, dropout, stride=2))
            channels = DOWN
        self.last = nn.Conv3d(1 + sum(SKIPS), classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        if any(n % DIVISOR for n in size):
            raise ValueError(f"a volume of {tuple(size)}: every axis must be a multiple of {DIVISOR}")
        small = self.shrink(x)  # (N, 1, D/2, H/2, W/2)
        maps = [small]
        x = torch.cat([small, self.first(x)], dim=1)
        for n, (stack, skip) in enumerate(zip(self.stacks, self.skips, strict=True)):
            x = stack(x)
            maps.append(_resized(skip(x), small.shape[2:]))
            if n < len(self.downs):
                x = self.downs[n](x)
        return _resized(self.last(torch.cat(maps, dim=1)), size)


class DenseStack(nn.Module):
    """Each convolution sees the input and all convolutions before it; the output is all of it. The last is not dropped
    from."""

    def __init__(self, channels: int, convolutions: int, growth: int, dropout: float) -> None:
        super().__init__()
        last = convolutions - 1
        self.units = nn.ModuleList(
            [_unit(channels + n * growth, growth, dropout if n < last else 0.0) for n in range(convolutions)]
        )

    def forward(self, x: Tensor) -> Tensor:
        for unit in self.units:
            x = torch.cat([x, unit(x)], dim=1)
        return x


def _unit(channels: int, out: int, dropout: float, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(channels, out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm3d(out),
        nn.ReLU(),
        nn.Dropout(dropout),
    )


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(x, size=size, mode="trilinear", align_corners=False)
