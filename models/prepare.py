"""Volume to network input by `InputSpec`, and a map on that input back to the volume's own slices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.case import Box, Case, InputSpec, MaskPolicy
from models.grid import in_plane_shape, resample_hu, resample_mask
from models.volume import Volume


def prepare(volume: Volume, spec: InputSpec, lungs: NDArray[np.bool_] | None = None) -> Case:
    """Resample in-plane, window to [0, 1], then crop or zero by the lung mask. Raises ValueError where the
    specification needs lungs and there are none."""
    shape = volume.shape
    if spec.pixel_mm is not None:
        shape = in_plane_shape(volume.shape, volume.spacing_mm[1:], spec.pixel_mm)
    image = window(resample_hu(volume.hu, shape), spec.window_hu)
    inside = None if lungs is None else resample_mask(lungs, shape)
    if spec.mask is not MaskPolicy.NONE and (inside is None or not inside.any()):
        raise ValueError(f"mask policy {spec.mask} needs lungs, and there are none")
    box: Box = ((0, shape[0]), (0, shape[1]), (0, shape[2]))
    if inside is not None and spec.mask is MaskPolicy.ZERO:
        image[~inside] = 0.0
    if inside is not None and spec.mask is MaskPolicy.CROP:
        box = _widened(bounding_box(inside), shape, volume, spec.margin_mm)
        image, inside = image[_slices(box)], inside[_slices(box)]
    return Case(image=image, lungs=inside, box=box, grid_shape=shape, volume_shape=volume.shape)


def restore(mask: NDArray[np.bool_], case: Case) -> NDArray[np.bool_]:
    """A mask on `case.image` as a mask on the volume it was prepared from."""
    if mask.shape != case.image.shape:
        raise ValueError(f"a mask of {mask.shape} for an image of {case.image.shape}")
    whole = np.zeros(case.grid_shape, dtype=np.bool_)
    whole[_slices(case.box)] = mask
    return resample_mask(whole, case.volume_shape)


def window(hu: NDArray[np.int16], window_hu: tuple[float, float]) -> NDArray[np.float32]:
    """HU clipped to the window and scaled to [0, 1]."""
    low, high = window_hu
    return ((np.clip(hu, low, high) - np.float32(low)) / np.float32(high - low)).astype(np.float32)


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """The smallest box, half-open, that holds the mask."""
    first, last = [], []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        there = np.flatnonzero(mask.any(axis=others))
        first.append(int(there[0]))
        last.append(int(there[-1]) + 1)
    return (first[0], last[0]), (first[1], last[1]), (first[2], last[2])


def thinned(slices: int, depth: int | None, offset: int | None = None) -> NDArray[np.intp]:
    """Indices of every k-th slice, at most `depth` of them, as CT triage trains its series head; from `offset` < k,
    else from the middle of what is left over."""
    step = 1 if depth is None else -(-slices // depth)
    first = (slices - 1) % step // 2 if offset is None else offset
    return np.arange(first, slices, step)


def _widened(box: Box, shape: tuple[int, int, int], volume: Volume, margin_mm: float) -> Box:
    widened = [box[0]]
    for axis in (1, 2):
        margin = round(margin_mm * shape[axis] / (volume.spacing_mm[axis] * volume.shape[axis]))
        widened.append((max(0, box[axis][0] - margin), min(shape[axis], box[axis][1] + margin)))
    return widened[0], widened[1], widened[2]


def _slices(box: Box) -> tuple[slice, slice, slice]:
    return slice(*box[0]), slice(*box[1]), slice(*box[2])
