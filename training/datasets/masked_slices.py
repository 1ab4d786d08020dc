"""Slices of synthetic patients, zeroed outside the lungs, for the segmenters that DeepSC-COVID compares with, and whole
patients stretched to one size.

The paper gives no recipes for these methods. Our choice: patients who carry lesions, a slice with and a slice without
in turn; for few-shot learning each with a slice of another patient whose lesions are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from models.grid import resample_mask
from models.maps import stretched
from models.prepare import grid_shape, on_case, prepare
from training.datasets.lesions import Lesions
from training.datasets.phantom import Patient, drawn, joined, maps_of, padded, volume_of
from training.datasets.stored import DataError
from training.recipe import Batch

TRIES = 100  # to draw a patient who has lesions


@dataclass(frozen=True, kw_only=True)
class MaskedSlices(Lesions):
    """Batches: image and lesions (N, 1, H, W); lesions are 0 or 1, and NaN in padding."""

    slices: int  # per batch
    with_lesions: float = 0.5  # share of the slices

    def batch(self, rng: np.random.Generator) -> Batch:
        return padded([self._sample(rng) for _ in range(self.slices)])

    def _sample(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        patient, _ = drawn(self.train, self.shares, rng, annotated=True)
        there = (patient.lesions & patient.lungs).any(axis=(1, 2))
        lung = patient.lungs.any(axis=(1, 2))
        wanted = there if rng.random() < self.with_lesions else ~there
        for among in (lung & wanted, lung):
            for s in rng.permutation(np.flatnonzero(among)):
                if self._is_seen(patient, int(s)):
                    return self.slice_of(patient, int(s))
        raise DataError(f"{self.train.description}: a patient without lung at {self.spec.pixel_mm} mm, to be left out")

    def _is_seen(self, patient: Patient, s: int) -> bool:
        """Whether the lung of a slice is there on the specification's grid too, where a few pixels of it vanish."""
        _, rows, columns = grid_shape(volume_of(patient), self.spec)
        return bool(resample_mask(patient.lungs[s : s + 1], (1, rows, columns)).any())

    def slice_of(self, patient: Patient, s: int) -> dict[str, Tensor]:
        """Image and lesions (1, 1, H, W) of one slice that shows lung."""
        one = slice(s, s + 1)
        case = prepare(volume_of(patient, patient.hu[one]), self.spec, patient.lungs[one])
        return maps_of(case.image, lesions=on_case((patient.lesions & patient.lungs)[one], case))

    def supports(self, number: int, rng: np.random.Generator) -> list[dict[str, Tensor]]:
        """So many slices with lesions of training patients, each the one that shows most of a random patient's."""
        found: list[dict[str, Tensor]] = []
        for _ in range(TRIES):
            patient, _ = drawn(self.train, self.shares, rng, annotated=True)
            areas = (patient.lesions & patient.lungs).sum(axis=(1, 2))
            if areas.any():
                found.append(self.slice_of(patient, int(areas.argmax())))
            if len(found) == number:
                return found
        raise DataError(f"hardly any patient of {self.train.description} has lesions: there is nothing to support with")


@dataclass(frozen=True, kw_only=True)
class BoxedSlices(MaskedSlices):
    """Slices in the box that the patient's lungs have in all of his slices, not zeroed."""

    def slice_of(self, patient: Patient, s: int) -> dict[str, Tensor]:
        box = np.broadcast_to(patient.lungs.any(axis=0), (1, *patient.lungs.shape[1:]))
        case = prepare(volume_of(patient, patient.hu[s : s + 1]), self.spec, np.ascontiguousarray(box))
        return maps_of(case.image, lesions=on_case((patient.lesions & patient.lungs)[s : s + 1], case))


@dataclass(frozen=True, kw_only=True)
class SupportedSlices(MaskedSlices):
    """Batches: as those of slices, with support and support_lesions (N, 1, H, W), stretched to the batch's plane."""

    def batch(self, rng: np.random.Generator) -> Batch:
        queries = padded([self._sample(rng) for _ in range(self.slices)])
        plane = queries["image"].shape[2:]
        known = self.supports(self.slices, rng)
        return {
            **queries,
            "support": torch.cat([_on_plane(k["image"], plane) for k in known]),
            "support_lesions": torch.cat([_on_plane(k["lesions"], plane).round() for k in known]),
        }


@dataclass(frozen=True, kw_only=True)
class StretchedVolumes(Lesions):
    """Batches: image and lesions (N, 1, D, H, W), the box of the lungs stretched to the specification's size and bent
    by an affine map: each corner of the cube is drawn towards the middle by up to `bent` of the way."""

    volumes: int  # per batch
    bent: float = 0.0

    def batch(self, rng: np.random.Generator) -> Batch:
        return joined([self._sample(rng) for _ in range(self.volumes)])

    def _sample(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        if self.spec.resized is None:
            raise ValueError("the specification does not say what volumes are stretched to")
        patient, _ = drawn(self.train, self.shares, rng, annotated=True)
        case = prepare(volume_of(patient), self.spec, patient.lungs)
        lesions = on_case(patient.lesions & patient.lungs, case).astype(np.float32)
        maps = torch.from_numpy(np.stack([case.image, lesions]))[:, None]
        maps = stretched(maps, self.spec.resized)
        if self.bent > 0.0:
            maps = bent(maps, affine(rng, self.bent))
        return {"image": maps[:1], "lesions": (maps[1:] > 0.5).float()}


def affine(rng: np.random.Generator, most: float) -> NDArray[np.float64]:
    """The affine map (3, 4) that comes nearest to moving each corner of the cube from -1 to 1 towards the middle by a
    random part of `most`, each axis for itself (as DenseVNet's published augmentation)."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
    moved = corners * (1.0 - rng.uniform(0.0, most, corners.shape))
    with_one = np.column_stack([corners, np.ones(len(corners))])
    return np.asarray(np.linalg.lstsq(with_one, moved, rcond=None)[0].T)


def bent(maps: Tensor, by: NDArray[np.float64]) -> Tensor:
    """Maps (N, C, D, H, W) at the places that the map (3, 4) of the cube from -1 to 1 names; 0 outside."""
    where = torch.from_numpy(by).float().expand(len(maps), -1, -1)
    return F.grid_sample(maps, F.affine_grid(where, list(maps.shape), align_corners=False), align_corners=False)


def _on_plane(maps: Tensor, plane: Sequence[int]) -> Tensor:
    return F.interpolate(maps, size=tuple(plane), mode="bilinear", align_corners=False)
