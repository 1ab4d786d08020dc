"""Model 25: FSS-2019-nCov, few-shot segmentation of lesions, which DeepSC-COVID compares with. A reconstruction.

FSS-2019-nCov: A deep learning architecture for semi-supervised few-shot segmentation of COVID-19 infection
(Abdel-Basset et al., Knowledge-Based Systems 2021). No code was published; the abstract names two paths of encoder,
context enrichment and decoder with ResNet34 encoders, and a module that recombines and recalibrates what both paths
see. Everything else is our choice:

- context enrichment: the dilated branches and the pools of CE-Net (Gu et al., IEEE Transactions on Medical Imaging
  2019), each dilated convolution after a 3 x 3 smoothing whose one kernel all channels share, the identity at first;
- the conditioner's three channels are the support slice twice and its mask, the segmenter's the query three times, so
  that both can begin from ImageNet's weights; here they begin at random;
- recombination at each of the four decoder levels: both paths joined by a 1 x 1 convolution, weighed per channel and
  per pixel, added to both.

The supports that a trained network answers from are part of its weights (`support_images`, `support_masks`), so that a
bundle needs no data beside it. ResNet34 is MONAI's (Apache-2.0). Code Apache-2.0; no weights of theirs are used.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.layers import ResNet34Stages, to_multiple

STAGES = (64, 128, 256, 512)
DECODED = (64, 64, 128, 256)  # channels that leave the decoder of each stage
POOLS = (2, 3, 5, 6)
BRANCHES = ((1,), (3,), (1, 3), (1, 3, 5))  # dilations of the 3 x 3 convolutions, one after the other
SMALLEST = 32  # the encoder halves the plane five times
SUPPORTS, PLANE = 5, (128, 128)


class FewShotNet(nn.Module):
    """Lesion logits of query slices from support slices whose lesions are known."""

    def __init__(self, supports: int = SUPPORTS, plane: Sequence[int] = PLANE) -> None:
        super().__init__()
        self.conditioner, self.segmenter = Path(), Path()
        self.recombine = nn.ModuleList([Recombination(n) for n in DECODED])
        self.head = nn.Sequential(
            nn.ConvTranspose2d(DECODED[0], 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 1, 3, padding=1),
        )
        self.register_buffer("support_images", torch.zeros(supports, 1, *plane))
        self.register_buffer("support_masks", torch.zeros(supports, 1, *plane))
        self.support_images: Tensor
        self.support_masks: Tensor

    def forward(self, x: Tensor, support: Tensor, mask: Tensor) -> Tensor:
        """Queries, supports (N, 1, H, W) in [0, 1] and the supports' lesions, 0 or 1, to logits (N, 1, H, W)."""
        asked = self.segmenter.encode(_query(x))
        return self._decoded(self.conditioner.encode(_known(support, mask)), asked)[..., : x.shape[2], : x.shape[3]]

    def answer(self, x: Tensor) -> Tensor:
        """Probabilities (N, 1, H, W) of queries, the mean over the supports that the network carries. Queries and
        supports are encoded once, however many of the others there are."""
        size = x.shape[-2:]
        images = F.interpolate(self.support_images, size=size, mode="bilinear")
        masks = F.interpolate(self.support_masks, size=size, mode="nearest")
        asked, known = self.segmenter.encode(_query(x)), self.conditioner.encode(_known(images, masks))
        each = []
        for n in range(len(images)):
            told = [level[n : n + 1].expand(len(x), -1, -1, -1) for level in known]
            each.append(torch.sigmoid(self._decoded(told, asked)))
        return torch.stack(each).mean(0)[..., : size[0], : size[1]]

    def _decoded(self, told: Sequence[Tensor], asked: Sequence[Tensor]) -> Tensor:
        """Logits (N, 1, H, W) of what both paths' encoders see, from the coarsest level up."""
        a, b = told[-1], asked[-1]
        for level in reversed(range(len(DECODED))):
            a = self.conditioner.decode(level, a, told)
            b = self.segmenter.decode(level, b, asked)
            both = self.recombine[level](torch.cat([a, b], dim=1))
            a, b = a + both, b + both
        result: Tensor = self.head(b)
        return result


class Path(nn.Module):
    """Encoder, context enrichment and the four decoder blocks of one path."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ResNet34Stages(3)
        self.context = nn.Sequential(Atrous(STAGES[-1]), Pools(STAGES[-1]))
        entering = (DECODED[1], DECODED[2], DECODED[3], STAGES[-1] + len(POOLS))
        self.blocks = nn.ModuleList([_decoder(a, b) for a, b in zip(entering, DECODED, strict=True)])

    def encode(self, x: Tensor) -> list[Tensor]:
        """Of slices (N, 3, H, W): maps on 1/4, 1/8, 1/16 and, with their context, 1/32 of the plane."""
        *stages, last = self.encoder(x)
        return [*stages, self.context(last)]

    def decode(self, level: int, x: Tensor, stages: Sequence[Tensor]) -> Tensor:
        """One level up; the encoder's map of that size is added, where there is one."""
        result: Tensor = self.blocks[level](x)
        return result + stages[level - 1] if level > 0 else result


class Smoothing(nn.Module):
    """One 3 x 3 kernel for all channels (Wang and Ji, smoothed dilated convolutions, KDD 2018): the identity at
    first."""

    def __init__(self) -> None:
        super().__init__()
        kernel = torch.zeros(1, 1, 3, 3)
        kernel[..., 1, 1] = 1.0
        self.kernel = nn.Parameter(kernel)

    def forward(self, x: Tensor) -> Tensor:
        alone = x.reshape(-1, 1, *x.shape[2:])  # channel by channel: much faster than a convolution in so many groups
        return F.conv2d(alone, self.kernel, padding=1).reshape(x.shape)


class Atrous(nn.Module):
    """The sum of the input and of four branches of dilated convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([_branch(channels, dilations) for dilations in BRANCHES])

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.stack([branch(x) for branch in self.branches]).sum(0)


class Pools(nn.Module):
    """The input and, of each of four max-pools, one channel at the input's size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = nn.ModuleList([nn.Conv2d(channels, 1, 1) for _ in POOLS])

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        pooled = [
            F.interpolate(one(F.max_pool2d(x, [min(pool, n) for n in size])), size=size, mode="bilinear")
            for pool, one in zip(POOLS, self.one, strict=True)
        ]
        return torch.cat([x, *pooled], dim=1)


class Recombination(nn.Module):
    """Both paths' maps (N, 2 C, H, W) to what each is told of the other, (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.join = nn.Conv2d(2 * channels, channels, 1)
        self.channel = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.Sigmoid())
        self.pixel = nn.Sequential(nn.Conv2d(channels, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.join(x))
        result: Tensor = x * self.channel(x) + x * self.pixel(x)
        return result


def _known(support: Tensor, mask: Tensor) -> Tensor:
    """What the conditioner sees: the slice twice and its mask."""
    return to_multiple(torch.cat([support, support, mask], dim=1), SMALLEST)


def _query(x: Tensor) -> Tensor:
    """What the segmenter sees: the slice three times."""
    return to_multiple(x.expand(-1, 3, -1, -1), SMALLEST)


def _branch(channels: int, dilations: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for d in dilations:
        layers += [Smoothing(), nn.Conv2d(channels, channels, 3, padding=d, dilation=d)]
    if dilations != BRANCHES[0]:
        layers.append(nn.Conv2d(channels, channels, 1))
    return nn.Sequential(*layers, nn.ReLU())


def _decoder(channels: int, out: int) -> nn.Sequential:
    """Doubles the plane between two 1 x 1 convolutions, in a quarter of the channels."""
    narrow = channels // 4
    return nn.Sequential(
        nn.Conv2d(channels, narrow, 1),
        nn.BatchNorm2d(narrow),
        nn.ReLU(),
        nn.ConvTranspose2d(narrow, narrow, 3, stride=2, padding=1, output_padding=1),
        nn.BatchNorm2d(narrow),
        nn.ReLU(),
        nn.Conv2d(narrow, out, 1),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )
