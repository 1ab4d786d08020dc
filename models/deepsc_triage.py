"""DeepSC-COVID in the role triage: the patches of a scan side by side, its overview, and one reading of both.

Section V-A of the paper: the scan, zeroed outside the lungs, is cut into patches that do not overlap, and sampled to a
fixed number of slices. What the paper leaves open: slices are picked at floor((S - 1) / D i) for i = 0 .. D - 1, as in
the published code, because eq. 12 never reaches the end of the scan; planes are resized linearly. While serving, every
patch tells the classification what it saw, at its place; while training there is one patch of a scan.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from models.bundle import Bundle, BundleError
from models.case import Box
from models.deepsc import CLASSES, DeepSC
from models.maps import WithNetwork, lesions_of
from models.predict import LungMasks, TriageResult
from models.prepare import cut, overlap, prepare
from models.volume import Volume

LEVEL = 0.5  # of the lesion map (the published code's: the more likely of two)
TASK = "diagnosis"  # the task in the card's classes; the first class is the one that the score is for

Shape = tuple[int, int, int]


class DeepScTriage(WithNetwork[DeepSC]):
    """Lesions, a score and class probabilities; of a network with one task, what that task gives."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        super().__init__(bundle, device, DeepSC)
        if self._spec.tile is None or self._spec.overview is None:
            raise BundleError(f"{self.card.name}: the card does not say how large tile and overview are")
        self._tile, self._overview = self._spec.tile, self._spec.overview
        self._classes = self.card.classes.get(TASK, ())
        if self._network.tasks != "lesions" and len(self._classes) != CLASSES:
            raise BundleError(f"{self.card.name}: {CLASSES} answers for the classes {self._classes}")
        self._level = self.card.thresholds.get("lesion", LEVEL)

    @torch.inference_mode()
    def triage(self, volume: Volume, lungs: LungMasks) -> TriageResult:
        """Raises ValueError where there are no lungs."""
        inside = lungs.labels > 0
        case = prepare(volume, self._spec, inside)
        likely, logits = self._read(case.image)
        found = lesions_of(likely, case, self._level, inside)
        if logits is None:
            return found
        classes = dict(zip(self._classes, torch.softmax(logits[0], dim=0).tolist(), strict=True))
        score = classes[self._classes[0]]
        return replace(found, probability=score, class_probabilities=classes)

    def _read(self, image: NDArray[np.float32]) -> tuple[NDArray[np.float32] | None, Tensor | None]:
        """Lesion probabilities on the image and class logits (1, 3), each None where the network has not that task."""
        boxes = [box for box in side_by_side(image.shape, self._tile) if cut(image, box).any()]  # the rest is no lung
        scan = overview(image, self._overview).to(self._device)
        found = self._network.read(scan, (self._patch(image, box) for box in boxes))
        if self._network.tasks == "diagnosis":
            return None, found.classes
        likely = np.zeros(image.shape, dtype=np.float32)
        for box, part in zip(boxes, found.lesions, strict=True):
            there, here = overlap(box, image.shape)
            likely[there] = part[0, 0].cpu().numpy()[here]
        return likely, found.classes

    def _patch(self, image: NDArray[np.float32], box: Box) -> tuple[Tensor, Tensor]:
        patch = torch.from_numpy(np.ascontiguousarray(cut(image, box)))[None, None]
        return patch.to(self._device), place_of(box, image.shape)[None].to(self._device)


def overview(image: NDArray[np.float32], shape: Shape) -> Tensor:
    """A scan (slice, row, column) at so many slices, picked, and so many rows and columns: (1, 1, D, H, W)."""
    picked = np.floor((image.shape[0] - 1) / shape[0] * np.arange(shape[0])).astype(np.intp)
    planes = torch.from_numpy(image[picked])[:, None]
    return F.interpolate(planes, size=shape[1:], mode="bilinear", align_corners=False)[None, None, :, 0]


def side_by_side(shape: tuple[int, ...], tile: Shape) -> list[Box]:
    """Boxes of the size of `tile` that cover `shape` without overlap; the last of an axis may reach beyond it."""
    axes = [[(first, first + step) for first in range(0, n, step)] for n, step in zip(shape, tile, strict=True)]
    return [(s, r, c) for s, r, c in product(*axes)]


def place_of(box: Box, shape: tuple[int, ...]) -> Tensor:
    """Where a box begins and ends on the axes of a scan, of which 0 and 1 are the ends: (3, 2)."""
    return torch.tensor([[low / n, high / n] for (low, high), n in zip(box, shape, strict=True)])
