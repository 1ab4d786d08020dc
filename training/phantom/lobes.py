"""The five lobes, told apart by the fissures."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from training.phantom.geometry import Field


class Lobe(StrEnum):
    RIGHT_UPPER = "right_upper"
    RIGHT_MIDDLE = "right_middle"
    RIGHT_LOWER = "right_lower"
    LEFT_UPPER = "left_upper"
    LEFT_LOWER = "left_lower"


def lobe_distance(lobe: Lobe, right: Field, left: Field, oblique: Field, horizontal: Field) -> Field:
    """Signed distance to a lobe from those to the lungs and to the fissures (positive above them)."""
    bounds = {
        Lobe.RIGHT_UPPER: (right, -oblique, -horizontal),
        Lobe.RIGHT_MIDDLE: (right, -oblique, horizontal),
        Lobe.RIGHT_LOWER: (right, oblique),
        Lobe.LEFT_UPPER: (left, -oblique),
        Lobe.LEFT_LOWER: (left, oblique),
    }
    return np.asarray(np.maximum.reduce(bounds[lobe]), np.float32)
