"""Synthetic patients for lesion segmenters: random slices in the box of the lungs, or random boxes of that box.

Of both the paper of CT triage says how many there are in a batch (section 4.3) and not how they are drawn. Our choice:
a random patient, then a random slice of the box, as its lung network is trained; or a random box of 32 x 128 x 128, in
half of the cases about a voxel of a lesion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from models.prepare import on_case, prepare
from training.augment import Augmentation, Pose, intensity
from training.datasets.phantom import (
    POSITIVE,
    Phantoms,
    drawn,
    jittered,
    joined,
    maps_of,
    padded,
    posed,
    volume_of,
)
from training.recipe import Batch

ABOUT_LESIONS = 0.5  # share of the boxes that are drawn about a voxel of a lesion


@dataclass(frozen=True, kw_only=True)
class Lesions(Phantoms):
    """What both have in common: the shares of kinds, and whole patients to choose by."""

    shares: Mapping[str, float]  # of the kinds among the samples

    def validation(self) -> Iterator[Batch]:
        """Whole patients in the box of their true lungs, one per batch: image, lesions and lungs (S, 1, H, W); covid
        (1,), 0 or 1."""
        for index in self.chosen():
            patient = self.held_out[index]
            if patient.lungs.any():
                case = prepare(volume_of(patient), self.spec, patient.lungs)
                masks = {"lesions": on_case(patient.lesions & patient.lungs, case), "lungs": case.lungs}
                covid = torch.tensor([float(self.held_out.kinds[index] == POSITIVE)])
                yield {**maps_of(case.image, **{name: m for name, m in masks.items() if m is not None}), "covid": covid}


@dataclass(frozen=True, kw_only=True)
class LesionSlices(Lesions):
    """Batches: image and lesions (N, 1, H, W); lesions are 0 or 1, and NaN where a slice was padded to the largest."""

    slices: int  # per batch
    plane: int = 0  # pixels; 0: zero-padded to the largest slice of the batch

    def batch(self, rng: np.random.Generator) -> Batch:
        samples = [self._sample(rng) for _ in range(self.slices)]
        return padded(samples) if self.plane == 0 else joined(samples)

    def _sample(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        patient, _ = drawn(self.train, self.shares, rng, annotated=True)
        box = jittered(patient, rng)
        s = int(rng.choice(np.flatnonzero(box.any(axis=(1, 2)))))
        hu = patient.hu[s : s + 1]
        if self.augmentation is not None:
            hu = intensity(hu, rng, self.augmentation)
        case = prepare(volume_of(patient, hu), self.spec, box[s : s + 1])
        maps = maps_of(case.image, lesions=on_case((patient.lesions & patient.lungs)[s : s + 1], case))
        if self.plane == 0 and self.augmentation is None:
            return maps
        shape = case.image.shape[1], case.image.shape[2]
        plane = shape if self.plane == 0 else (self.plane, self.plane)
        how = self.augmentation or Augmentation(scale=(1.0, 1.0), rotation_deg=0.0)
        return posed(maps, Pose.drawn(rng, how, shape, plane), plane)


@dataclass(frozen=True, kw_only=True)
class LesionBoxes(Lesions):
    """Batches: image and lesions (N, 1, D, H, W); lesions are 0 or 1, and NaN in padding."""

    boxes: int  # per batch
    size: tuple[int, int, int]  # voxels (slice, row, column)

    def batch(self, rng: np.random.Generator) -> Batch:
        return joined([self._sample(rng) for _ in range(self.boxes)])

    def _sample(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        patient, _ = drawn(self.train, self.shares, rng, annotated=True)
        hu = patient.hu if self.augmentation is None else intensity(patient.hu, rng, self.augmentation)
        case = prepare(volume_of(patient, hu), self.spec, jittered(patient, rng))
        lesions = on_case(patient.lesions & patient.lungs, case)
        about = None
        if rng.random() < ABOUT_LESIONS and lesions.any():
            voxels = np.argwhere(lesions)
            about = voxels[int(rng.integers(len(voxels)))]
        part = tuple(
            _run(n, most, None if about is None else int(about[axis]), rng)
            for axis, (n, most) in enumerate(zip(case.image.shape, self.size, strict=True))
        )
        missing = [most - (run.stop - run.start) for run, most in zip(part, self.size, strict=True)]
        pad = (0, missing[2], 0, missing[1], 0, missing[0])
        image = torch.from_numpy(np.ascontiguousarray(case.image[part]))
        truth = torch.from_numpy(lesions[part].astype(np.float32))
        return {
            "image": F.pad(image, pad)[None, None],
            "lesions": F.pad(truth, pad, value=torch.nan)[None, None],
        }


def _run(length: int, most: int, about: int | None, rng: np.random.Generator) -> slice:
    """So many voxels of an axis: anywhere, or with a voxel as near to the middle as the ends allow."""
    if length <= most:
        return slice(0, length)
    first = int(rng.integers(length - most + 1)) if about is None else min(max(0, about - most // 2), length - most)
    return slice(first, first + most)
