"""In-plane resampling: slices stay what they are, pixels come to the size a method was made for.

The extent is kept to the last half pixel, so that a mask returns to the slices it came from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name the whole field uses
from numpy.typing import NDArray

INSIDE = 200  # masks travel as 0 and 200 in uint8: linear interpolation, then the half level
PixelSize = tuple[float, float]  # mm between (rows, columns)


def in_plane_shape(shape: tuple[int, int, int], pixel_mm: PixelSize, target_mm: float) -> tuple[int, int, int]:
    """Shape (slice, row, column) with pixels as near to `target_mm` as whole numbers allow."""
    rows, columns = (max(1, round(n * mm / target_mm)) for n, mm in zip(shape[1:], pixel_mm, strict=True))
    return shape[0], rows, columns


def resample_hu(hu: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """Linear, in-plane, to `shape` over the same extent (zoom of order 1, as the papers' code)."""
    if hu.shape == shape:
        return hu.astype(np.int16, copy=False)
    return np.asarray(_resample(hu.astype(np.int16, copy=False), shape, sitk.sitkLinear))


def resample_mask(mask: NDArray[np.bool_], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Linear in-plane interpolation of a mask, cut at the half level."""
    if mask.shape == shape:
        return mask
    level = _resample(mask.view(np.uint8) * np.uint8(INSIDE), shape, sitk.sitkLinear)
    return np.asarray(level > INSIDE // 2)


def _resample(array: NDArray[Any], shape: tuple[int, int, int], interpolator: int) -> NDArray[Any]:
    itk: Any = sitk  # its stubs leave most functions untyped
    image = itk.GetImageFromArray(array)
    steps = [float(old) / new for old, new in zip(array.shape[::-1], shape[::-1], strict=True)]  # x, y, z
    origin = [(step - 1.0) / 2.0 for step in steps]  # the centre of the first new pixel, in old pixels
    identity = itk.Transform(3, itk.sitkIdentity)
    size = [int(n) for n in shape[::-1]]
    direction = image.GetDirection()
    moved = itk.Resample(image, size, identity, interpolator, origin, steps, direction, 0, image.GetPixelID())
    return np.asarray(itk.GetArrayFromImage(moved))


def regrid_affine(
    affine: NDArray[np.float64], old: tuple[int, int, int], new: tuple[int, int, int]
) -> NDArray[np.float64]:
    """The affine of the grid that `resample_*` made."""
    step = np.array(old, dtype=np.float64) / np.array(new, dtype=np.float64)
    result = affine.copy()
    result[:3, :3] = affine[:3, :3] * step
    result[:3, 3] = affine[:3, 3] + affine[:3, :3] @ ((step - 1.0) / 2.0)
    return result
