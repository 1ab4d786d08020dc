"""Dense lung that nobody called a lesion: a network that takes in a white lung must not report it as a healthy one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.severity import LEFT, RIGHT

DENSE_HU = -200  # aerated lung and ground glass lie below, consolidation, collapse and fluid above


def unexplained(
    hu: NDArray[np.int16], labels: NDArray[np.uint8], lesions: NDArray[np.bool_] | None
) -> tuple[float, float]:
    """Share of the right and of the left lung that is dense and no lesion, arrays (slice, row, column). 0 where there
    is no lung on a side; without `lesions` nothing is explained."""
    dense, whole = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    for s in range(hu.shape[0]):
        whole += np.bincount(labels[s].ravel(), minlength=3)
        quiet = hu[s] > DENSE_HU if lesions is None else (hu[s] > DENSE_HU) & ~lesions[s]
        dense += np.bincount(labels[s][quiet], minlength=3)
    return float(dense[RIGHT]) / max(1, int(whole[RIGHT])), float(dense[LEFT]) / max(1, int(whole[LEFT]))
