"""Model 36, the triage scorer's severity half: affected fraction per lung, the larger of the two, and its grade.

CT triage (Goncharov et al.), sections 1 and 2.1. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RIGHT, LEFT = 1, 2  # values of a label volume; 0 is not lung

GRADES = ("CT-0", "CT-1", "CT-2", "CT-3", "CT-4")
# Upper bounds of CT-1, CT-2 and CT-3 as fractions; a bound belongs to the lower grade (0 < s <= 25 % is CT-1).
GRADE_BOUNDS = (0.25, 0.50, 0.75)


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Below either value a study is CT-0: what thresholding finds in healthy lungs is not a lesion.

    Judgement: on 22 synthetic normals of 5 mm slices, thresholding with the classical lungs found at most 0.8 % of the
    worse lung (median 0.3 %); 5 mL is a ball of 21 mm, about the smallest ground glass that is graded.
    """

    volume_ml: float = 5.0
    fraction: float = 0.01


@dataclass(frozen=True, kw_only=True)
class Severity:
    """Fractions in [0, 1], volumes in mL. `fraction` is the larger of the two sides; a lung that was not found has
    fraction 0 and volume 0, which the quality gates must catch."""

    fraction_right: float
    fraction_left: float
    lung_ml_right: float
    lung_ml_left: float
    lesion_ml_right: float
    lesion_ml_left: float
    grade: str

    @property
    def fraction(self) -> float:
        return max(self.fraction_right, self.fraction_left)


def severity(
    labels: NDArray[np.uint8], lesions: NDArray[np.bool_], voxel_ml: float, floor: Floor | None = None
) -> Severity:
    """Severity of one study from its lung labels and lesion mask, both (slice, row, column)."""
    lungs = np.bincount(labels.ravel(), minlength=3)[:3] * voxel_ml
    found = np.bincount(labels[lesions], minlength=3)[:3] * voxel_ml
    right, left = (float(found[side] / lungs[side]) if lungs[side] > 0 else 0.0 for side in (RIGHT, LEFT))
    return Severity(
        fraction_right=right,
        fraction_left=left,
        lung_ml_right=float(lungs[RIGHT]),
        lung_ml_left=float(lungs[LEFT]),
        lesion_ml_right=float(found[RIGHT]),
        lesion_ml_left=float(found[LEFT]),
        grade=grade(max(right, left), float(found[RIGHT] + found[LEFT]), floor or Floor()),
    )


def grade(fraction: float, lesion_ml: float, floor: Floor) -> str:
    """CT-0..CT-4 by the larger affected fraction; half-open bins, CT-0 below the floor."""
    if fraction <= 0 or fraction < floor.fraction or lesion_ml < floor.volume_ml:
        return GRADES[0]
    return GRADES[1 + sum(fraction > bound for bound in GRADE_BOUNDS)]
