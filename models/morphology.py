"""SimpleITK's binary operations on our arrays: disks within slices, components across them."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name the whole field uses
from numpy.typing import NDArray
from scipy import ndimage

_itk: Any = sitk  # its stubs leave most functions untyped

Millimetres = tuple[float, float, float]  # voxel spacing (slice, row, column)


def components(mask: NDArray[np.bool_], smallest: int = 1, *, corners: bool = False) -> NDArray[Any]:
    """Connected components in three dimensions, 1 the largest, without those below `smallest` voxels; 6 neighbours,
    or 26 with `corners`."""
    labelled = _itk.ConnectedComponent(_image(mask), corners)
    return np.asarray(_itk.GetArrayFromImage(_itk.RelabelComponent(labelled, max(1, smallest))))


def opened(mask: NDArray[np.bool_], radius_mm: float, spacing_mm: Millimetres) -> NDArray[np.bool_]:
    return _with_disk(_itk.BinaryMorphologicalOpening, mask, radius_mm, spacing_mm)


def closed(mask: NDArray[np.bool_], radius_mm: float, spacing_mm: Millimetres) -> NDArray[np.bool_]:
    return _with_disk(_itk.BinaryMorphologicalClosing, mask, radius_mm, spacing_mm)


def eroded(mask: NDArray[np.bool_], radius_mm: float, spacing_mm: Millimetres) -> NDArray[np.bool_]:
    return _with_disk(_itk.BinaryErode, mask, radius_mm, spacing_mm)


def filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Holes closed slice by slice."""
    result = mask.copy()
    for s in np.flatnonzero(mask.any(axis=(1, 2))):
        result[s] |= holes(mask[s]) > 0
    return result


def holes(plane: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The holes of a 2-D mask, numbered from 1: background that does not reach the border. (Many times faster than
    scipy's binary_fill_holes, which grows from the border step by step.)"""
    background, count = ndimage.label(~plane)
    border = np.concatenate([background[0], background[-1], background[:, 0], background[:, -1]])
    inner = np.ones(count + 1, dtype=np.bool_)
    inner[border] = False
    inner[0] = False
    numbers = np.cumsum(inner, dtype=np.int32) * inner
    return np.asarray(numbers[background], dtype=np.int32)


def _with_disk(operation: Any, mask: NDArray[np.bool_], radius_mm: float, mm: Millimetres) -> NDArray[np.bool_]:
    """The operation with a disk of this radius in every slice; nothing where a pixel is larger than the disk."""
    radius = [round(radius_mm / mm[2]), round(radius_mm / mm[1]), 0]  # x, y, z
    if max(radius) == 0 or not mask.any():
        return mask
    first, last = _used(mask.any(axis=(1, 2)), 0)
    top, bottom = _used(mask.any(axis=(0, 2)), radius[1] + 1)
    near, far = _used(mask.any(axis=(0, 1)), radius[0] + 1)
    box = (slice(first, last), slice(top, bottom), slice(near, far))
    result = np.zeros_like(mask)
    result[box] = np.asarray(_itk.GetArrayFromImage(operation(_image(mask[box]), radius, sitk.sitkBall))) > 0
    return result


def _used(there: Any, margin: int) -> tuple[int, int]:
    index = np.flatnonzero(there)
    return max(0, int(index[0]) - margin), int(index[-1]) + 1 + margin


def _image(mask: NDArray[np.bool_]) -> Any:
    return _itk.GetImageFromArray(np.ascontiguousarray(mask).view(np.uint8))
