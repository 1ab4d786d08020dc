"""Model 17: U-net(R231), which DeepSC-COVID takes its lungs from (sections III-B and V-A).

Automatic lung segmentation in routine imaging is primarily a data diversity problem, not a methodology problem
(Hofmanninger et al., European Radiology Experimental 2020); the network as the authors' lungmask package
(resunet.py, Apache-2.0) configures it: depth 5, 64 to 1024 maps, convolution, ReLU and batch norm twice per level,
average pooling, bilinear upsampling with a 1 x 1 convolution. The package's network also carries residual branches
that this configuration never uses; they are left out. Code Apache-2.0; no weights of theirs come with it.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from models.layers import ConvPair, Decoder, Encoder

CLASSES = 3  # background, right lung, left lung
LEVELS = 5


class R231(nn.Module):
    """Logits of background, right and left lung: slices (N, 1, H, W) in [0, 1] to (N, 3, H, W); H and W multiples of
    16."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        pair = partial(ConvPair, norm="after")
        self.encoder = Encoder(1, widths, pair, nn.AvgPool2d(2))
        self.decoder = Decoder(widths, _up, pair, skip_first=False)
        self.head = nn.Conv2d(width, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.decoder(self.encoder(x)))
        return result


def _up(channels: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(channels, out, 1))
