"""Models 18, 19 and 20: DeepSC-COVID, and each of its two tasks alone.

Joint learning of 3D lesion segmentation and classification for explainable COVID-19 diagnosis (Wang et al., IEEE
Transactions on Medical Imaging 2021), section IV. Channels, strides and the weights of the four scales are those of the
authors' XiaofeiWang2018/CT-COVID (network.py), which has no licence: none of its code is here. Code Apache-2.0; there
are no weights of theirs.

Where paper and code differ, the paper is followed: one-channel sigmoid heads (`channels=2` has the code's pair), both
gradients of the cross-stitch unit, evidence of one class. Where both are silent, or their answer cannot be meant:

- the four stitches begin at 0.8 (own) and 0.2 (other); the code leaves them uninitialised;
- the classification reads lesion probabilities, the code's logits, of which 0 would not mean "none";
- a patch's lesions and features enter the classification at the patch's place in the scan, 0 elsewhere; the code
  stretches the patch over the whole scan;
- the second down unit is the last with a pool: eq. 3 enlarges the coarsest map eightfold, and the stem halves once;
- without the inception block (`inception=False`): one 3 x 3 x 3 convolution of stride 2, group norm, ReLU;
- without the lesion task (model 20) the features pass a 1 x 1 x 1 convolution 32 to 32.

Model 19 is `tasks="lesions"`, model 20 `tasks="diagnosis"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

CLASSES = 3  # COVID-19, CAP, non-pneumonia, in this order
SCALES = (0.25, 0.25, 0.5, 1.0)  # eta of eq. 3, coarsest first (network.py)
OWN, OTHER = 0.8, 0.2  # of the stitches at the beginning
STEM = 32
ENCODED = (64, 128, 256)
COARSEST = 8  # voxels of the patch, per axis, that make one of the coarsest map
SAME_PLACE = 1e-9  # a cell's middle that falls on a border belongs to the later cell, whatever the rounding

Tasks = Literal["both", "lesions", "diagnosis"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What comes of N patches and the N scans they were cut from; None where the network has not that task.

    Shapes for patches (N, 1, d, h, w) and scans (N, 1, D, H, W).
    """

    lesions: Tensor | None  # logits (N, 1, d, h, w)
    scales: tuple[Tensor, ...] = ()  # lesion logits before they are summed: 1/8, 1/4, 1/2 and all of the patch's grid
    classes: Tensor | None = None  # logits (N, 3), COVID-19, CAP, non-pneumonia
    encoded: tuple[Tensor, ...] = ()  # what evidence is made of: 64, 128, 256 channels on 1/4, 1/8, 1/16 of the scan


@dataclass(frozen=True, kw_only=True, eq=False)
class Whole:
    """What comes of one scan with all its patches; empty or None where the network has not that task."""

    lesions: list[Tensor]  # probabilities (1, 1, d, h, w), patch by patch
    classes: Tensor | None = None  # logits (1, 3)
    encoded: tuple[Tensor, ...] = ()


class DeepSC(nn.Module):
    """Lesions of a patch and the class of its scan, each task with its stem, stitched together after it."""

    def __init__(
        self, tasks: Tasks = "both", *, inception: bool = True, cross_stitch: bool = True, channels: int = 1
    ) -> None:
        super().__init__()
        if tasks not in ("both", "lesions", "diagnosis") or channels not in (1, 2):
            raise ValueError(f"tasks {tasks!r}, {channels} channels: must be both, lesions or diagnosis, and 1 or 2")
        self.tasks = tasks
        if tasks != "diagnosis":
            self.lesion_stem = stem(inception=inception)
            self.lesion_net = LesionNet(channels)
        if tasks != "lesions":
            self.class_stem = stem(inception=inception)
            self.class_net = ClassNet(with_lesions=tasks == "both")
        self.stitches = (
            nn.Parameter(torch.tensor([[OWN, OTHER], [OTHER, OWN]])) if tasks == "both" and cross_stitch else None
        )

    def forward(
        self, patches: Tensor | None, scans: Tensor | None, places: Tensor | None = None, *, apart: bool = False
    ) -> Reading:
        """Patches (N, 1, d, h, w) and scans (N, 1, D, H, W) in [0, 1], 0 outside the lungs; places (N, 3, 2): where
        each patch begins and ends on the axes of its scan, of which 0 and 1 are the ends.

        d, h and w are multiples of 8; D, H and W even. `apart`: neither task hears of the other, as while each is
        pre-trained; then, and with one task, places are not needed.
        """
        own_lesion = None if self.tasks == "diagnosis" else self.lesion_stem(_given(patches, "patches"))
        own_class = None if self.tasks == "lesions" else self.class_stem(_given(scans, "scans"))
        if own_lesion is None or own_class is None or apart:
            lesions, scales = (None, ()) if own_lesion is None else self.lesion_net(own_lesion)
            classes, encoded = (None, ()) if own_class is None else self.class_net(own_class, None)
            return Reading(lesions=lesions, scales=scales, classes=classes, encoded=encoded)
        where = _given(places, "places")
        lesions, scales = self.lesion_net(self.stitched_lesion(own_lesion, own_class, where))
        drawn = pasted(torch.sigmoid(lesions), where, half_deep(_given(scans, "scans")))
        heard = pasted(own_lesion, where, own_class.shape[2:])
        classes, encoded = self.class_net(self.stitched_class(own_class, heard), drawn)
        return Reading(lesions=lesions, scales=scales, classes=classes, encoded=encoded)

    def read(self, scan: Tensor, patches: Iterable[tuple[Tensor, Tensor]], *, apart: bool = False) -> Whole:
        """One scan (1, 1, D, H, W) with all its patches (1, 1, d, h, w), each with its place (1, 3, 2): lesions of each
        in turn, and the class from all of them. The patches do not overlap."""
        own = None if self.tasks == "lesions" else self.class_stem(scan)
        if self.tasks == "both" and own is not None and not apart:
            return self._read_together(scan, own, patches)
        cut_out = () if self.tasks == "diagnosis" else patches
        likely = [torch.sigmoid(self.lesion_net(self.lesion_stem(patch))[0]) for patch, _ in cut_out]
        classes, encoded = (None, ()) if own is None else self.class_net(own, None)
        return Whole(lesions=likely, classes=classes, encoded=encoded)

    def _read_together(self, scan: Tensor, own: Tensor, patches: Iterable[tuple[Tensor, Tensor]]) -> Whole:
        likely, heard, drawn = [], torch.zeros_like(own), scan.new_zeros(1, 1, *half_deep(scan))
        for patch, place in patches:
            features = self.lesion_stem(patch)
            likely.append(torch.sigmoid(self.lesion_net(self.stitched_lesion(features, own, place))[0]))
            heard = heard + pasted(features, place, heard.shape[2:])
            drawn = drawn + pasted(likely[-1], place, drawn.shape[2:])
        classes, encoded = self.class_net(self.stitched_class(own, heard), drawn)
        return Whole(lesions=likely, classes=classes, encoded=encoded)

    def stitched_lesion(self, own: Tensor, scan: Tensor, places: Tensor) -> Tensor:
        """Features of the patches (N, 32, d/2, h/2, w/2) after they have heard those of the scans (eq. 2)."""
        if self.stitches is None:
            return own
        return self.stitches[0, 0] * own + self.stitches[0, 1] * cut(scan, places, own.shape[2:])

    def stitched_class(self, own: Tensor, heard: Tensor) -> Tensor:
        """Features of the scans after they have heard those of their patches, which lie on the scans' grid (eq. 2)."""
        if self.stitches is None:
            return own
        return self.stitches[1, 1] * own + self.stitches[1, 0] * heard

    def evidence(self, encoded: Sequence[Tensor], classes: Tensor) -> list[Tensor]:
        """Where a scan speaks for its class (N,), eq. 5: (N, 1, ...) on the grid of each encoder, the finest first."""
        weights = torch.split(self.class_net.classify.weight[classes], list(ENCODED), dim=1)
        return [
            (maps * w[:, :, None, None, None]).sum(1, keepdim=True) for maps, w in zip(encoded, weights, strict=True)
        ]


class Inception(nn.Module):
    """Four ways of halving a one-channel volume, side by side: 8 + 8 + 12 + 4 channels, no activation between."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                nn.Conv3d(1, 8, 1, stride=2, bias=False),
                nn.Sequential(nn.Conv3d(1, 8, 1, bias=False), _halving(8, 8)),
                nn.Sequential(
                    nn.Conv3d(1, 8, 1, bias=False), _halving(8, 12), nn.Conv3d(12, 12, 3, padding=1, bias=False)
                ),
                nn.Sequential(nn.AvgPool3d(3, stride=1, padding=1), _halving(1, 4)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class LesionNet(nn.Module):
    """Section IV-C: a U of three units down and three up, and one map of lesions from each scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.ModuleList([_unit(a, b, c) for a, b, c in ((32, 32, 64), (64, 64, 128), (128, 128, 256))])
        self.enlarge = nn.ModuleList([nn.ConvTranspose3d(n, n, 2, stride=2) for n in (256, 128, 64)])
        self.up = nn.ModuleList([_unit(a, b, c) for a, b, c in ((384, 128, 128), (192, 64, 64), (64, 32, 32))])
        self.heads = nn.ModuleList([nn.Conv3d(n, channels, 1) for n in (256, 128, 64, 32)])

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Features (N, 32, d/2, h/2, w/2) to lesion logits (N, 1, d, h, w), and those of the four scales."""
        if any(2 * n % COARSEST for n in x.shape[2:]):
            raise ValueError(f"a patch of {[2 * n for n in x.shape[2:]]}: every axis must be a multiple of {COARSEST}")
        skips = []
        for down in self.down[:-1]:
            x = down(x)
            skips.append(x)
            x = F.max_pool3d(x, 2)
        x = self.down[-1](x)  # (N, 256, d/8, h/8, w/8)
        maps = [x]
        for level, (enlarge, up) in enumerate(zip(self.enlarge, self.up, strict=True)):
            x = enlarge(x)
            x = up(torch.cat([x, skips.pop()], dim=1) if level < 2 else x)
            maps.append(x)
        scales = tuple(_lesion(head(m)) for head, m in zip(self.heads, maps, strict=True))
        size = scales[-1].shape[2:]
        whole = [eta * F.interpolate(s, size=size, mode="nearest") for eta, s in zip(SCALES, scales, strict=True)]
        return torch.stack(whole).sum(0), scales


class ClassNet(nn.Module):
    """Section IV-D: three residual encoder units, the means of all of them, one linear layer."""

    def __init__(self, *, with_lesions: bool) -> None:
        super().__init__()
        self.with_lesions = with_lesions
        if with_lesions:
            self.read_lesions = nn.Conv3d(1, STEM // 2, 1, stride=(1, 2, 2), bias=False)
            self.lesion_weight = nn.Parameter(torch.ones(()))
        self.read_scan = nn.Conv3d(STEM, STEM // 2 if with_lesions else STEM, 1, bias=False)
        self.encoders = nn.ModuleList([Encoder(a, b) for a, b in zip((STEM, *ENCODED), ENCODED, strict=False)])
        self.classify = nn.Linear(sum(ENCODED), CLASSES)

    def forward(self, scan: Tensor, lesions: Tensor | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Features (N, 32, D/2, H/2, W/2) and lesion probabilities (N, 1, D/2, H, W), None for no lesions, to logits
        (N, 3) and the maps of the three encoders."""
        x = self.read_scan(scan)
        if self.with_lesions:
            seen = torch.zeros_like(x) if lesions is None else self.lesion_weight * self.read_lesions(lesions)
            x = torch.cat([seen, x], dim=1)
        encoded = []
        for encoder in self.encoders:
            x = encoder(x)
            encoded.append(x)
        return self.classify(torch.cat([m.mean((2, 3, 4)) for m in encoded], dim=1)), tuple(encoded)


class Encoder(nn.Module):
    """Halves the grid; the first convolution's own output is the shortcut."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.halve = _halving(channels, out)
        self.body = nn.Sequential(
            nn.GroupNorm(2, out), nn.ReLU(), nn.Conv3d(out, out, 3, padding=1, bias=False), nn.GroupNorm(2, out)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.halve(x)
        return F.relu(self.body(x) + x)


def stem(*, inception: bool) -> nn.Sequential:
    """(N, 1, D, H, W) to (N, 32, D/2, H/2, W/2)."""
    return nn.Sequential(Inception() if inception else _halving(1, STEM), nn.GroupNorm(2, STEM), nn.ReLU())


def cut(maps: Tensor, places: Tensor, shape: Sequence[int]) -> Tensor:
    """Of maps of whole scans (N, C, ...), the part at each place, on a grid of `shape`."""
    whole = places.new_tensor([0.0, 1.0]).expand_as(places)
    return _laid(maps, whole, places, shape)


def pasted(maps: Tensor, places: Tensor, shape: Sequence[int]) -> Tensor:
    """Maps of patches (N, C, ...) at their places in whole scans, on a grid of `shape`; 0 elsewhere."""
    whole = places.new_tensor([0.0, 1.0]).expand_as(places)
    return _laid(maps, places, whole, shape)


def half_deep(scans: Tensor) -> tuple[int, int, int]:
    """The grid on which a diagnosis reads lesions: half the slices of the scans (N, 1, D, H, W)."""
    depth, rows, columns = scans.shape[2:]
    return depth // 2, rows, columns


def _laid(maps: Tensor, own: Tensor, wanted: Tensor, shape: Sequence[int]) -> Tensor:
    """Maps on the boxes `own` as they look on the boxes `wanted`, on a grid of `shape`: nearest cell, 0 outside."""
    laid = []
    for n, part in enumerate(maps):
        for axis, size in enumerate(shape):
            (first, last), (low, high) = own[n, axis].double(), wanted[n, axis].double()
            middle = low + (torch.arange(size, device=maps.device) + 0.5) / size * (high - low)
            cell = ((middle - first) / (last - first) * part.shape[axis + 1] + SAME_PLACE).floor().long()
            inside = (cell >= 0) & (cell < part.shape[axis + 1])
            part = part.index_select(axis + 1, cell.clamp(0, part.shape[axis + 1] - 1))
            part = part * inside.view(*(-1 if a == axis else 1 for a in range(3)))
        laid.append(part)
    return torch.stack(laid)


def _given(tensor: Tensor | None, what: str) -> Tensor:
    if tensor is None:
        raise ValueError(f"the network needs {what}")
    return tensor


def _lesion(maps: Tensor) -> Tensor:
    """One logit: of a pair (background, lesion), what a softmax would make of it."""
    return maps if maps.shape[1] == 1 else maps[:, 1:] - maps[:, :1]


def _halving(channels: int, out: int) -> nn.Conv3d:
    return nn.Conv3d(channels, out, 3, stride=2, padding=1, bias=False)


def _unit(channels: int, middle: int, out: int) -> nn.Sequential:
    """Twice convolution, batch norm by the batch's own statistics (in evaluation too, as published), ReLU."""
    layers: list[nn.Module] = []
    for a, b in ((channels, middle), (middle, out)):
        layers += [nn.Conv3d(a, b, 3, padding=1), nn.BatchNorm3d(b, track_running_stats=False), nn.ReLU()]
    return nn.Sequential(*layers)
