"""Model 5: the 2.5D ResNet50 of CT triage, one COVID-19 logit per series from what its slices have in common.

CT-based COVID-19 triage (Goncharov et al., Medical Image Analysis 2021), sections 2.2 and 4.4: a ResNet50 on every
slice, the element-wise maximum over slices, one fully connected layer. The authors' published covid_triage/model.py
(get_resnet) keeps the 1000 outputs of ResNet50 instead, and pools them with a pyramid of 1, 2, 4 and 8 parts of the
stack before two fully connected layers: `head="pyramid"`. The ResNet50 is MONAI's (Apache-2.0), with one input channel
and at random to begin with, as the authors' is. What differs: a series is never padded with empty slices. Code
Apache-2.0; no weights of theirs are used.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from models.layers import max_pyramid, resnet50

FEATURES, OUTPUTS = 2048, 1000  # of ResNet50: averaged features, and what its own last layer makes of them
BINS = (1, 2, 4, 8)  # parts of the stack
HIDDEN, DROPOUT = 1024, 0.5


class SlicePoolNet(nn.Module):
    """One logit per series, from any number of slices."""

    def __init__(self, head: Literal["maximum", "pyramid"] = "maximum") -> None:
        super().__init__()
        if head == "maximum":
            self.bins: tuple[int, ...] = (1,)
            self.slices = resnet50(1, None)
            self.series: nn.Module = nn.Linear(FEATURES, 1)
        elif head == "pyramid":
            self.bins = BINS
            self.slices = resnet50(1, OUTPUTS)
            self.series = nn.Sequential(
                nn.Dropout(DROPOUT),
                nn.Linear(OUTPUTS * sum(BINS), HIDDEN),
                nn.ReLU(),
                nn.Dropout(DROPOUT),
                nn.Linear(HIDDEN, 1),
            )
        else:
            raise ValueError(f"head is {head!r}, must be 'maximum' or 'pyramid'")

    def forward(self, x: Tensor, sizes: Tensor) -> Tensor:
        """The slices of all series one after the other, (S, 1, H, W) in [0, 1], and the (slices, rows, columns) of
        each of the N series, (N, 3). Gives logits (N,)."""
        parts = self.slices(x).split(sizes[:, 0].tolist())  # each (slices, features)
        return torch.cat([self.identify(part) for part in parts])

    def identify(self, features: Tensor) -> Tensor:
        """The COVID-19 logit (1,) of one series from what ResNet50 makes of its slices, (slices, features)."""
        result: Tensor = self.series(max_pyramid(features.T, self.bins)[None]).flatten()
        return result
