"""Binary operations on stacks of slices: disks within a slice, components across slices.

Disks are octagons of the same reach, made of small steps: many times faster than a disk applied whole, and 5 % off a
circle at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name the whole field uses
from numpy.typing import NDArray
from scipy import ndimage

_itk: Any = sitk  # its stubs leave most functions untyped

Mask = NDArray[np.bool_]
Millimetres = tuple[float, float, float]  # voxel spacing (slice, row, column)
SQUARES = 0.414  # of an octagon's steps are squares, the others crosses: sqrt(2) - 1 makes it regular


def components(mask: Mask, smallest: int = 1, *, corners: bool = False) -> NDArray[Any]:
    """Connected components in three dimensions, 1 the largest, without those below `smallest` voxels; 6 neighbours,
    or 26 with `corners`."""
    image = _itk.GetImageFromArray(np.ascontiguousarray(mask).view(np.uint8))
    labelled = _itk.RelabelComponent(_itk.ConnectedComponent(image, corners), max(1, smallest))
    return np.asarray(_itk.GetArrayFromImage(labelled))


def opened(mask: Mask, radius_mm: float, spacing_mm: Millimetres) -> Mask:
    steps = _steps(radius_mm, spacing_mm)
    return _in_plane(mask, lambda plane: grown(shrunk(plane, steps), steps), steps)


def closed(mask: Mask, radius_mm: float, spacing_mm: Millimetres) -> Mask:
    steps = _steps(radius_mm, spacing_mm)
    return _in_plane(mask, lambda plane: shrunk(grown(plane, steps), steps), steps)


def eroded(mask: Mask, radius_mm: float, spacing_mm: Millimetres) -> Mask:
    steps = _steps(radius_mm, spacing_mm)
    return _in_plane(mask, lambda plane: shrunk(plane, steps), steps)


def filled(mask: Mask) -> Mask:
    """Holes closed slice by slice."""
    result = mask.copy()
    for s in np.flatnonzero(mask.any(axis=(1, 2))):
        result[s] |= holes(mask[s]) > 0
    return result


def holes(plane: Mask) -> NDArray[np.int32]:
    """The holes of a 2-D mask, numbered from 1: background that does not reach the border. (Many times faster than
    scipy's binary_fill_holes, which grows from the border step by step.)"""
    background, count = ndimage.label(~plane)
    border = np.concatenate([background[0], background[-1], background[:, 0], background[:, -1]])
    inner = np.ones(count + 1, dtype=np.bool_)
    inner[border] = False
    inner[0] = False
    numbers = np.cumsum(inner, dtype=np.int32) * inner
    return np.asarray(numbers[background], dtype=np.int32)


def grown(plane: Mask, steps: int) -> Mask:
    """Dilation of a 2-D mask by an octagon of `steps` pixels. Nothing comes in over the border."""
    result = plane.copy()
    squares = round(SQUARES * steps)
    for step in range(steps):
        before = result.copy()
        result[1:] |= before[:-1]
        result[:-1] |= before[1:]
        if step < squares:
            before = result.copy()
        result[:, 1:] |= before[:, :-1]
        result[:, :-1] |= before[:, 1:]
    return result


def shrunk(plane: Mask, steps: int) -> Mask:
    """Erosion of a 2-D mask by an octagon of `steps` pixels. Beyond the border the mask goes on."""
    return ~grown(~plane, steps)


def _steps(radius_mm: float, spacing_mm: Millimetres) -> int:
    return round(2.0 * radius_mm / (spacing_mm[1] + spacing_mm[2]))


def _in_plane(mask: Mask, operation: Callable[[Mask], Mask], steps: int) -> Mask:
    """The operation slice by slice, on the part in use with room for `steps` and for background around it."""
    result = np.zeros_like(mask)
    for s in np.flatnonzero(mask.any(axis=(1, 2))):
        rows, columns = np.flatnonzero(mask[s].any(axis=1)), np.flatnonzero(mask[s].any(axis=0))
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        margin = steps + 1
        result[s][box] = operation(np.pad(mask[s][box], margin))[margin:-margin, margin:-margin]
    return result
