"""Volume to network input by `InputSpec`, and a map on that input back to the volume's own slices."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.case import Box, Case, InputSpec, MaskPolicy
from models.classical import body_mask
from models.grid import in_plane_shape, resample_hu, resample_mask, restack_hu, restack_mask, stack_height
from models.volume import Volume

T = TypeVar("T", bound=np.generic)
Frame = tuple[tuple[int, int], tuple[int, int]]  # rows and columns, half-open


def prepare(
    volume: Volume,
    spec: InputSpec,
    lungs: NDArray[np.bool_] | None = None,
    moved: tuple[int, int, int] = (0, 0, 0),
) -> Case:
    """Resample, window to [0, 1], crop or zero by the lung mask, cut a box of `spec.size`, standardise. `moved` (slice,
    row, column) takes that box away from the middle, for training. Raises ValueError where the specification needs
    lungs and there are none."""
    frame = None if spec.plane is None else _frame(volume, spec, lungs)
    shape = grid_shape(volume, spec, frame)
    image = window(restack_hu(resample_hu(volume.hu, (volume.shape[0], *shape[1:])), shape[0]), spec.window_hu)
    if spec.per_slice:
        image = _spread(image)
    inside = None
    if lungs is not None:
        inside = restack_mask(resample_mask(lungs, (volume.shape[0], *shape[1:])), shape[0])
    if spec.mask in (MaskPolicy.CROP, MaskPolicy.ZERO) and (inside is None or not inside.any()):
        raise ValueError(f"mask policy {spec.mask} needs lungs, and there are none")
    box: Box = ((0, shape[0]), (0, shape[1]), (0, shape[2]))
    if inside is not None and spec.mask is MaskPolicy.ZERO:
        image[~inside] = 0.0
    if inside is not None and spec.mask is MaskPolicy.CROP:
        box = _widened(bounding_box(inside), shape, volume, spec.margin_mm)
    if frame is not None and spec.plane is not None:
        box = (box[0], *_on_grid(frame, spec.plane))
    if spec.size is not None:
        box = _about_the_middle(box, spec.size, moved)
    image = cut(image, box)
    inside = None if inside is None else cut(inside, box)
    if spec.mean_sd is not None:
        image = (image - np.float32(spec.mean_sd[0])) / np.float32(spec.mean_sd[1])
    return Case(image=image, lungs=inside, box=box, grid_shape=shape, volume_shape=volume.shape)


def grid_shape(volume: Volume, spec: InputSpec, frame: Frame | None = None) -> tuple[int, int, int]:
    """Shape of the whole volume on the specification's grid; `frame`, on the volume's own pixels, is what fills a
    plane of the specification."""
    slices, rows, columns = volume.shape
    if frame is not None and spec.plane is not None:
        rows, columns = (
            max(1, round(n * pixels / (high - low)))
            for n, pixels, (low, high) in zip((rows, columns), spec.plane, frame, strict=True)
        )
    if spec.pixel_mm is not None:
        _, rows, columns = in_plane_shape(volume.shape, volume.spacing_mm[1:], spec.pixel_mm)
    if spec.slice_mm is not None:
        slices = stack_height(slices, volume.spacing_mm[0], spec.slice_mm)
    return slices, rows, columns


def restore(mask: NDArray[np.bool_], case: Case) -> NDArray[np.bool_]:
    """A mask on `case.image` as a mask on the volume it was prepared from."""
    slices, rows, columns = case.volume_shape
    return resample_mask(restack_mask(pasted(mask, case), slices), (slices, rows, columns))


def on_case(mask: NDArray[np.bool_], case: Case) -> NDArray[np.bool_]:
    """A mask on the volume as a mask on `case.image`."""
    slices, rows, columns = case.grid_shape
    return cut(restack_mask(resample_mask(mask, (mask.shape[0], rows, columns)), slices), case.box)


def pasted(array: NDArray[T], case: Case) -> NDArray[T]:
    """A map on `case.image` as a map on the whole resampled volume, 0 outside the box."""
    if array.shape != case.image.shape:
        raise ValueError(f"a map of {array.shape} for an image of {case.image.shape}")
    whole = np.zeros(case.grid_shape, dtype=array.dtype)
    there, here = overlap(case.box, case.grid_shape)
    whole[there] = array[here]
    return whole


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


def _frame(volume: Volume, spec: InputSpec, lungs: NDArray[np.bool_] | None) -> Frame:
    """What fills the plane of the specification, on the volume's own pixels."""
    box: Box = ((0, volume.shape[0]), (0, volume.shape[1]), (0, volume.shape[2]))
    if spec.mask is MaskPolicy.CROP and lungs is not None and lungs.any():
        box = _widened(bounding_box(lungs), volume.shape, volume, spec.margin_mm)
    elif spec.mask is MaskPolicy.BODY:
        body = body_mask(volume.hu, volume.spacing_mm)
        box = bounding_box(body) if body.any() else box
    return box[1], box[2]


def _on_grid(frame: Frame, plane: tuple[int, int]) -> Frame:
    """Where the frame lies on the grid on which it fills the plane."""
    first = [round(low * n / (high - low)) for (low, high), n in zip(frame, plane, strict=True)]
    return (first[0], first[0] + plane[0]), (first[1], first[1] + plane[1])


def _spread(image: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = image.min(axis=(1, 2), keepdims=True), image.max(axis=(1, 2), keepdims=True)
    spread: NDArray[np.float32] = (image - low) / np.where(high > low, high - low, np.float32(1.0))
    return spread


def _about_the_middle(box: Box, size: tuple[int, int, int], moved: tuple[int, int, int]) -> Box:
    first = [low + (high - low - n) // 2 + m for (low, high), n, m in zip(box, size, moved, strict=True)]
    last = [f + n for f, n in zip(first, size, strict=True)]
    return (first[0], last[0]), (first[1], last[1]), (first[2], last[2])


def cut(array: NDArray[T], box: Box) -> NDArray[T]:
    """The part in the box; 0 where it reaches beyond the array."""
    there, here = overlap(box, array.shape)
    if all(low >= 0 and high <= n for (low, high), n in zip(box, array.shape, strict=True)):
        return array[there]
    result = np.zeros([high - low for low, high in box], dtype=array.dtype)
    result[here] = array[there]
    return result


def overlap(box: Box, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """What box and array have in common, as slices of the array and of the box."""
    ends = [(max(0, low), max(0, low, min(n, high))) for (low, high), n in zip(box, shape, strict=True)]
    there = tuple(slice(first, last) for first, last in ends)
    here = tuple(slice(first - low, last - low) for (first, last), (low, _) in zip(ends, box, strict=True))
    return there, here
