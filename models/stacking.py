"""From image planes in any order to one regular stack, or the reason why there is none. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frames import Frame
from models.refusal import NotAVolume, Refusal

# Positions are written with few digits (DS, often 0.1 mm): equal means equal to a tenth of that step's usual size.
SAME_POSITION_MM = 0.01
# A distance is uneven when it is off by more than a tenth of the rule, but rounding to 0.1 mm is forgiven.
UNEVEN_FRACTION = 0.10
UNEVEN_MM = 0.11
# One degree shears a 400 mm stack by 7 mm, about one lobe's fissure; scanners that do not tilt write exactly 0.
TILT_DEG = 1.0
# Direction cosines carry 5-6 digits; two planes of one stack differ by rounding only.
SAME_DIRECTION = 1e-3
SAME_SPACING_MM = 1e-3
# One position for most images is a monitored bolus, several phases or a perfusion run, not a resent slice.
REPEATED_FRACTION = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """Frames in ascending order along the normal; `frames[i]` holds every frame at position i (more than one only
    where a slice came twice). `affine_lps` maps (slice, row, column) to LPS mm."""

    frames: tuple[tuple[Frame, ...], ...]
    affine_lps: NDArray[np.float64]


def stack(frames: Sequence[Frame]) -> Stack:
    """Order frames by position along the slice normal. Raises NotAVolume naming what is wrong and where."""
    _require_one_plane_kind(frames)
    along_row, down_column = (np.array(frames[0].orientation[i : i + 3]) for i in (0, 3))
    normal = np.cross(along_row, down_column)
    if not np.allclose(
        [np.linalg.norm(along_row), np.linalg.norm(down_column), np.linalg.norm(normal)], 1.0, atol=0.01
    ):
        raise NotAVolume(Refusal.GEOMETRY, "ImageOrientationPatient is not a right angle")
    groups = _by_position(frames, normal)
    step = _step(groups, normal)
    first = groups[0][0]
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = down_column * first.spacing_mm[0]
    affine[:3, 2] = along_row * first.spacing_mm[1]
    affine[:3, 3] = first.position
    return Stack(frames=tuple(groups), affine_lps=affine)


def _require_one_plane_kind(frames: Sequence[Frame]) -> None:
    if len(frames) < 2:
        raise NotAVolume(Refusal.TOO_FEW_SLICES, f"{len(frames)} image is no volume")
    first = frames[0]
    if any((f.rows, f.columns) != (first.rows, first.columns) for f in frames):
        raise NotAVolume(Refusal.GEOMETRY, "images of different size in one series")
    if any(not np.allclose(f.spacing_mm, first.spacing_mm, atol=SAME_SPACING_MM) for f in frames):
        raise NotAVolume(Refusal.GEOMETRY, "images of different pixel spacing in one series")
    if any(not np.allclose(f.orientation, first.orientation, atol=SAME_DIRECTION) for f in frames):
        raise NotAVolume(Refusal.GEOMETRY, "images of different orientation in one series")


def _by_position(frames: Sequence[Frame], normal: NDArray[np.float64]) -> list[tuple[Frame, ...]]:
    along = np.array([float(np.dot(f.position, normal)) for f in frames])
    groups: list[list[Frame]] = []
    last = -np.inf
    for i in np.argsort(along, kind="stable"):
        if along[i] - last < SAME_POSITION_MM:
            groups[-1].append(frames[i])
        else:
            groups.append([frames[i]])
            last = along[i]
    if len(groups) < 2 or len(groups) <= REPEATED_FRACTION * len(frames):
        words = f"{len(frames)} images at {len(groups)} position(s): several phases or a monitored bolus, not a volume"
        raise NotAVolume(Refusal.DUPLICATE_POSITIONS, words)
    return [tuple(g) for g in groups]


def _step(groups: Sequence[tuple[Frame, ...]], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector from one slice to the next. Raises NotAVolume on a gap, uneven spacing or a tilted gantry."""
    positions = np.array([g[0].position for g in groups])
    along = positions @ normal
    gaps = np.diff(along)
    rule = float(np.median(gaps))
    off = np.abs(gaps - rule)
    worst = int(np.argmax(off))
    if off[worst] > max(UNEVEN_FRACTION * rule, UNEVEN_MM):
        words = (
            f"{gaps[worst]:.2f} mm between slices {worst + 1} and {worst + 2} of {len(groups)} "
            f"(at {along[worst]:.1f} mm) where {rule:.2f} mm is the rule; sent incomplete?"
        )
        raise NotAVolume(Refusal.GAP, words)
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(groups) - 1)
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1.0, 1.0))))
    if tilt > TILT_DEG:
        raise NotAVolume(Refusal.GANTRY_TILT, f"the slices are sheared: gantry tilt of {tilt:.1f} degrees")
    return step
