"""Trees of arteries, veins and bronchi, and how much of each voxel they fill. Lengths in mm, LPS.

A tree is grown to given end points: from its root half-way to their middle, there it divides the end points by a
plane across their longest direction, and so on until each has its twig. It fills a lung evenly, whatever its shape.
Radii follow Murray's law. What is wider than a pixel is drawn by its distance; what is thinner by the volume that it
brings into the voxels it runs through, so that a slice of any thickness shows as much of it as a scanner would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantom.geometry import Field, Grid, Point, capsule

MURRAY = 2.7  # exponent; 3 in theory, 2.3 to 3 measured in lungs
REACH = (0.32, 0.5)  # of the way to the middle of its end points that a branch goes
UNEVEN = 1.1  # how far off the middle a branch divides, in standard deviations: stems run on and give off twigs
BEND = 0.03  # sideways wandering of a branching point, of the branch's length
MOST_GENERATIONS = 90  # no lobe comes near it: a stem that gives off the smallest share each time has about 40
WIDE_PIXELS = 0.8  # radius from which a tube is drawn by its distance
STEP_MM = 0.7  # along thin tubes

Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tubes:
    """Straight pieces: `start` and `end` (n, 3), `radius_mm` (n,)."""

    start: Points
    end: Points
    radius_mm: NDArray[np.float64]

    @staticmethod
    def none() -> Tubes:
        return Tubes(start=np.zeros((0, 3)), end=np.zeros((0, 3)), radius_mm=np.zeros(0))

    @staticmethod
    def joined(parts: list[Tubes]) -> Tubes:
        if not parts:
            return Tubes.none()
        return Tubes(
            start=np.concatenate([p.start for p in parts]),
            end=np.concatenate([p.end for p in parts]),
            radius_mm=np.concatenate([p.radius_mm for p in parts]),
        )

    def where(self, chosen: NDArray[np.bool_]) -> Tubes:
        return Tubes(start=self.start[chosen], end=self.end[chosen], radius_mm=self.radius_mm[chosen])

    def widened(self, factor: float, more_mm: float = 0.0) -> Tubes:
        return Tubes(start=self.start, end=self.end, radius_mm=self.radius_mm * factor + more_mm)

    @property
    def volume_ml(self) -> float:
        lengths = np.linalg.norm(self.end - self.start, axis=1)
        return float((np.pi * self.radius_mm**2 * lengths).sum()) / 1000.0


def grow(rng: np.random.Generator, ends: Points, root: Point, tip_mm: float, widest_mm: float) -> Tubes:
    """A tree from `root` to every one of `ends` (n, 3), whose twigs have the radius `tip_mm`."""
    group = np.zeros(len(ends), np.intp)
    start = np.asarray(root, float)[None]
    parts: list[Tubes] = []
    for _ in range(MOST_GENERATIONS):
        if not len(ends):
            break
        count = np.bincount(group, minlength=len(start))
        middle = np.stack([np.bincount(group, ends[:, i]) for i in range(3)], 1) / count[:, None]
        reach = np.where(count == 1, 1.0, rng.uniform(*REACH, len(start)))[:, None]
        way = (middle - start) * reach
        length = np.linalg.norm(way, axis=1, keepdims=True)
        end = start + way + BEND * length * rng.standard_normal(way.shape) * (count > 1)[:, None]
        parts.append(Tubes(start=start, end=end, radius_mm=np.minimum(tip_mm * count ** (1 / MURRAY), widest_mm)))
        along = ((ends - middle[group]) * _longest(ends - middle[group], group, len(start))[group]).sum(1)
        beyond = along > _cut(rng, along, group, len(start))[group]
        more = (count > 1)[group]
        ends, divided = ends[more], (2 * group + beyond)[more]
        kept, group = np.unique(divided, return_inverse=True)
        start = end[kept // 2]
    return Tubes.joined(parts)


def _cut(rng: np.random.Generator, along: NDArray[np.float64], group: NDArray[np.intp], groups: int) -> Points:
    """Where each group is divided along its longest direction: off the middle, but with something on both sides."""
    count = np.maximum(np.bincount(group, minlength=groups), 1)
    spread = np.sqrt(np.bincount(group, along**2, minlength=groups) / count)
    low, high = np.full(groups, np.inf), np.full(groups, -np.inf)
    np.minimum.at(low, group, along)
    np.maximum.at(high, group, along)
    wanted = spread * rng.uniform(-UNEVEN, UNEVEN, groups)
    return np.clip(wanted, low + 1e-6, high - 1e-6)


def _longest(offset: Points, group: NDArray[np.intp], groups: int) -> Points:
    """The direction in which each group's points spread most, (groups, 3)."""
    spread = np.empty((groups, 3, 3))
    for i in range(3):
        for j in range(i, 3):
            spread[:, i, j] = spread[:, j, i] = np.bincount(group, offset[:, i] * offset[:, j], minlength=groups)
    axes: Points = np.linalg.eigh(spread)[1][:, :, 2]
    return axes


def beside(tubes: Tubes, direction: Point, apart: float) -> Tubes:
    """Companions of tubes: shifted along `direction` by `apart` radii at each end, so that branches stay joined."""
    unit = np.asarray(direction) / np.linalg.norm(direction)
    # A branch begins where its mother ends: taking each end's shift from one radius per point would tear it. The
    # step between generations is a fraction of a mm, which the tubes' round ends cover.
    shift = (tubes.radius_mm * apart)[:, None] * unit
    return Tubes(start=tubes.start + shift, end=tubes.end + shift, radius_mm=tubes.radius_mm)


def lay(tubes: Tubes, grid: Grid, thickness_mm: float, edge_mm: float) -> Field:
    """How much of each voxel the tubes fill, 0..1, in slices that average over `thickness_mm`."""
    filled = np.zeros(grid.shape, np.float32)
    near = tubes.where(_reaching(tubes, grid, thickness_mm))
    wide = near.radius_mm > WIDE_PIXELS * max(grid.spacing_mm[1:])
    _pour(filled, near.where(~wide), grid, thickness_mm)
    np.minimum(filled, 1.0, out=filled)
    _draw(filled, near.where(wide), grid, thickness_mm, edge_mm)
    return filled


def _reaching(tubes: Tubes, grid: Grid, thickness_mm: float) -> NDArray[np.bool_]:
    """Which tubes come near some slice."""
    back = np.linalg.inv(grid.affine_lps)
    heights = np.stack([(p @ back[0, :3] + back[0, 3]) for p in (tubes.start, tubes.end)])
    margin = (thickness_mm / 2 + tubes.radius_mm + 1.0) / grid.spacing_mm[0]
    first = np.ceil(heights.min(0) - margin)
    last = np.floor(heights.max(0) + margin)
    reaching: NDArray[np.bool_] = (first <= last) & (last >= 0) & (first <= grid.shape[0] - 1)
    return reaching


def _pour(filled: Field, tubes: Tubes, grid: Grid, thickness_mm: float) -> None:
    """Deposit the volume of thin tubes, bilinearly in the slice."""
    way = tubes.end - tubes.start
    length = np.linalg.norm(way, axis=1)
    pieces = np.maximum(np.ceil(length / STEP_MM).astype(int), 1)
    which = np.repeat(np.arange(len(pieces)), pieces)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    at = tubes.start[which] + way[which] * ((nth + 0.5) / pieces[which])[:, None]
    _, row_mm, column_mm = grid.spacing_mm
    volume = (np.pi * tubes.radius_mm**2 * length / pieces)[which] / (thickness_mm * row_mm * column_mm)
    back = np.linalg.inv(grid.affine_lps)
    i, j, k = back[:3, :3] @ at.T + back[:3, 3:]
    half = thickness_mm / 2 / grid.spacing_mm[0]
    flat = filled.reshape(-1)
    for more in range(int(np.floor(2 * half)) + 1):
        slice_ = np.ceil(i - half).astype(int) + more
        inside = (slice_ <= i + half) & (slice_ >= 0) & (slice_ < grid.shape[0])
        inside &= (j >= 0) & (j < grid.shape[1] - 1) & (k >= 0) & (k < grid.shape[2] - 1)
        row, column = j[inside].astype(int), k[inside].astype(int)
        u, v = j[inside] - row, k[inside] - column
        base = (slice_[inside] * grid.shape[1] + row) * grid.shape[2] + column
        for weight, place in (
            ((1 - u) * (1 - v), base),
            ((1 - u) * v, base + 1),
            (u * (1 - v), base + grid.shape[2]),
            (u * v, base + grid.shape[2] + 1),
        ):
            np.add.at(flat, place, (volume[inside] * weight).astype(np.float32))


def _draw(filled: Field, tubes: Tubes, grid: Grid, thickness_mm: float, edge_mm: float) -> None:
    """Lay wide tubes one by one, by their distance."""
    normal = np.abs(grid.affine_lps[:3, 0]) / np.linalg.norm(grid.affine_lps[:3, 0])
    for start, end, radius in zip(tubes.start, tubes.end, tubes.radius_mm.tolist(), strict=True):
        ends = np.array([start, end])
        axis = end - start
        lying = float(np.sqrt(max(0.0, 1.0 - (normal @ np.abs(axis) / max(np.linalg.norm(axis), 1e-6)) ** 2)))
        blur = edge_mm + 0.5 * thickness_mm * lying
        bounds = grid.index_bounds(ends.min(0) - radius - blur, ends.max(0) + radius + blur)
        if bounds is None:
            continue
        part = tuple(slice(a, b) for a, b in zip(*bounds, strict=True))
        d = capsule(*grid.box(*bounds).points(), _point(start), _point(end), radius)
        share = np.clip(0.5 - d / blur, 0.0, 1.0) * min(1.0, 2.0 * radius / blur)
        np.maximum(filled[part], share, out=filled[part])


def _point(p: Points) -> Point:
    return float(p[0]), float(p[1]), float(p[2])
