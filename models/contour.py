"""Model 34: the classical lungs, inflated and drawn back to the edge by an active contour.

COVID-MTL (Bao et al.), section 4.1 and Algorithm 1; values from LungSegmentation.py:SegRefine of its repository.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.morphology import closed
from models.severity import LEFT, RIGHT

INFLATION_MM = 10.0  # closing with a disk of 10 at 1 mm


def refine(
    hu: NDArray[np.int16], labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float]
) -> NDArray[np.uint8]:
    """Labels RIGHT and LEFT refined, (slice, row, column), on a grid of about 1 mm in-plane."""
    result = np.zeros_like(labels)
    for side in (RIGHT, LEFT):
        inflated = closed(labels == side, INFLATION_MM, spacing_mm)
        result[inflated & (labels != RIGHT + LEFT - side)] = side
    return result
