"""How much lung there is, and against what: the numbers by which a quality gate believes a result or does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.severity import LEFT, RIGHT
from models.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Volumes in mL; `reaches_*` says whether lung is cut off at that end of the scan."""

    lung_ml_right: float
    lung_ml_left: float
    reaches_head_end: bool
    reaches_foot_end: bool

    @property
    def lung_ml(self) -> float:
        return self.lung_ml_right + self.lung_ml_left

    @property
    def right_left_ratio(self) -> float:
        """Infinite where there is no left lung."""
        return self.lung_ml_right / self.lung_ml_left if self.lung_ml_left > 0 else float("inf")


# Lung in the last slice is cut off when there is more of it than the tip of an apex or of a recess.
CUT_OFF_MM2 = 1000.0


def extent(volume: Volume, labels: NDArray[np.uint8]) -> Extent:
    """Measure labels (slice, row, column) of a volume."""
    counts = np.bincount(labels.ravel(), minlength=3)
    _, row_mm, column_mm = volume.spacing_mm
    ends = [float(np.count_nonzero(labels[s])) * row_mm * column_mm > CUT_OFF_MM2 for s in (0, -1)]
    if volume.affine_lps[2, 0] < 0:
        ends.reverse()
    return Extent(
        lung_ml_right=float(counts[RIGHT]) * volume.voxel_ml,
        lung_ml_left=float(counts[LEFT]) * volume.voxel_ml,
        reaches_foot_end=ends[0],
        reaches_head_end=ends[1],
    )
