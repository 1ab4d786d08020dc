"""Resampling: pixels come to the size a method was made for; slices stay what they are, unless it wants those too.

The extent is kept to the last half pixel, so that a mask returns to the slices it came from.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

PixelSize = tuple[float, float]  # mm between (rows, columns)


def in_plane_shape(shape: tuple[int, int, int], pixel_mm: PixelSize, target_mm: float) -> tuple[int, int, int]:
    """Shape (slice, row, column) with pixels as near to `target_mm` as whole numbers allow."""
    rows, columns = (max(1, round(n * mm / target_mm)) for n, mm in zip(shape[1:], pixel_mm, strict=True))
    return shape[0], rows, columns


def resample_hu(hu: NDArray[np.int16], shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """Linear, in-plane, to `shape` over the same extent (zoom of order 1, as the papers' code)."""
    if hu.shape == shape:
        return hu
    result = np.empty(shape, dtype=np.int16)
    interpolate = _interpolator(hu.shape, shape)
    for s in range(shape[0]):
        result[s] = np.rint(interpolate(hu[s].astype(np.float32)))
    return result


def resample_mask(mask: NDArray[np.bool_], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Linear in-plane interpolation of a mask, cut at the half level."""
    if mask.shape == shape:
        return mask
    result = np.zeros(shape, dtype=np.bool_)
    interpolate = _interpolator(mask.shape, shape)
    for s in np.flatnonzero(mask.any(axis=(1, 2))):
        result[s] = interpolate(mask[s].astype(np.float32)) > 0.5
    return result


def stack_height(slices: int, slice_mm: float, target_mm: float) -> int:
    """Number of slices with a distance as near to `target_mm` as whole numbers allow."""
    return max(1, round(slices * slice_mm / target_mm))


def restack_hu(hu: NDArray[np.int16], slices: int) -> NDArray[np.int16]:
    """Linear between slices, to so many of them over the same extent."""
    if hu.shape[0] == slices:
        return hu
    result = np.empty((slices, *hu.shape[1:]), dtype=np.int16)
    for s, (low, high, weight) in enumerate(zip(*_neighbours(hu.shape[0], slices), strict=True)):
        below = hu[low].astype(np.float32)
        result[s] = np.rint(below + weight * (hu[high] - below))
    return result


def restack_mask(mask: NDArray[np.bool_], slices: int) -> NDArray[np.bool_]:
    """Linear between slices, cut at the half level: the nearer slice."""
    if mask.shape[0] == slices:
        return mask
    low, high, weight = _neighbours(mask.shape[0], slices)
    return mask[np.where(weight > 0.5, high, low)]


def _interpolator(
    old: tuple[int, ...], new: tuple[int, int, int]
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Linear interpolation of one slice. (SimpleITK's does all three axes, at several times the cost.)"""
    if old[0] != new[0]:
        raise ValueError(f"slices stay as they are: {old[0]} is not {new[0]}")
    low_row, high_row, row_weight = _neighbours(old[1], new[1])
    low_column, high_column, column_weight = _neighbours(old[2], new[2])
    row_weight = row_weight[:, None]

    def interpolate(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = plane[low_row]
        rows += row_weight * (plane[high_row] - rows)
        columns = rows.T[low_column]
        columns += column_weight[:, None] * (rows.T[high_column] - columns)
        return columns.T

    return interpolate


def _neighbours(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each new pixel centre the old pixels on both sides and the weight of the second; edges are repeated."""
    step = old / new
    at = np.clip((np.arange(new) + 0.5) * step - 0.5, 0.0, old - 1.0)
    low = np.floor(at).astype(np.intp)
    return low, np.minimum(low + 1, old - 1), (at - low).astype(np.float32)


def regrid_affine(
    affine: NDArray[np.float64], old: tuple[int, int, int], new: tuple[int, int, int]
) -> NDArray[np.float64]:
    """The affine of the grid that `resample_*` made."""
    step = np.array(old, dtype=np.float64) / np.array(new, dtype=np.float64)
    result = affine.copy()
    result[:3, :3] = affine[:3, :3] * step
    result[:3, 3] = affine[:3, 3] + affine[:3, :3] @ ((step - 1.0) / 2.0)
    return result
