"""Models 1 to 4 and 6: the lung U-Net, the lesion U-Nets and the two-head network of CT triage.

CT-based COVID-19 triage: deep multitask learning improves joint identification and severity quantification (Goncharov
et al., Medical Image Analysis 2021), sections 2.1 to 2.3 and 4.3; what the paper leaves open follows the description
of the authors' published covid_triage/model.py. What differs: width, levels and the size of the hidden layer are
arguments; series in one batch keep their own sizes, so that padding never enters the pyramid. Of the 3D U-Net (4) the
paper says "residual 3D blocks in place of 2D" and no more: our choice is the 2D network's plan of channels, six
poolings that leave a stack of fewer than 8 slices as high as it is, and trilinear enlargement. Code Apache-2.0; no
weights of theirs are used.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import CONVOLUTIONS, PreActivation, ResidualBlock, UNet, max_pyramid

BINS = (1, 2, 4, 8)  # of the pyramid, per axis: 585 boxes per channel
DROPOUT = 0.5


class LungsUNet(nn.Module):
    """Model 1: logits of "lung" for axial slices, (N, 1, H, W) in [0, 1] to (N, 1, H, W)."""

    def __init__(self, width: int = 8, levels: int = 7) -> None:
        super().__init__()
        last = nn.Sequential(ResidualBlock(width, width), ResidualBlock(width, width))
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.unet = UNet(width, levels, last)
        self.head = PreActivation(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.unet(self.stem(x)))
        return result


class LesionUNet(nn.Module):
    """Models 2, 3 and 4: lesion logits of slices, (N, 1, H, W) in [0, 1] to (N, 1, H, W), or of volumes, (N, 1, D, H,
    W) to the same, where `axes` is 3. Backbone and first head of model 6, under the same names."""

    def __init__(self, width: int = 8, levels: int = 7, axes: int = 2) -> None:
        super().__init__()
        self.backbone = _backbone(width, levels, axes)
        self.segmentation = _segmentation(width, axes)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.segmentation(self.backbone(x))
        return result


class MultitaskNet(nn.Module):
    """Model 6: lesion logits slice by slice, and one COVID-19 logit per series, from one backbone."""

    def __init__(self, width: int = 8, levels: int = 7, pyramid_hidden: int = 1024) -> None:
        super().__init__()
        self.backbone = _backbone(width, levels, 2)
        self.segmentation = _segmentation(width, 2)
        self.classification = nn.Sequential(
            nn.Dropout(DROPOUT),
            nn.Linear(width * sum(n**3 for n in BINS), pyramid_hidden),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(pyramid_hidden, 1, bias=False),
        )

    def forward(self, x: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """The slices of all series one after the other, (S, 1, H, W) in [0, 1], and the (slices, rows, columns) of
        each of the N series, (N, 3); a series that is smaller than H x W lies at the low indices.

        Gives lesion logits (S, 1, H, W) and series logits (N,).
        """
        features = self.backbone(x)  # (S, width, H, W)
        depths, rows, columns = sizes.T.tolist()
        series = [
            part[:, :, :r, :c] for part, r, c in zip(features.split(depths), rows, columns, strict=True)
        ]  # each (slices, width, rows, columns)
        return self.segmentation(features), torch.cat([self.identify(part) for part in series])

    def identify(self, features: Tensor) -> Tensor:
        """The COVID-19 logit (1,) of one series from its feature maps (slices, width, rows, columns)."""
        pyramid = max_pyramid(features.transpose(0, 1), BINS)
        result: Tensor = self.classification(pyramid[None]).flatten()
        return result


def _backbone(width: int, levels: int, axes: int) -> nn.Module:
    stem = CONVOLUTIONS[axes](1, width, 3, padding=1)
    return nn.Sequential(stem, UNet(width, levels, ResidualBlock(width, width, axes), axes))


def _segmentation(width: int, axes: int) -> nn.Module:
    return nn.Sequential(ResidualBlock(width, width, axes), PreActivation(width, 1, 1, axes))
