"""The files of a case as arrays: one place that knows NIfTI, MetaImage, NumPy, PNG and DICOM, and what can be wrong.

Everything comes out axial (slices feet to head, rows front to back, columns right to left of the patient), masks on
the image's voxels.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.reading import MAX_VOXELS, NotAVolume, read_array, read_dicom_series, to_axial
from models.volume import PADDING_HU, Volume
from training.datasets.public.case import MM, Case, Image, Mask

PICTURES = (".png", ".jpg", ".jpeg")
VOLUMES = (".nii", ".nii.gz", ".mhd", ".mha", ".nrrd")
NOMINAL_MM = 2.0  # pixels of a picture that nobody measured: those of the networks' grid, so that none is lost
PLACE_MM = 1.0  # how far apart the same voxel may lie by two headers
PIXEL_MM, SLICE_MM = (0.2, 6.0), (0.1, 30.0)  # of a chest CT; outside, the header is wrong
SMALLEST_ML = 1e-6  # of a voxel

Affine = NDArray[np.float64]


class Fault(StrEnum):
    """What can be wrong with a file."""

    MISSING = "missing"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    SHAPE = "shape"
    LABELS = "labels"
    PLACE = "place"
    VALUES = "values"
    SPACING = "spacing"


class Malformed(Exception):
    """A file that cannot be used; the words name it and say what to do."""

    def __init__(self, fault: Fault, words: str) -> None:
        self.fault, self.words = fault, words
        super().__init__(words)


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A case's arrays, all (slice, row, column). None: the data set has no such mask."""

    volume: Volume
    lungs: NDArray[np.bool_] | None
    lesions: NDArray[np.bool_] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Raw:
    """Voxels in the order of the file, and where they are (LPS mm)."""

    array: NDArray[np.float32]
    affine: Affine


def opened(case: Case) -> Opened:
    """Everything of a case, masks checked against the image. Raises Malformed."""
    raw = _image(case.image)
    volume = _volume(raw, case)
    lungs = None if case.lungs is None else _mask(case.lungs, raw)
    if lungs is not None:
        for mask in case.not_lungs:
            lungs &= ~_mask(mask, raw)
    lesions = np.zeros(volume.shape, np.bool_) if case.without_lesions else None
    if case.lesions is not None:
        lesions = _mask(case.lesions, raw)
    return Opened(volume=volume, lungs=lungs, lesions=lesions)


def _image(image: Image) -> _Raw:
    for path in image.paths:
        _require_there(path)
    first = image.paths[0]
    if first.name.lower().endswith(PICTURES):
        raw = _picture(first)
    elif first.name.lower().endswith(VOLUMES):
        raw = _file(first, image.slice)
    else:
        raw = _series(image.paths)
    if image.grey_hu is not None:
        low, high = image.grey_hu
        raw = _Raw(array=raw.array * np.float32((high - low) / 255.0) + np.float32(low), affine=raw.affine)
    if image.placed_by is not None:
        _require_there(image.placed_by)
        other = _file(image.placed_by, image.slice)
        if other.array.shape != raw.array.shape:
            raise Malformed(Fault.SHAPE, _differs(image.placed_by, other.array.shape, raw.array.shape))
        raw = _Raw(array=raw.array, affine=other.affine)
    return raw


def _volume(raw: _Raw, case: Case) -> Volume:
    name = case.image.paths[0].name
    values = np.nan_to_num(raw.array, nan=PADDING_HU)
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise Malformed(Fault.VALUES, f"{name} has the value {low:g} everywhere: fetch it again, or leave it out")
    if low >= 0 and high <= 255 and case.image.grey_hu is None:
        words = f"{name} has values from {low:g} to {high:g}: grey levels, no HU; convert it again from DICOM"
        raise Malformed(Fault.VALUES, words)
    hu, affine = to_axial(np.clip(np.rint(values), PADDING_HU, 32767).astype(np.int16), raw.affine)
    if MM in case.unknown:
        affine = _nominal()
    volume = Volume(hu=hu, affine_lps=affine)
    slice_mm, *pixel_mm = volume.spacing_mm
    if not SLICE_MM[0] <= slice_mm <= SLICE_MM[1] or not all(PIXEL_MM[0] <= mm <= PIXEL_MM[1] for mm in pixel_mm):
        mm = " x ".join(f"{n:.3g}" for n in volume.spacing_mm)
        raise Malformed(Fault.SPACING, f"{name} says that its voxels measure {mm} mm: correct its header")
    return volume


def _mask(mask: Mask, image: _Raw) -> NDArray[np.bool_]:
    _require_there(mask.path)
    raw = _file(mask.path, mask.slice)
    name = mask.path.name
    values = np.unique(raw.array)
    if not np.isfinite(values).all() or (values != np.rint(values)).any():
        raise Malformed(Fault.LABELS, f"{name} has values that are no labels: is it an image? Fetch the mask again")
    strange = {int(v) for v in values} - {0} - (mask.known if mask.known is not None else {int(v) for v in values})
    if strange:
        known = ", ".join(map(str, sorted(mask.known or ())))
        words = f"{name} has the labels {_some(strange)}, known are {known}: is it of this data set? Fetch it again"
        raise Malformed(Fault.LABELS, words)
    inside = raw.array != 0 if mask.known is None else np.isin(raw.array, sorted(mask.inside))
    if mask.by_place:
        return _laid(mask, inside, raw.affine, image)
    if inside.shape != image.array.shape:
        raise Malformed(Fault.SHAPE, _differs(mask.path, inside.shape, image.array.shape))
    return _axial(inside[::-1] if mask.mirrored else inside, image.affine)


def _laid(mask: Mask, inside: NDArray[np.bool_], affine: Affine, image: _Raw) -> NDArray[np.bool_]:
    """A mask whose voxels have another order than the image's, by what both headers say."""
    here, there = _axial(inside, affine), _axial(image.array, image.affine)
    if here.shape != there.shape:
        raise Malformed(Fault.SHAPE, _differs(mask.path, here.shape, there.shape))
    apart = float(np.abs(_corners(affine, inside.shape) - _corners(image.affine, image.array.shape)).max())
    if apart > PLACE_MM:
        words = f"{mask.path.name} lies {apart:.1f} mm from its image: it was drawn on another series; leave it out"
        raise Malformed(Fault.PLACE, words)
    return here


def _corners(affine: Affine, shape: tuple[int, ...]) -> Affine:
    """Least and greatest coordinates (2, 3) of the outermost voxel centres, LPS mm."""
    ends = np.array([[x, y, z, 1.0] for x in (0, shape[0] - 1) for y in (0, shape[1] - 1) for z in (0, shape[2] - 1)])
    mm = (ends @ affine.T)[:, :3]
    return np.stack([mm.min(axis=0), mm.max(axis=0)])


def _axial(array: NDArray[Any], affine: Affine) -> NDArray[Any]:
    return to_axial(array, affine)[0]


def _require_there(path: Path) -> None:
    if not path.is_file():
        raise Malformed(Fault.MISSING, f"{path.name} is missing from {path.parent.name}: fetch or unpack it")
    if path.stat().st_size == 0:
        raise Malformed(Fault.EMPTY, f"{path.name} is an empty file: fetch or unpack it again")


def _file(path: Path, wanted: int | None) -> _Raw:
    raw = _read(path) if wanted is None else _stack(path)
    if wanted is None:
        return raw
    if wanted >= raw.array.shape[2]:
        words = f"{path.name} has {raw.array.shape[2]} slices, not {wanted + 1}: fetch it again"
        raise Malformed(Fault.SHAPE, words)
    return _Raw(array=raw.array[:, :, wanted : wanted + 1], affine=raw.affine)


def _read(path: Path) -> _Raw:
    try:
        if path.suffix == ".npy":
            # As SimpleITK hands arrays out: (slice, row, column); files have x first.
            array = np.load(path, allow_pickle=False)
            if array.ndim != 3 or array.size > MAX_VOXELS:
                raise Malformed(Fault.SHAPE, f"{path.name} has {array.ndim} axes and {array.size} values: no mask")
            return _Raw(array=array.transpose(2, 1, 0).astype(np.float32), affine=np.eye(4))
        array, affine = read_array(path)
    except NotAVolume as error:
        raise Malformed(Fault.UNREADABLE, f"{path.name}: {error.words}; fetch or unpack it again") from error
    except (OSError, ValueError, EOFError, zlib.error) as error:
        words = f"{path.name} is not readable ({type(error).__name__}); fetch or unpack it again"
        raise Malformed(Fault.UNREADABLE, words) from error
    if abs(np.linalg.det(affine[:3, :3])) < SMALLEST_ML * 1000.0:
        raise Malformed(Fault.SPACING, f"{path.name} says that its voxels have no volume: correct its header")
    return _Raw(array=array, affine=affine)


@functools.lru_cache(maxsize=3)
def _stack(path: Path) -> _Raw:
    """A file that is asked for slice after slice: image, lungs and lesions stay open."""
    return _read(path)


def _series(paths: tuple[Path, ...]) -> _Raw:
    try:
        volume = read_dicom_series(paths)
    except NotAVolume as error:
        words = f"the series of {paths[0].name}: {error.words}; fetch it again, or leave it out"
        raise Malformed(Fault.UNREADABLE, words) from error
    return _Raw(array=volume.hu.astype(np.float32), affine=volume.affine_lps)


def _picture(path: Path) -> _Raw:
    """Grey levels of a PNG or JPEG as one slice, (column, row, 1)."""
    from PIL import Image as Picture
    from PIL import UnidentifiedImageError

    try:
        with Picture.open(path) as picture:
            grey = np.asarray(picture.convert("L"), dtype=np.float32)
    except (UnidentifiedImageError, OSError, ValueError, Picture.DecompressionBombError) as error:
        raise Malformed(Fault.UNREADABLE, f"{path.name} is no picture; fetch it again") from error
    return _Raw(array=grey.T[:, :, None], affine=np.eye(4))


def _nominal() -> Affine:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = 1.0, NOMINAL_MM, NOMINAL_MM
    affine[3, 3] = 1.0
    return affine


def _differs(path: Path, found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    return (
        f"{path.name} has {_times(found)} voxels and its image {_times(wanted)}: it is another scan's; fetch it again"
    )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _some(numbers: set[int]) -> str:
    shown = ", ".join(map(str, sorted(numbers)[:5]))
    return shown + (" ..." if len(numbers) > 5 else "")
