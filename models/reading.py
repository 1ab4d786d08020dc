"""DICOM series and volume files as a `Volume` in HU; what is no volume is refused, with the reason.

Slices ascend along the slice normal (row direction x column direction): feet to head for a supine axial scan,
whichever way the table moved. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.frames import BROKEN_HEADER, Frame, frames_of, hu_planes
from models.refusal import NotAVolume, Refusal
from models.stacking import Stack, stack
from models.volume import PADDING_HU, Volume

__all__ = ["MAX_VOXELS", "NotAVolume", "Refusal", "read_array", "read_dicom_series", "read_file", "to_axial"]

# 2,048 slices of 512 x 512: 1 GiB in HU and about 3 GiB with what the pipeline adds. A chest at 0.3 mm fits.
MAX_VOXELS = 2048 * 512 * 512
# ImageType values (PS3.3 C.8.16.1) of maps that are computed, not measured in HU.
DERIVED_MAPS = frozenset({"PERFUSION", "RCBF", "RCBV", "MTT", "TTP", "TMAX", "CSA PARALLEL", "ENERGY_PROP_WT"})
NOT_SLICES = frozenset({"LOCALIZER", "MIP", "MINIP", "VOLREN", "TOMO"})
T = TypeVar("T", bound=np.generic)


def read_dicom_series(paths: Sequence[Path], *, max_voxels: int = MAX_VOXELS) -> Volume:
    """The slices of one series as a volume. Raises NotAVolume (`code`, `words`); never guesses, never pads."""
    frames = [frame for path in sorted(paths) for frame in frames_of(path)]
    if not frames:
        raise NotAVolume(Refusal.TOO_FEW_SLICES, "no image in this series")
    _require_measured(frames)
    voxels = sum(f.rows * f.columns for f in frames)
    if voxels > max_voxels:
        raise NotAVolume(Refusal.TOO_LARGE, f"{len(frames)} images, {voxels / 1e6:.0f} million voxels: more than fits")
    if len(frames) == 1:
        list(hu_planes(frames))  # a single image that cannot be decoded is that before it is too few
    ordered = stack(frames)
    return Volume(
        hu=_decode(ordered),
        affine_lps=ordered.affine_lps,
        sources=tuple((group[0].sop_uid, group[0].number) for group in ordered.frames),
        lossy=any(f.lossy for f in frames),
    )


def _require_measured(frames: Sequence[Frame]) -> None:
    for frame in frames:
        found = (DERIVED_MAPS | NOT_SLICES) & {v.upper() for v in frame.image_type}
        if found:
            words = f"images of type {', '.join(sorted(found))} are computed or projected, not slices in HU"
            raise NotAVolume(Refusal.DERIVED_ONLY, words)


def _decode(ordered: Stack) -> NDArray[np.int16]:
    """HU (slice, row, column). A slice that came twice must be the same picture twice."""
    first = ordered.frames[0][0]
    hu = np.empty((len(ordered.frames), first.rows, first.columns), dtype=np.int16)
    wanted: dict[Path, list[tuple[int, bool, Frame]]] = {}
    for index, group in enumerate(ordered.frames):
        for copy, frame in enumerate(group):
            wanted.setdefault(frame.path, []).append((index, copy > 0, frame))
    later: list[tuple[int, NDArray[np.int16]]] = []
    for places in wanted.values():
        for (index, is_copy, _), plane in zip(places, hu_planes([f for _, _, f in places]), strict=True):
            if is_copy:
                later.append((index, plane))
            else:
                hu[index] = plane
    for index, plane in later:
        if not np.array_equal(hu[index], plane):
            words = f"two different images at one position (slice {index + 1} of {hu.shape[0]}): not one volume"
            raise NotAVolume(Refusal.DUPLICATE_POSITIONS, words)
    return hu


def read_file(path: Path, *, max_voxels: int = MAX_VOXELS) -> Volume:
    """A NIfTI (nibabel) or MHD, NRRD (SimpleITK) file of HU as an axial volume: slices feet to head, rows front to
    back, columns right to left of the patient. Raises NotAVolume."""
    array, affine = read_array(path, max_voxels=max_voxels)
    hu = np.clip(np.rint(np.nan_to_num(array, nan=PADDING_HU)), PADDING_HU, 32767).astype(np.int16)
    hu, affine = to_axial(hu, affine)
    return Volume(hu=hu, affine_lps=affine)


def read_array(path: Path, *, max_voxels: int = MAX_VOXELS) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Such a file as it is: values by (x, y, z) of the file, and the affine of that triple to LPS mm. Raises
    NotAVolume."""
    name = path.name.lower()
    try:
        return _nifti(path, max_voxels) if name.endswith((".nii", ".nii.gz")) else _itk(path, max_voxels)
    except BROKEN_HEADER as error:
        raise NotAVolume(Refusal.UNREADABLE, f"not readable as a volume ({type(error).__name__})") from error


def _require_3d(shape: Sequence[int], max_voxels: int) -> None:
    if len(shape) != 3 or min(shape) < 2:
        raise NotAVolume(Refusal.GEOMETRY, f"an image of {len(shape)} axes {tuple(shape)} is no volume")
    if int(np.prod(shape, dtype=np.int64)) > max_voxels:
        raise NotAVolume(Refusal.TOO_LARGE, f"{tuple(shape)} voxels are more than fits")


def _nifti(path: Path, max_voxels: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.load(path)
    except ImageFileError as error:
        raise NotAVolume(Refusal.UNREADABLE, "not readable as NIfTI") from error
    _require_3d(image.shape, max_voxels)
    ras_to_lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    return np.asarray(image.dataobj, dtype=np.float32), ras_to_lps @ np.asarray(image.affine, dtype=np.float64)


def _itk(path: Path, max_voxels: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    import SimpleITK

    itk: Any = SimpleITK  # its stubs leave most functions untyped
    reader = itk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    _require_3d(reader.GetSize(), max_voxels)
    image = reader.Execute()
    affine = np.eye(4)  # of the index triple (x, y, z) in ITK's order; ITK's physical space is LPS
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    array = itk.GetArrayViewFromImage(image).astype(np.float32).transpose(2, 1, 0)
    return array, affine


def to_axial(array: NDArray[T], affine_lps: NDArray[np.float64]) -> tuple[NDArray[T], NDArray[np.float64]]:
    """Axes permuted and flipped, never interpolated, to (feet to head, front to back, right to left)."""
    from scipy.optimize import linear_sum_assignment

    direction = affine_lps[:3, :3] / np.linalg.norm(affine_lps[:3, :3], axis=0)
    _, axis_of = linear_sum_assignment(-np.abs(direction))  # patient axis x, y, z -> array axis
    order = [int(axis_of[2]), int(axis_of[1]), int(axis_of[0])]
    array = array.transpose(order)
    affine = affine_lps[:, [*order, 3]].copy()
    for axis, patient_axis in enumerate((2, 1, 0)):
        if affine[patient_axis, axis] < 0:
            affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
            affine[:3, axis] *= -1
            array = np.flip(array, axis)
    return np.ascontiguousarray(array), affine
