"""Vessel trees of the lungs: branching tubes, laid into a scan at its own grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantom.geometry import Field, Grid, Point, capsule

THINNEST_MM = 0.75  # radius; thinner vessels are texture, not tubes
SHRINK = (0.66, 0.88)  # radius of a daughter by that of its mother (Murray's law gives 0.79 for equal daughters)
LENGTH_MM, LENGTH_POWER = (8.5, 15.0), 0.6  # of a branch of radius 1 mm; how length grows with radius
SEEN_PER_PIXEL = 0.35  # a tube of smaller radius, in pixels, leaves no mark

Inside = Callable[[NDArray[np.float64]], bool]


@dataclass(frozen=True, kw_only=True)
class Tube:
    start: Point
    end: Point
    radius_mm: float


def tree(
    rng: np.random.Generator, root: Point, outward: float, trunks: int, root_radius_mm: float, inside: Inside
) -> list[Tube]:
    """Vessels that fan out from a hilum and end where they would leave what is `inside`.

    `outward` is -1 for the right lung and +1 for the left.
    """
    grown: list[Tube] = []
    for i in range(trunks):
        height = -1.1 + 2.2 * (i + 0.5) / trunks  # from the base to the apex
        heading = np.array([outward * rng.uniform(0.4, 1.1), rng.uniform(-0.9, 0.9), height + rng.uniform(-0.2, 0.2)])
        radius = root_radius_mm * float(rng.uniform(0.75, 1.0))
        start = np.asarray(root, float)
        end = start + heading / np.linalg.norm(heading) * 32.0
        grown.append(Tube(start=_point(start), end=_point(end), radius_mm=radius))
        _branch(rng, grown, end, heading, radius, inside)
    return grown


def _branch(
    rng: np.random.Generator,
    grown: list[Tube],
    start: NDArray[np.float64],
    heading: NDArray[np.float64],
    radius: float,
    inside: Inside,
) -> None:
    """Two daughters, turned away from each other, and theirs in turn."""
    turn = np.cross(heading, rng.standard_normal(3))
    turn /= max(float(np.linalg.norm(turn)), 1e-6)
    for sign in (-1.0, 1.0):
        thinner = radius * float(rng.uniform(*SHRINK))
        if thinner < THINNEST_MM:
            continue
        onward = heading + sign * rng.uniform(0.3, 0.8) * turn
        onward /= np.linalg.norm(onward)
        end = start + onward * rng.uniform(*LENGTH_MM) * thinner**LENGTH_POWER
        if inside(end):
            grown.append(Tube(start=_point(start), end=_point(end), radius_mm=thinner))
            _branch(rng, grown, end, onward, thinner, inside)


def _point(p: NDArray[np.float64]) -> Point:
    return float(p[0]), float(p[1]), float(p[2])


def lay(tubes: list[Tube], grid: Grid, thickness_mm: float, edge_mm: float) -> Field:
    """How much of each voxel the tubes fill, 0..1; a tube thinner than the slice fills only part of it."""
    filled = np.zeros(grid.shape, np.float32)
    normal = np.abs(grid.affine_lps[:3, 0]) / np.linalg.norm(grid.affine_lps[:3, 0])
    thinnest = SEEN_PER_PIXEL * min(grid.spacing_mm[1:])
    for tube in tubes:
        if tube.radius_mm < thinnest:
            continue
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
