"""Vessel trees of the lungs: branching tubes, laid into a scan at its own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantom.geometry import Field, Grid, Point, capsule

THINNEST_MM = 0.7  # radius; thinner vessels are texture, not tubes
SHRINK = (0.70, 0.86)  # radius of a daughter by that of its mother (Murray's law gives 0.79 for equal daughters)
LENGTH_PER_RADIUS = (5.0, 9.0)


@dataclass(frozen=True, kw_only=True)
class Tube:
    start: Point
    end: Point
    radius_mm: float


def tree(rng: np.random.Generator, root: Point, outward: float, trunks: int, root_radius_mm: float) -> list[Tube]:
    """Vessels that fan out from a hilum; `outward` is -1 for the right lung and +1 for the left."""
    grown: list[Tube] = []
    for i in range(trunks):
        height = -1.1 + 2.2 * (i + 0.5) / trunks  # from the base to the apex
        direction = np.array([outward * rng.uniform(0.3, 1.0), rng.uniform(-0.9, 0.9), height + rng.uniform(-0.2, 0.2)])
        _grow(rng, grown, np.asarray(root, float), direction, root_radius_mm * rng.uniform(0.75, 1.0))
    return grown


def _grow(
    rng: np.random.Generator, grown: list[Tube], start: NDArray[np.float64], heading: NDArray[np.float64], radius: float
) -> None:
    if radius < THINNEST_MM:
        return
    heading = heading / np.linalg.norm(heading)
    end = start + heading * radius * rng.uniform(*LENGTH_PER_RADIUS)
    grown.append(Tube(start=_point(start), end=_point(end), radius_mm=radius))
    turn = np.cross(heading, rng.standard_normal(3))
    turn /= max(float(np.linalg.norm(turn)), 1e-6)
    for sign in (-1.0, 1.0):
        _grow(rng, grown, end, heading + sign * rng.uniform(0.3, 0.75) * turn, radius * rng.uniform(*SHRINK))


def _point(p: NDArray[np.float64]) -> Point:
    return float(p[0]), float(p[1]), float(p[2])


def lay(tubes: list[Tube], grid: Grid, thickness_mm: float, edge_mm: float) -> Field:
    """How much of each voxel the tubes fill, 0..1; a tube thinner than the slice fills only part of it."""
    filled = np.zeros(grid.shape, np.float32)
    normal = np.abs(grid.affine_lps[:3, 0]) / np.linalg.norm(grid.affine_lps[:3, 0])
    for tube in tubes:
        ends = np.array([tube.start, tube.end])
        axis = ends[1] - ends[0]
        lying = float(np.sqrt(max(0.0, 1.0 - (normal @ np.abs(axis) / np.linalg.norm(axis)) ** 2)))
        blur = edge_mm + 0.5 * thickness_mm * lying
        margin = tube.radius_mm + blur
        bounds = grid.index_bounds(ends.min(0) - margin, ends.max(0) + margin)
        if bounds is None:
            continue
        part = tuple(slice(a, b) for a, b in zip(*bounds, strict=True))
        d = capsule(*grid.box(*bounds).points(), tube.start, tube.end, tube.radius_mm)
        share = np.clip(0.5 - d / blur, 0.0, 1.0) * min(1.0, 2.0 * tube.radius_mm / blur)
        np.maximum(filled[part], share, out=filled[part])
    return filled
