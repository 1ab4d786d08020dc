"""A CT volume: Hounsfield units and where they are in the patient.

One convention holds in the whole project. Arrays are (slice, row, column); `affine_lps` maps that index triple,
in that order, to millimetres in the DICOM patient frame (x to the patient's left, y to the back, z to the head;
PS3.3 C.7.6.2.1.1). The index names the centre of a voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """HU (slice, row, column), int16, with the geometry in mm.

    `sources` names, slice by slice, the SOP Instance UID and 1-based frame number it came from; it is empty for a
    volume that did not come from DICOM. Values the scanner never measured (padding, outside the scan circle) are
    `PADDING_HU`.
    """

    hu: NDArray[np.int16]
    affine_lps: NDArray[np.float64]
    sources: tuple[tuple[str, int], ...] = ()
    lossy: bool = False
    oriented: bool = True  # False: the affine was guessed, left and right are unknown

    def __post_init__(self) -> None:
        if self.hu.ndim != 3 or self.hu.dtype != np.int16:
            raise ValueError(f"a volume is a 3-D int16 array, not {self.hu.ndim}-D {self.hu.dtype}")
        if self.affine_lps.shape != (4, 4):
            raise ValueError(f"an affine is 4 x 4, not {self.affine_lps.shape}")
        if self.sources and len(self.sources) != self.hu.shape[0]:
            raise ValueError(f"{len(self.sources)} sources for {self.hu.shape[0]} slices")

    @property
    def shape(self) -> tuple[int, int, int]:
        slices, rows, columns = self.hu.shape
        return slices, rows, columns

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along (slice, row, column)."""
        s = np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return float(s[0]), float(s[1]), float(s[2])

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.affine_lps[:3, :3]))) / 1000.0


PADDING_HU = -1024
