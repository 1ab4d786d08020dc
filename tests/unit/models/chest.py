"""A chest of ellipses: small, lopsided, exact. For tests that need anatomy, not realism."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.volume import Volume

PARENCHYMA_HU, SOFT_HU, GAS_HU, BONE_HU = -850, 40, -1000, 400


@dataclass(frozen=True, kw_only=True)
class Ellipsoid:
    """Centre and half axes in mm, as (z up, y back, x left)."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]


RIGHT_LUNG = Ellipsoid(centre=(0, 0, -75), half=(125, 85, 58))
LEFT_LUNG = Ellipsoid(centre=(0, 0, 78), half=(120, 80, 50))


@dataclass(frozen=True, kw_only=True)
class Chest:
    """What to draw, in this order. `dense` has its own HU; `lungs` False draws none."""

    right: Ellipsoid | None = RIGHT_LUNG
    left: Ellipsoid | None = LEFT_LUNG
    dense: tuple[tuple[Ellipsoid, int], ...] = ()
    trachea: bool = True
    ribs: bool = True
    table: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    volume: Volume
    right: NDArray[np.bool_]
    left: NDArray[np.bool_]
    trachea: NDArray[np.bool_]
    grid: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] = field(repr=False)


def _inside(e: Ellipsoid, grid: tuple[NDArray[np.float64], ...]) -> NDArray[np.bool_]:
    terms = [((axis - c) / h) ** 2 for axis, c, h in zip(grid, e.centre, e.half, strict=True)]
    return np.asarray(sum(terms) <= 1.0)


def draw(chest: Chest | None = None, *, slice_mm: float = 6.0, pixel_mm: float = 2.5, noise: float = 10.0) -> Drawn:
    """300 mm of chest; slices ascend from the feet, columns run to the patient's left."""
    c = chest or Chest()
    z = np.arange(-150.0, 150.0, slice_mm)[:, None, None]
    y = np.arange(-150.0, 175.0, pixel_mm)[None, :, None]
    x = np.arange(-190.0, 190.0, pixel_mm)[None, None, :]
    grid = (z, y, x)
    radius = np.hypot(x / 170.0, y / 115.0)
    hu = np.full(np.broadcast_shapes(z.shape, y.shape, x.shape), float(GAS_HU))
    body = np.broadcast_to(radius <= 1.0, hu.shape)
    hu[body] = SOFT_HU
    if c.ribs:
        hu[np.broadcast_to((radius > 0.86) & (radius < 0.92), hu.shape)] = BONE_HU
    if c.table:
        hu[np.broadcast_to((np.abs(y - 135) < 2.6) & (np.abs(x) < 170), hu.shape)] = 100
    right = _inside(c.right, grid) if c.right else np.zeros(hu.shape, dtype=np.bool_)
    left = _inside(c.left, grid) if c.left else np.zeros(hu.shape, dtype=np.bool_)
    hu[right | left] = PARENCHYMA_HU
    trachea = np.broadcast_to((np.hypot(x, y + 10) <= 9.0) & (z > 20), hu.shape).copy() if c.trachea else left & right
    hu[trachea] = GAS_HU
    for ellipsoid, value in c.dense:
        hu[_inside(ellipsoid, grid)] = value
    hu += np.random.default_rng(42).normal(0.0, noise, hu.shape)
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, pixel_mm], [0, pixel_mm, 0], [slice_mm, 0, 0]]
    affine[:3, 3] = (-190.0, -150.0, -150.0)
    sources = tuple((f"2.25.{n + 1}", 1) for n in range(hu.shape[0]))
    volume = Volume(hu=np.rint(hu).astype(np.int16), affine_lps=affine, sources=sources)
    return Drawn(volume=volume, right=right, left=left, trachea=trachea, grid=grid)


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))
