"""How much lung there is, and against what: the numbers by which a quality gate believes a result or does not.

The papers judge no input. Our choice: a lung that the lung model misses because it is white shows in the share of the
rib cage that is lung, side by side, at the height where a healthy chest holds little else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.classical import body_mask
from models.grid import in_plane_shape, regrid_affine, resample_hu, resample_mask
from models.morphology import opened
from models.severity import LEFT, RIGHT
from models.volume import Volume

GRID_MM = 2.0
# Lung in the last slice is cut off when there is more of it than the tip of an apex or of a recess.
CUT_OFF_MM2 = 1000.0
RECESS_MM2 = 200.0  # less than this of a side in a slice is the tip of its recess, or noise
# From the apex down: below the clavicles, above the domes of most adults (lungs are 220-320 mm high). In mm, not as a
# share of the lungs' height: lungs white from the base up to the hilum would otherwise look complete, only short.
MID_CHEST_MM = (40.0, 170.0)
BONE_HU = 180
THICKER_THAN_RIBS_MM = 8.0  # radius: contrast in heart and vessels is bright too, and thicker
SLAB_MM = 12.0  # each way; ribs run obliquely, so that one slice shows a few of them only
DIRECTIONS = 72
INNERMOST = 0.4  # of the body's radius; nothing nearer to the middle is a rib
RING_NEEDED = 0.4  # of the directions must show bone, or there is no rib cage to measure against


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Volumes in mL, shares in [0, 1]; None where it cannot be measured.

    `rib_ring` is the share of directions in which bone surrounds the mid-chest. `cavity_share_*` is the share of that
    side's rib cage, in the mid-chest, that is lung. `base_step_mm` is how much lower one lung reaches than the other.
    `reaches_*` says whether lung is cut off at that end of the scan.
    """

    lung_ml_right: float
    lung_ml_left: float
    height_mm: float  # of both lungs, along the slices
    body_share: float  # of the body down to MID_CHEST_MM that is lung
    rib_ring: float | None
    cavity_share_right: float | None
    cavity_share_left: float | None
    base_step_mm: float | None
    reaches_head_end: bool
    reaches_foot_end: bool

    @property
    def lung_ml(self) -> float:
        return self.lung_ml_right + self.lung_ml_left

    @property
    def right_left_ratio(self) -> float:
        """Infinite where there is no left lung."""
        return self.lung_ml_right / self.lung_ml_left if self.lung_ml_left > 0 else float("inf")

    @property
    def smaller_cavity_share(self) -> float | None:
        """Of the side with less lung in its rib cage: low where that lung is white, collapsed or absent."""
        if self.cavity_share_right is None or self.cavity_share_left is None:
            return None
        return min(self.cavity_share_right, self.cavity_share_left)


def extent(volume: Volume, labels: NDArray[np.uint8]) -> Extent:
    """Measure the lungs `labels`, (slice, row, column), of a volume. At least one voxel must be lung."""
    counts = np.bincount(labels.ravel(), minlength=3)
    _, row_mm, column_mm = volume.spacing_mm
    ends = [float(np.count_nonzero(labels[s])) * row_mm * column_mm > CUT_OFF_MM2 for s in (0, -1)]
    head_first = bool(volume.affine_lps[2, 0] < 0)
    used = np.flatnonzero(labels.any(axis=(1, 2)))
    first, last = int(used[0]), int(used[-1]) + 1
    reach = max(2, round(MID_CHEST_MM[1] / volume.spacing_mm[0]))
    part = (first, min(first + reach, len(labels))) if head_first else (max(0, last - reach), last)
    chest = _Chest(volume, labels, *part, head_first=head_first)
    return Extent(
        lung_ml_right=float(counts[RIGHT]) * volume.voxel_ml,
        lung_ml_left=float(counts[LEFT]) * volume.voxel_ml,
        height_mm=(last - first) * volume.spacing_mm[0],
        body_share=chest.body_share,
        rib_ring=chest.rib_ring,
        cavity_share_right=chest.shares[RIGHT],
        cavity_share_left=chest.shares[LEFT],
        base_step_mm=_base_step_mm(volume, labels, head_first=head_first),
        reaches_foot_end=ends[1] if head_first else ends[0],
        reaches_head_end=ends[0] if head_first else ends[1],
    )


def _base_step_mm(volume: Volume, labels: NDArray[np.uint8], *, head_first: bool) -> float | None:
    """Between the lowest slices of both lungs; None where one of them was not found."""
    slice_mm, row_mm, column_mm = volume.spacing_mm
    lowest = []
    for side in (RIGHT, LEFT):
        areas_mm2 = np.count_nonzero(labels == side, axis=(1, 2)) * row_mm * column_mm
        used = np.flatnonzero(areas_mm2 > RECESS_MM2)
        if not used.size:
            return None
        lowest.append(int(used[-1] if head_first else used[0]))
    return abs(lowest[0] - lowest[1]) * slice_mm


class _Chest:
    """Body and rib cage on a 2 mm grid, over the slices [first, last): from the apex down."""

    def __init__(self, volume: Volume, labels: NDArray[np.uint8], first: int, last: int, *, head_first: bool) -> None:
        hu = volume.hu[first:last]
        shape = in_plane_shape((last - first, *volume.shape[1:]), volume.spacing_mm[1:], GRID_MM)
        self._affine = regrid_affine(volume.affine_lps, (last - first, *volume.shape[1:]), shape)
        s = np.linalg.norm(self._affine[:3, :3], axis=0)
        self._mm = (float(s[0]), float(s[1]), float(s[2]))
        self._hu = resample_hu(hu, shape)
        self._body = body_mask(self._hu, self._mm)
        self._lung = {side: resample_mask(labels[first:last] == side, shape) for side in (RIGHT, LEFT)}
        lung = int(sum(mask.sum() for mask in self._lung.values()))
        self.body_share = lung / max(1, int(self._body.sum()))
        self.rib_ring: float | None = None
        self.shares: dict[int, float | None] = {RIGHT: None, LEFT: None}
        self._measure_cage(head_first=head_first)

    def _measure_cage(self, *, head_first: bool) -> None:
        height, clavicles = self._hu.shape[0], round(MID_CHEST_MM[0] / self._mm[0])
        middle = range(clavicles, height) if head_first else range(height - clavicles)
        bright = (self._hu > BONE_HU) & self._body
        bone = bright & ~opened(bright, THICKER_THAN_RIBS_MM, self._mm)
        slab = max(1, round(SLAB_MM / self._mm[0]))
        cavity = {RIGHT: 0, LEFT: 0}
        lung = {RIGHT: 0, LEFT: 0}
        rings = []
        for s in middle:
            if not self._body[s].any():
                continue
            ring, inside = self._inside_ribs(bone[max(0, s - slab) : s + slab + 1].any(axis=0), self._body[s])
            rings.append(ring)
            for side, half in self._halves(self._body[s]).items():
                cavity[side] += int((inside & half).sum())
                lung[side] += int(self._lung[side][s].sum())
        self.rib_ring = float(np.mean(rings)) if rings else None
        if self.rib_ring is not None and self.rib_ring >= RING_NEEDED and min(cavity.values()) > 0:
            self.shares = {side: lung[side] / cavity[side] for side in (RIGHT, LEFT)}

    def _polar(self, body: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Direction bin and distance in mm of every pixel, from the middle of the body."""
        rows, columns = np.nonzero(body)
        y = (np.arange(body.shape[0]) - rows.mean())[:, None] * self._mm[1]
        x = (np.arange(body.shape[1]) - columns.mean())[None, :] * self._mm[2]
        angle = np.arctan2(y, x) / (2.0 * np.pi) + 0.5
        return (np.floor(angle * DIRECTIONS).astype(np.intp)) % DIRECTIONS, np.hypot(y, x)

    def _inside_ribs(self, bone: Any, body: NDArray[np.bool_]) -> tuple[float, NDArray[np.bool_]]:
        """Share of directions with bone, and what lies within the innermost bone of each direction."""
        direction, distance = self._polar(body)
        skin = np.zeros(DIRECTIONS)
        np.maximum.at(skin, direction[body], distance[body])
        candidate = bone & (distance > INNERMOST * skin[direction])
        inner = np.full(DIRECTIONS, np.inf)
        np.minimum.at(inner, direction[candidate], distance[candidate])
        seen = np.isfinite(inner)
        if not seen.any():
            return 0.0, np.zeros_like(body)
        filled = np.interp(np.arange(DIRECTIONS), np.flatnonzero(seen), inner[seen], period=DIRECTIONS)
        return float(seen.mean()), distance < filled[direction]

    def _halves(self, body: NDArray[np.bool_]) -> dict[int, NDArray[np.bool_]]:
        """The patient's right and left of the middle of the body, by orientation (LPS: x grows to the left)."""
        rows, columns = np.nonzero(body)
        y = (np.arange(body.shape[0]) - rows.mean())[:, None] * self._affine[0, 1]
        x = (np.arange(body.shape[1]) - columns.mean())[None, :] * self._affine[0, 2]
        right = y + x < 0
        return {RIGHT: right, LEFT: ~right}
