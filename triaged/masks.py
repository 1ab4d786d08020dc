"""What was segmented, as a record that crosses from analysis to the result objects and the disk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Masks:
    """What was segmented, (slice, row, column): lungs uint8 (0, 1 right, 2 left) and lesions bool.

    `lesions` is None for a method that finds none, which is not the same as having found none. Slices are in the order
    of `sources`: (SOP Instance UID, 1-based frame number) as in `Volume.sources`.
    """

    lungs: NDArray[np.uint8]
    lesions: NDArray[np.bool_] | None
    sources: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        if self.lungs.ndim != 3 or self.lungs.dtype != np.uint8:
            raise ValueError(f"lungs are a 3-D uint8 array, not {self.lungs.ndim}-D {self.lungs.dtype}")
        if self.lesions is not None and (self.lesions.shape != self.lungs.shape or self.lesions.dtype != np.bool_):
            raise ValueError("lesions are a bool array of the shape of the lungs")
        if len(self.sources) != len(self.lungs):
            raise ValueError(f"{len(self.sources)} sources for {len(self.lungs)} slices")
