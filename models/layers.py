"""Blocks that more than one network uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

# By the number of axes: slices (N, C, H, W) or volumes (N, C, D, H, W).
CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
LINEAR = {2: "bilinear", 3: "trilinear"}

# Of ImageNet's red, green and blue, in [0, 1].
IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Slices below which a volume is no longer halved from one slice to the next, only in-plane (our choice for model 4).
SHALLOW = 8


class PreActivation(nn.Sequential):
    """Batch norm, ReLU, convolution without bias, (N, C, ...) to (N, C', ...)."""

    def __init__(self, channels: int, out: int, kernel: int, axes: int = 2) -> None:
        super().__init__(
            BATCH_NORMS[axes](channels),
            nn.ReLU(inplace=True),
            CONVOLUTIONS[axes](channels, out, kernel, padding=kernel // 2, bias=False),
        )


class ResidualBlock(nn.Module):
    """Two pre-activations with kernels of 3 and a shortcut, which is a convolution of 1 without bias where channels
    change.

    CT triage's published code takes this block from deep_pipe (dpipe/layers/resblock.py).
    """

    def __init__(self, channels: int, out: int, axes: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(PreActivation(channels, out, 3, axes), PreActivation(out, out, 3, axes))
        self.shortcut = nn.Identity() if channels == out else CONVOLUTIONS[axes](channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.body(x) + self.shortcut(x)
        return result


class UNet(nn.Module):
    """Residual encoder and decoder of `levels` levels: max-pooling by 2 (ceil) down, linear up, skips added.

    Level k > 1 has width * 2^(k-1) channels inside; `last` is what the right branch of level 1 consists of.
    Input and output (N, width, H, W), or (N, width, D, H, W) where `axes` is 3, of any size.
    """

    def __init__(self, width: int, levels: int, last: nn.Module, axes: int = 2) -> None:
        super().__init__()
        if width < 1 or levels < 2:
            raise ValueError(f"a U-Net of width {width} and {levels} levels")
        narrow = [width * 2 ** max(0, k - 1) for k in range(levels)]  # channels that enter level k, and leave it
        wide = [width * 2**k for k in range(levels)]
        self.left = nn.ModuleList([_pair(a, b, b, axes) for a, b in zip(narrow[:-1], wide[:-1], strict=True)])
        self.bottom = _pair(narrow[-1], wide[-1], narrow[-1], axes)
        self.right = nn.ModuleList(
            [last, *(_pair(b, b, a, axes) for a, b in zip(narrow[1:-1], wide[1:-1], strict=True))],
        )

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for left in self.left:
            x = left(x)
            skips.append(x)
            x = _halved(x)
        x = self.bottom(x)
        for right, skip in zip(reversed(self.right), reversed(skips), strict=True):
            x = right(skip + _enlarged(x, skip))
        return x


def _pair(channels: int, middle: int, out: int, axes: int) -> nn.Module:
    return nn.Sequential(ResidualBlock(channels, middle, axes), ResidualBlock(middle, out, axes))


def _halved(x: Tensor) -> Tensor:
    if x.ndim == 4:
        return F.max_pool2d(x, 2, ceil_mode=True)
    return F.max_pool3d(x, (1 if x.shape[2] < SHALLOW else 2, 2, 2), ceil_mode=True)


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode=LINEAR[x.ndim - 2], align_corners=False)


def max_pyramid(x: Tensor, bins: Sequence[int]) -> Tensor:
    """Maxima over 1, 2, 4 ... parts of every axis of a map (C, D) or (C, D, H, W), as one vector of C * sum(b^axes).

    Windows as CT triage's published code has them: stride floor(size / n), kernel size - (n - 1) * stride. Axes that
    are shorter than the bins share voxels among bins.
    """
    parts = []
    for n in bins:
        sizes = list(x.shape[1:])
        if min(sizes) < n:
            pooled = F.adaptive_max_pool1d(x, n) if len(sizes) == 1 else F.adaptive_max_pool3d(x, n)
        else:
            stride = [size // n for size in sizes]
            kernel = [size - (n - 1) * step for size, step in zip(sizes, stride, strict=True)]
            pooled = F.max_pool1d(x, kernel, stride) if len(sizes) == 1 else F.max_pool3d(x, kernel, stride)
        parts.append(pooled.flatten())
    return torch.cat(parts)


def resnet50(channels: int, classes: int | None) -> nn.Module:
    """The plain 2D ResNet-50 (He et al. 2016, stride in the 3 x 3 convolution), from MONAI (Apache-2.0), without
    pretrained weights: (N, channels, H, W) to (N, classes), or to (N, 2048) averaged features where `classes` is None.

    Raises ModuleNotFoundError, saying what to install, where MONAI is not there.
    """
    return _monai_resnet("resnet50", channels, classes)


class ResNet34Stages(nn.Module):
    """The plain 2D ResNet-34 without its last layer, from MONAI as `resnet50`: (N, channels, H, W) to the maps of its
    four stages, 64, 128, 256 and 512 channels on 1/4, 1/8, 1/16 and 1/32 of the plane."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        whole: Any = _monai_resnet("resnet34", channels, None)
        self.first = nn.Sequential(whole.conv1, whole.bn1, nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1))
        self.stages = nn.ModuleList([whole.layer1, whole.layer2, whole.layer3, whole.layer4])

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.first(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def _monai_resnet(name: str, channels: int, classes: int | None) -> nn.Module:
    try:
        from monai.networks.nets import resnet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "ResNets come from MONAI, which is not installed: pip install 'triaged[train]'", name=error.name
        ) from error
    # MONAI's own default puts a bias into the shortcuts' convolutions, which no other ResNet has.
    network: nn.Module = getattr(resnet, name)(
        spatial_dims=2,
        n_input_channels=channels,
        num_classes=classes or 1,
        feed_forward=classes is not None,
        conv1_t_stride=2,
        bias_downsample=False,
    )
    return network


class ConvPair(nn.Sequential):
    """Twice a 3 x 3 convolution with bias and a ReLU, (N, C, H, W) to (N, C', H, W); batch norm `before` the ReLU,
    `after` it, or `never`."""

    def __init__(self, channels: int, out: int, norm: Literal["never", "before", "after"] = "never") -> None:
        layers: list[nn.Module] = []
        for entering in (channels, out):
            layers.append(nn.Conv2d(entering, out, 3, padding=1))
            layers += [nn.BatchNorm2d(out)] if norm == "before" else []
            layers.append(nn.ReLU(inplace=True))
            layers += [nn.BatchNorm2d(out)] if norm == "after" else []
        super().__init__(*layers)


Block = Callable[[int, int], nn.Module]  # of channels in and out


class Encoder(nn.Module):
    """The way down of a U-Net: a block per level, `pool` between levels. Gives every level's map, the finest first."""

    def __init__(self, channels: int, widths: Sequence[int], block: Block, pool: nn.Module) -> None:
        super().__init__()
        entering = [channels, *widths[:-1]]
        self.blocks = nn.ModuleList([block(a, b) for a, b in zip(entering, widths, strict=True)])
        self.pool = pool

    def forward(self, x: Tensor) -> list[Tensor]:
        levels: list[Tensor] = []
        for block in self.blocks:
            x = block(self.pool(x) if levels else x)
            levels.append(x)
        return levels


class Decoder(nn.Module):
    """The way up of a U-Net: `up` doubles the map and brings it to as many channels as the skip has, which is
    concatenated, first or last; then a block. `outs`: channels that leave each step, the coarsest first; as the skip's
    by default.

    From the encoder's maps to (N, outs[-1], H, W).
    """

    def __init__(
        self,
        widths: Sequence[int],
        up: Block,
        block: Block,
        outs: Sequence[int] | None = None,
        *,
        skip_first: bool = True,
    ) -> None:
        super().__init__()
        self.skip_first = skip_first
        skips = list(reversed(widths[:-1]))
        leaving = skips if outs is None else list(outs)
        entering = [widths[-1], *leaving[:-1]]
        self.ups = nn.ModuleList([up(a, skip) for a, skip in zip(entering, skips, strict=True)])
        self.blocks = nn.ModuleList([block(2 * skip, out) for skip, out in zip(skips, leaving, strict=True)])

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        x = levels[-1]
        for up, block, skip in zip(self.ups, self.blocks, reversed(levels[:-1]), strict=True):
            raised = up(x)
            x = block(torch.cat([skip, raised] if self.skip_first else [raised, skip], dim=1))
        return x


def to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Maps (N, C, H, W) zero-padded at the high indices, so that the plane can be halved and doubled again."""
    rows, columns = (-n % multiple for n in x.shape[-2:])
    return F.pad(x, (0, columns, 0, rows))


def normed(
    channels: int, out: int, kernel: tuple[int, ...], *, stride: int | tuple[int, ...] = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution without bias, over as many axes as the kernel has, and batch norm. Keeps the size where it has no
    stride; kernels are odd."""
    padding = tuple(dilation * (k // 2) for k in kernel)
    axes = len(kernel)
    convolution = CONVOLUTIONS[axes](channels, out, kernel, stride, padding, dilation, bias=False)  # type: ignore[arg-type]
    return nn.Sequential(convolution, BATCH_NORMS[axes](out))


def imagenet(x: Tensor) -> Tensor:
    """Grey maps (N, 1, H, W) in [0, 1] as networks made for ImageNet expect them: three channels, standardised."""
    mean, sd = x.new_tensor(IMAGENET_MEAN), x.new_tensor(IMAGENET_SD)
    return (x - mean[:, None, None]) / sd[:, None, None]


def he_initialised(module: nn.Module, mode: Literal["fan_out", "fan_in"] = "fan_out") -> None:
    """Every convolution's weights drawn as He et al. (ICCV 2015) for ReLU, by the connections that leave or enter."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode=mode, nonlinearity="relu")
