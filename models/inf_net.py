"""Model 30: Inf-Net, a lesion segmenter of slices.

Inf-Net: Automatic COVID-19 lung infection segmentation from CT images (Fan et al., IEEE TMI 2020), cited by CT triage
and COVID-MTL and trained by neither; after the description of the authors' published InfNet_Res2Net.py and Res2Net.py
(MIT). The backbone is Res2Net-50 26w x 4s, version 1b (Gao et al., IEEE TPAMI 2021), whose tensors have their published
names, so that a user's own weights fit. Semi-Inf-Net is this network under another schedule. What differs: a grey slice
is all it needs, and sizes follow the maps, so that planes need not be multiples of 32; random weights to begin with,
where the authors have ImageNet's. 31,072,721
parameters; the 33.12 million of the paper include the backbone's layer for ImageNet's 1000 classes, which nothing
uses. Code Apache-2.0; no weights of theirs are used.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.layers import imagenet, normed

SCALES, BASE_WIDTH = 4, 26  # of Res2Net: groups of a block's maps, and their width at 64 planes
BLOCKS = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # planes, blocks and stride of each stage
EXPANSION = 4
WIDTH = 32  # of the receptive field blocks
EDGE = 64


class InfNet(nn.Module):
    """Slices (N, 1, H, W) in [0, 1] to logits of lesion (N, 4, H, W), the finest map first, which is the answer, and
    logits of the lesions' edges (N, 1, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Res2Net50()
        self.fields = nn.ModuleList([ReceptiveField(channels) for channels in (512, 1024, 2048)])
        self.decoder = PartialDecoder()
        self.edge = nn.Sequential(normed(256, EDGE, (1, 1)), normed(EDGE, EDGE, (3, 3)), normed(EDGE, EDGE, (3, 3)))
        self.edge_map = normed(EDGE, 1, (3, 3))
        deepest = ReverseAttention(2048, 256, 5, 3, last_kernel=1)
        self.attention = nn.ModuleList([deepest, *(ReverseAttention(c, 64, 3, 2, last_kernel=3) for c in (1024, 512))])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        stages = self.backbone(imagenet(x))  # 256, 512, 1024, 2048 maps of H/4, H/8, H/16, H/32
        edge = self.edge(stages[0])
        fine, middle, coarse = (field(stage) for field, stage in zip(self.fields, stages[1:], strict=True))
        guess = self.decoder(coarse, middle, fine)  # (N, 1, H/8, W/8)
        maps = [guess]
        for attention, stage in zip(self.attention, reversed(stages[1:]), strict=True):
            guess = attention(stage, _resized(guess, stage), edge)
            maps.append(guess)
        whole = torch.cat([_resized(m, x) for m in reversed(maps)], dim=1)
        return whole, _resized(self.edge_map(edge), x)


class Res2Net50(nn.Module):
    """(N, 3, H, W) to the maps of its four stages: 256, 512, 1024 and 2048 channels at H/4, H/8, H/16 and H/32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3, 1, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, 1, 1, bias=False),
        )
        self.bn1 = nn.BatchNorm2d(64)
        stages, channels = [], 64
        for planes, blocks, stride in BLOCKS:
            first = Res2Block(channels, planes, stride, first=True)
            channels = planes * EXPANSION
            stages.append(nn.Sequential(first, *(Res2Block(channels, planes) for _ in range(blocks - 1))))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        found = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            found.append(x)
        return found


class Res2Block(nn.Module):
    """A bottleneck whose 3 x 3 convolutions each see one group of maps and what the one before made of its own.

    In the `first` block of a stage, groups are alone, the last one is pooled, and the shortcut is pooled and projected.
    """

    def __init__(self, channels: int, planes: int, stride: int = 1, *, first: bool = False) -> None:
        super().__init__()
        width, out = planes * BASE_WIDTH // 64, planes * EXPANSION
        self.conv1 = nn.Conv2d(channels, SCALES * width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(SCALES * width)
        self.convs = nn.ModuleList([nn.Conv2d(width, width, 3, stride, 1, bias=False) for _ in range(SCALES - 1)])
        self.bns = nn.ModuleList([nn.BatchNorm2d(width) for _ in range(SCALES - 1)])
        self.conv3 = nn.Conv2d(SCALES * width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.first = first
        self.pool: nn.Module = nn.AvgPool2d(3, stride, 1) if first else nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if first:
            pooled = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
            self.downsample = nn.Sequential(pooled, nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        groups = F.relu(self.bn1(self.conv1(x))).chunk(SCALES, dim=1)
        found: list[Tensor] = []
        for group, convolution, norm in zip(groups[:-1], self.convs, self.bns, strict=True):
            entering = group if self.first or not found else group + found[-1]
            found.append(F.relu(norm(convolution(entering))))
        found.append(self.pool(groups[-1]))
        return F.relu(self.bn3(self.conv3(torch.cat(found, dim=1))) + self.downsample(x))


class ReceptiveField(nn.Module):
    """Four branches that see ever further, brought to WIDTH maps, and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([normed(channels, WIDTH, (1, 1))])
        for reach in (3, 5, 7):
            self.branches.append(
                nn.Sequential(
                    normed(channels, WIDTH, (1, 1)),
                    normed(WIDTH, WIDTH, (1, reach)),
                    normed(WIDTH, WIDTH, (reach, 1)),
                    normed(WIDTH, WIDTH, (3, 3), dilation=reach),
                )
            )
        self.together = normed(4 * WIDTH, WIDTH, (3, 3))
        self.shortcut = normed(channels, WIDTH, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.cat([branch(x) for branch in self.branches], dim=1)
        return F.relu(self.together(branches) + self.shortcut(x))


class PartialDecoder(nn.Module):
    """A first guess (N, 1, H/8, W/8) from the three coarser stages, which multiply one another."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse_to_middle = normed(WIDTH, WIDTH, (3, 3))
        self.coarse_to_fine = normed(WIDTH, WIDTH, (3, 3))
        self.middle_to_fine = normed(WIDTH, WIDTH, (3, 3))
        self.beside_middle = normed(WIDTH, WIDTH, (3, 3))
        self.beside_fine = normed(2 * WIDTH, 2 * WIDTH, (3, 3))
        self.middle = normed(2 * WIDTH, 2 * WIDTH, (3, 3))
        self.fine = normed(3 * WIDTH, 3 * WIDTH, (3, 3))
        self.last = nn.Sequential(normed(3 * WIDTH, 3 * WIDTH, (3, 3)), nn.Conv2d(3 * WIDTH, 1, 1))

    def forward(self, coarse: Tensor, middle: Tensor, fine: Tensor) -> Tensor:
        raised = _aligned(coarse, middle)
        gated_fine = self.coarse_to_fine(_aligned(raised, fine)) * self.middle_to_fine(_aligned(middle, fine)) * fine
        both = self.middle(torch.cat([self.coarse_to_middle(raised) * middle, self.beside_middle(raised)], dim=1))
        all_three = self.fine(torch.cat([gated_fine, self.beside_fine(_aligned(both, fine))], dim=1))
        result: Tensor = self.last(all_three)
        return result


class ReverseAttention(nn.Module):
    """Looks where the guess so far sees nothing, with the edges beside it, and adds what it finds to the guess."""

    def __init__(self, channels: int, width: int, kernel: int, depth: int, last_kernel: int) -> None:
        super().__init__()
        self.narrow = normed(channels, width, (1, 1))
        entering = [width + EDGE, *(width for _ in range(depth - 1))]
        self.body = nn.Sequential(
            *(nn.Sequential(normed(a, width, (kernel, kernel)), nn.ReLU(inplace=True)) for a in entering),
            normed(width, 1, (last_kernel, last_kernel)),
        )

    def forward(self, x: Tensor, guess: Tensor, edge: Tensor) -> Tensor:
        unseen = self.narrow((1.0 - torch.sigmoid(guess)) * x)
        result: Tensor = self.body(torch.cat([unseen, _resized(edge, x)], dim=1)) + guess
        return result


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _aligned(x: Tensor, like: Tensor) -> Tensor:
    """As the authors enlarge maps inside the partial decoder."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)
