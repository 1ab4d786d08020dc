"""Models 9 and 27: 3-D residual networks of 34 and 50 layers.

Model 9 is the baseline of COVID-MTL (Bao et al., Pattern Recognition 2022, section 5.1: "ResNet34 structure"), as its
published ResNet3D.py describes it: a stem of 5 x 5 x 5, and every stage halves the map, the first too. Model 27 is
DeepSC-COVID's (Wang et al., IEEE TMI 2021, table II), which names no code; taken is the ResNet-50 of Hara et al.
("Can spatiotemporal 3D CNNs retrace the history of 2D CNNs and ImageNet?", CVPR 2018, kenshohara/3D-ResNets-PyTorch):
a stem of 7 x 7 x 7 that keeps the slices, and a first stage that keeps the map. DeepSC-COVID cites pseudo-3D (Qiu et
al., ICCV 2017) for it: `pseudo` replaces each 3 x 3 x 3 by 1 x 3 x 3 and then 3 x 1 x 1, batch norm and ReLU between
them (P3D-A). Shortcuts are projected where the shape changes (type B). Batch norms of model 9 have momentum 0.01.
Code Apache-2.0, our own; no weights of theirs are used.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from models.layers import he_initialised

BLOCKS = (3, 4, 6, 3)  # per stage, of both depths
WIDTHS = (64, 128, 256, 512)
EXPANSION = {34: 1, 50: 4}


class ResNet3D(nn.Module):
    """(N, channels, D, H, W) to logits (N, classes). The defaults are model 9.

    Model 27: depth=50, stem=7, stem_slices=1, first_stride=1, momentum=0.1, classes=3. `stem_slices` is the stem's
    stride along the slices, in-plane it is 2; `first_stride` that of the first stage.
    """

    def __init__(
        self,
        classes: int = 2,
        *,
        depth: Literal[34, 50] = 34,
        stem: int = 5,
        stem_slices: int = 2,
        first_stride: int = 2,
        pseudo: bool = False,
        momentum: float = 0.01,
        channels: int = 1,
    ) -> None:
        super().__init__()
        if depth not in EXPANSION:
            raise ValueError(f"depth {depth}: must be of {list(EXPANSION)}")
        self.stem = nn.Sequential(
            nn.Conv3d(channels, 64, stem, stride=(stem_slices, 2, 2), padding=stem // 2, bias=False),
            nn.BatchNorm3d(64),
            nn.ReLU(),
            nn.MaxPool3d(3, stride=2, padding=1),
        )
        stages: list[nn.Module] = []
        entering = 64
        for width, blocks, stride in zip(WIDTHS, BLOCKS, (first_stride, 2, 2, 2), strict=True):
            leaving = width * EXPANSION[depth]
            parts = [
                Residual(entering if n == 0 else leaving, width, leaving, stride if n == 0 else 1, pseudo=pseudo)
                for n in range(blocks)
            ]
            stages.append(nn.Sequential(*parts))
            entering = leaving
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(entering, classes))
        he_initialised(self)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm3d):
                part.momentum = momentum

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.stages(self.stem(x)))
        return result


class Residual(nn.Module):
    """Two 3 x 3 x 3 convolutions (basic), or 1 - 3 - 1 where more channels leave than are inside (bottleneck)."""

    def __init__(self, entering: int, width: int, leaving: int, stride: int, *, pseudo: bool) -> None:
        super().__init__()
        if leaving == width:
            body = [*_cube(entering, width, stride, pseudo=pseudo), nn.ReLU(), *_cube(width, width, 1, pseudo=pseudo)]
        else:
            body = [*_normed(entering, width, (1, 1, 1)), nn.ReLU(), *_cube(width, width, stride, pseudo=pseudo)]
            body += [nn.ReLU(), *_normed(width, leaving, (1, 1, 1))]
        self.body = nn.Sequential(*body)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and entering == leaving
            else nn.Sequential(*_normed(entering, leaving, (1, 1, 1), (stride, stride, stride)))
        )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.relu(self.body(x) + self.shortcut(x))
        return result


def _cube(entering: int, leaving: int, stride: int, *, pseudo: bool) -> list[nn.Module]:
    if not pseudo:
        return _normed(entering, leaving, (3, 3, 3), (stride, stride, stride))
    plane = _normed(entering, leaving, (1, 3, 3), (1, stride, stride))
    return [*plane, nn.ReLU(), *_normed(leaving, leaving, (3, 1, 1), (stride, 1, 1))]


def _normed(
    entering: int, leaving: int, kernel: tuple[int, int, int], stride: tuple[int, int, int] = (1, 1, 1)
) -> list[nn.Module]:
    """A convolution that keeps the size at stride 1, without bias, and its batch norm."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    convolution = nn.Conv3d(entering, leaving, kernel, stride=stride, padding=padding, bias=False)
    return [convolution, nn.BatchNorm3d(leaving)]
