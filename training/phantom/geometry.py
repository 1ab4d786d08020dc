"""Where the voxels of a scan lie, and signed distances to simple bodies. Lengths in mm, frame LPS.

A signed distance is negative inside. The distances are good near the surface, which is all that a soft edge needs;
deep inside and far outside they are only monotonous (the usual first-order forms for ellipsoids).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float32]
Reals = NDArray[np.floating[Any]]  # float32 in fact: NumPy's type stubs widen it
Mask = NDArray[np.bool_]
Point = tuple[float, float, float]

BEYOND_MM = 60.0
NOISE_PITCH_MM = 6.0
SAMPLES_PER_CORRELATION = 3.0
TILE = 56  # steps after which a fine texture repeats: 11 cm or more, and no slice shows it twice at one place
NOISE_HALF_MM = (216.0, 168.0, 204.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Voxel centres: `affine_lps` maps (slice, row, column) to mm, as in `models.volume`."""

    shape: tuple[int, int, int]
    affine_lps: NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        s = np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return float(s[0]), float(s[1]), float(s[2])

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.affine_lps[:3, :3]))) / 1000.0

    def slices(self, first: int, last: int) -> Grid:
        """The grid of slices first (included) to last (excluded)."""
        return self.box((first, 0, 0), (last, self.shape[1], self.shape[2]))

    def box(self, first: tuple[int, int, int], last: tuple[int, int, int]) -> Grid:
        """The part of the grid from index `first` (included) to `last` (excluded)."""
        affine = self.affine_lps.copy()
        affine[:3, 3] += affine[:3, :3] @ np.asarray(first, float)
        shape = (last[0] - first[0], last[1] - first[1], last[2] - first[2])
        return Grid(shape=shape, affine_lps=affine)

    def points(self) -> tuple[Field, Field, Field]:
        """x, y and z of the voxel centres, each broadcastable to `shape` (small where the axes are the patient's)."""
        axes = [np.arange(n, dtype=np.float64) for n in self.shape]
        index = (axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :])
        found = []
        for along, offset in zip(self.affine_lps[:3, :3], self.affine_lps[:3, 3], strict=True):
            value = np.full((1, 1, 1), offset)
            for step, i in zip(along, index, strict=True):
                if step != 0.0:
                    value = value + step * i
            found.append(value.astype(np.float32))
        return found[0], found[1], found[2]

    def index_box(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> Grid | None:
        """The smallest part of the grid that holds the LPS box low..high, or None where they do not meet."""
        bounds = self.index_bounds(low, high)
        return None if bounds is None else self.box(*bounds)

    def index_bounds(
        self, low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[tuple[int, int, int], tuple[int, int, int]] | None:
        """First (included) and last (excluded) index of the voxels that may lie in the LPS box low..high."""
        pick = np.array([[(i >> k) & 1 for k in range(3)] for i in range(8)], bool)
        corners = np.where(pick, high, low) - self.affine_lps[:3, 3]
        index = corners @ np.linalg.inv(self.affine_lps[:3, :3]).T
        first = np.maximum(np.floor(index.min(0)).astype(int), 0)
        last = np.minimum(np.ceil(index.max(0)).astype(int) + 1, self.shape)
        if np.any(first >= last):
            return None
        return (int(first[0]), int(first[1]), int(first[2])), (int(last[0]), int(last[1]), int(last[2]))


def ellipsoid(x: Reals, y: Reals, z: Reals, centre: Point, radii: Point) -> Field:
    """Signed distance to an ellipsoid with axes along x, y and z."""
    u, v, w = x - centre[0], y - centre[1], z - centre[2]
    k = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (w / radii[2]) ** 2)
    slope = np.sqrt((u / radii[0] ** 2) ** 2 + (v / radii[1] ** 2) ** 2 + (w / radii[2] ** 2) ** 2)
    return np.asarray(k * (k - 1.0) / np.maximum(slope, 1e-6), np.float32)


def superellipse(u: Reals, v: Reals, half_u: Reals | float, half_v: Reals | float, power: float) -> Field:
    """Signed distance, along the ray from the centre, to |u/half_u|^power + |v/half_v|^power = 1."""
    k = (np.abs(u / half_u) ** power + np.abs(v / half_v) ** power) ** (1.0 / power)
    radius = np.sqrt(u * u + v * v) + 1e-3
    return np.asarray(radius - radius / np.maximum(k, 1e-5), np.float32)


def box(u: Field, v: Field, half_u: float, half_v: float, round_mm: float) -> Field:
    """Signed distance to a rectangle with rounded corners."""
    a, b = np.abs(u) - (half_u - round_mm), np.abs(v) - (half_v - round_mm)
    outside = np.sqrt(np.maximum(a, 0) ** 2 + np.maximum(b, 0) ** 2)
    return np.asarray(outside + np.minimum(np.maximum(a, b), 0) - round_mm, np.float32)


def capsule(x: Reals, y: Reals, z: Reals, start: Point, end: Point, radius_mm: float) -> Field:
    """Signed distance to a tube with round ends."""
    i, j, k = (float(b) - float(a) for a, b in zip(start, end, strict=True))  # plain floats keep float32 arrays so
    u, v, w = x - float(start[0]), y - float(start[1]), z - float(start[2])
    t = np.clip((u * i + v * j + w * k) / max(i * i + j * j + k * k, 1e-9), 0.0, 1.0)
    d = np.sqrt((u - t * i) ** 2 + (v - t * j) ** 2 + (w - t * k) ** 2)
    return np.asarray(d - radius_mm, np.float32)


def blend_union(a: Reals, b: Reals, round_mm: float) -> Field:
    """Union of two bodies whose meeting is rounded over `round_mm`."""
    h = np.maximum(round_mm - np.abs(a - b), 0.0) / round_mm
    return np.asarray(np.minimum(a, b) - h * h * round_mm * 0.25, np.float32)


def blend_cut(a: Reals, b: Reals, round_mm: float) -> Field:
    """Body `a` without body `b`, rounded over `round_mm`."""
    return -blend_union(-a, b, round_mm)


def local(
    shape: Callable[[Field, Field, Field], Reals], x: Field, y: Field, z: Field, low: Point, high: Point
) -> Field:
    """A distance asked only where a point lies in the box low..high, and around; elsewhere it is `BEYOND_MM`."""
    x, y, z = np.broadcast_arrays(x, y, z)
    found = np.full(x.shape, BEYOND_MM, np.float32)
    hit = np.ones(x.shape, np.bool_)
    for along, a, b in zip((x, y, z), low, high, strict=True):
        hit &= (along >= a) & (along <= b)
    block = []
    for axis in range(3):
        there = np.flatnonzero(hit.any(axis=tuple(i for i in range(3) if i != axis)))
        if not there.size:
            return found
        block.append(slice(int(there[0]), int(there[-1]) + 1))
    part = tuple(block)
    found[part] = shape(x[part], y[part], z[part])
    return found


class Sampled:
    """A smooth field kept on a coarse grid along x, y and z, read at any voxel. Beyond its edge it stays level, or,
    where it is `periodic`, begins again."""

    def __init__(self, values: Field, low_mm: Point, pitch_mm: float, *, periodic: bool = False) -> None:
        self._values = values  # (x, y, z)
        self._low_mm = np.asarray(low_mm)
        self._pitch_mm = pitch_mm
        self._periodic = periodic

    def on(self, grid: Grid) -> Field:
        """The field on a grid, linearly interpolated, float32 of the grid's shape."""
        matrix = grid.affine_lps[:3, :3] / self._pitch_mm
        offset = (grid.affine_lps[:3, 3] - self._low_mm) / self._pitch_mm
        if np.count_nonzero(matrix) == 3:
            return self._on_aligned(grid.shape, matrix, offset)
        sampled: Field = ndimage.affine_transform(
            self._values,
            matrix,
            offset,
            output_shape=grid.shape,
            output=np.float32,
            order=1,
            mode="grid-wrap" if self._periodic else "nearest",
        )
        return sampled

    def _on_aligned(
        self, shape: tuple[int, int, int], matrix: NDArray[np.float64], offset: NDArray[np.float64]
    ) -> Field:
        """The same axis by axis, several times faster, where the grid's axes are the patient's."""
        order = [int(np.flatnonzero(matrix[:, axis])[0]) for axis in range(3)]  # patient axis of each grid axis
        field = self._values.transpose(order)
        for axis, patient in enumerate(order):
            count = field.shape[axis]
            at = offset[patient] + matrix[patient, axis] * np.arange(shape[axis])
            at = at % count if self._periodic else np.clip(at, 0, count - 1)
            low = np.minimum(at.astype(int), count - 1 if self._periodic else count - 2)
            weight = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(3)])
            below, above = np.take(field, low, axis), np.take(field, (low + 1) % count, axis)
            field = below + weight * (above - below)
        return np.asarray(field, np.float32)


def noise(rng: np.random.Generator, correlation_mm: float) -> Sampled:
    """A smooth random field, mean 0 and variance 1, around the whole patient."""
    pitch = max(NOISE_PITCH_MM, correlation_mm / SAMPLES_PER_CORRELATION)
    raw = rng.standard_normal([round(2 * half / pitch) + 1 for half in NOISE_HALF_MM], dtype=np.float32)
    smooth = ndimage.gaussian_filter(raw, correlation_mm / pitch, mode="wrap", truncate=3.0)
    low = (-NOISE_HALF_MM[0], -NOISE_HALF_MM[1], -NOISE_HALF_MM[2])
    return Sampled((smooth / smooth.std()).astype(np.float32), low, pitch)


def tile(rng: np.random.Generator, correlation_mm: float, pitch_mm: float, count: int = TILE) -> Sampled:
    """A finer random field, mean 0 and variance 1, that repeats after `count` times `pitch_mm` in each direction."""
    raw = rng.standard_normal((count, count, count), dtype=np.float32)
    smooth = ndimage.gaussian_filter(raw, correlation_mm / pitch_mm, mode="wrap", truncate=3.0)
    return Sampled((smooth / smooth.std()).astype(np.float32), (0.0, 0.0, 0.0), pitch_mm, periodic=True)


class Coarse:
    """Every n-th row and column of a grid, and the way back: distances are drawn there and read at every pixel."""

    def __init__(self, grid: Grid, pitch_mm: float) -> None:
        self._shape = grid.shape[1:]
        self._step = tuple(max(1, int(pitch_mm / mm)) for mm in grid.spacing_mm[1:])
        affine = grid.affine_lps.copy()
        affine[:3, 1] *= self._step[0]
        affine[:3, 2] *= self._step[1]
        rows, columns = (
            (n - 1) // step + 2 if step > 1 else n for n, step in zip(self._shape, self._step, strict=True)
        )
        self.grid = Grid(shape=(grid.shape[0], rows, columns), affine_lps=affine)

    def fine(self, plane: Field) -> Field:
        """One slice of a field on `grid` as (row, column) of the whole grid, linearly interpolated."""
        rows = _stretch(plane, self._step[0])[: self._shape[0]]
        return _stretch(rows.T, self._step[1])[: self._shape[1]].T


def _stretch(field: Field, step: int) -> Field:
    """`step` - 1 values between each two rows."""
    if step == 1:
        return field
    weight = (np.arange(step, dtype=np.float32) / step)[None, :, None]
    between = weight * np.diff(field, axis=0)[:, None, :]
    between += field[:-1, None, :]
    return np.asarray(between.reshape(-1, field.shape[1]), np.float32)


def cover(distance: Reals, edge_mm: Reals | float) -> Field:
    """How much of a voxel a body fills, 0..1, where its edge is `edge_mm` wide."""
    return np.asarray(np.clip(0.5 - distance / edge_mm, 0.0, 1.0), np.float32)
