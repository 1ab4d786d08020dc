"""Model 29: DeCoVNet, and the lung U-Net that stands before it.

A weakly-supervised framework for COVID-19 classification and lesion localization from chest CT (Wang et al., IEEE TMI
2020); a baseline of DeepSC-COVID (Table II). Sizes follow the description of the authors' published deCoVnet and
2dunet; the residual stages that they define and never use are left out. What differs: `classes` is an argument (the
authors have 2, DeepSC-COVID 3). Code Apache-2.0, written anew; theirs is CC BY-NC-SA 4.0, and no weights of theirs are
used.
"""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.layers import ConvPair, Decoder, Encoder, normed

Size = tuple[int, int, int]

STEM = 16
HEAD = (64, 32, 32)
GRIDS: tuple[Size, ...] = ((16, 24, 36), (4, 12, 18), (1, 6, 9))  # to which the head pools, whatever it is given
LUNGS_WIDTHS, LUNGS_OUTS = (16, 32, 64, 128, 128), (64, 32, 16, 16)
LAST_STD = 0.01  # of the dense layers' first weights


class DeCoVNet(nn.Module):
    """Class logits of whole volumes: CT and lung mask, (N, 2, D, H, W) in [0, 1], to (N, classes); any D, H and W.

    With `begin_as_shortcuts`, as published, the last batch norm of each bottleneck begins at zero.
    """

    def __init__(self, classes: int = 3, begin_as_shortcuts: bool = True) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            normed(2, STEM, (5, 7, 7), stride=(1, 2, 2)),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        self.stages = nn.Sequential(
            Bottleneck(STEM, 16, 64, 1), nn.MaxPool3d((2, 1, 1)), Bottleneck(64, 32, 128, 2)
        )  # (N, 128, D/2, H/8, W/8)
        head: list[nn.Module] = []
        for grid, channels, out in zip(GRIDS, (128, *HEAD[:-1]), HEAD, strict=True):
            head += [nn.AdaptiveMaxPool3d(grid), nn.Conv3d(channels, out, 3, padding=1), nn.ReLU(inplace=True)]
        self.head = nn.Sequential(*head, nn.AdaptiveMaxPool3d(1), nn.Flatten())
        self.classification = nn.Sequential(nn.Linear(HEAD[-1], 32), nn.ReLU(inplace=True), nn.Linear(32, classes))
        for bottleneck in self.stages if begin_as_shortcuts else ():
            if isinstance(bottleneck, Bottleneck):
                norm = bottleneck.last[1]
                assert isinstance(norm, nn.BatchNorm3d)  # as Bottleneck is built
                nn.init.zeros_(norm.weight)
        for module in self.classification.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=LAST_STD)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.classification(self.head(self.stages(self.stem(x))))
        return result


class Bottleneck(nn.Module):
    """Along the slices, within them, then across channels; the shortcut is projected."""

    def __init__(self, channels: int, middle: int, out: int, stride: int) -> None:
        super().__init__()
        in_plane: Size = (1, stride, stride)
        self.body = nn.Sequential(
            normed(channels, middle, (3, 1, 1)),
            nn.ReLU(inplace=True),
            normed(middle, middle, (1, 3, 3), stride=in_plane),
            nn.ReLU(inplace=True),
        )
        self.last = normed(middle, out, (1, 1, 1))
        self.shortcut = normed(channels, out, (1, 1, 1), stride=in_plane)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.last(self.body(x)) + self.shortcut(x))


class DeCoVNetLungs(nn.Module):
    """The 2D lung U-Net: slices (N, 1, H, W) to logits of background and lung (N, 2, H, W); H and W multiples of 16."""

    def __init__(self) -> None:
        super().__init__()
        pair = partial(ConvPair, norm="before")
        self.encoder = Encoder(1, LUNGS_WIDTHS, pair, nn.MaxPool2d(2))
        self.decoder = Decoder(LUNGS_WIDTHS, _doubled, pair, LUNGS_OUTS)
        self.head = nn.Conv2d(LUNGS_OUTS[-1], 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.decoder(self.encoder(x)))
        return result


def _doubled(channels: int, out: int) -> nn.Module:
    """Bilinear; the channels are already as many as the skip's."""
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
