"""The most affected axial slices as pictures, each naming the image it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.projection import side_axis
from models.volume import Volume

LUNG_WINDOW_HU = (-1350.0, 150.0)  # centre -600, width 1500, as lungs are read
OUTLINE = (255, 64, 64)
APART_MM = 10.0  # neighbours of the worst slice show the same lesion again


@dataclass(frozen=True, kw_only=True, eq=False)
class KeySlice:
    """One axial slice, RGB uint8 (row, column, 3): front up, the patient's right on the left, lesions outlined."""

    index: int  # in the volume
    source: tuple[str, int] | None  # SOP Instance UID and 1-based frame number; None for a volume without DICOM
    rgb: NDArray[np.uint8]
    lesion_mm2: float


def key_slices(
    volume: Volume, labels: NDArray[np.uint8], lesions: NDArray[np.bool_], n: int = 3
) -> tuple[KeySlice, ...]:
    """At most `n` slices with the largest lesion area, worst first and APART_MM apart; none where there is none."""
    slice_mm, row_mm, column_mm = volume.spacing_mm
    areas = (lesions & (labels > 0)).sum(axis=(1, 2)) * row_mm * column_mm
    chosen: list[int] = []
    for s in np.argsort(-areas, kind="stable"):
        if len(chosen) == n or areas[s] == 0:
            break
        if all(abs(int(s) - c) * slice_mm >= APART_MM for c in chosen):
            chosen.append(int(s))
    return tuple(
        KeySlice(
            index=s,
            source=volume.sources[s] if volume.sources else None,
            rgb=_picture(volume, lesions[s] & (labels[s] > 0), s),
            lesion_mm2=float(areas[s]),
        )
        for s in chosen
    )


def _picture(volume: Volume, lesion: NDArray[np.bool_], s: int) -> NDArray[np.uint8]:
    low, high = LUNG_WINDOW_HU
    grey = np.clip((volume.hu[s] - low) / (high - low), 0.0, 1.0) * 255.0
    rgb = grey[..., None].repeat(3, axis=2).astype(np.uint8)
    rgb[lesion & ~ndimage.binary_erosion(lesion)] = OUTLINE
    axes = volume.affine_lps
    if side_axis(volume) == 1:
        rgb, down, across = rgb.transpose(1, 0, 2), axes[1, 2], axes[0, 1]
    else:
        down, across = axes[1, 1], axes[0, 2]
    if down < 0:  # LPS: y grows to the back
        rgb = rgb[::-1]
    if across < 0:
        rgb = rgb[:, ::-1]
    return np.ascontiguousarray(rgb)
