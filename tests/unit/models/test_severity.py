"""Model 36: fractions, the larger side, half-open grades and the floor under them."""

from __future__ import annotations

import numpy as np
import pytest

from models.severity import LEFT, RIGHT, Floor, grade, severity
from triaged.records import Grade

NO_FLOOR = Floor(volume_ml=0.0, fraction=0.0)


def test_each_lung_has_its_own_fraction_and_the_larger_is_the_severity() -> None:
    labels = np.zeros((10, 20, 31), dtype=np.uint8)
    labels[:, :, :10], labels[:, :, 20:] = RIGHT, LEFT
    lesions = np.zeros(labels.shape, dtype=np.bool_)
    lesions[:3, :, :20] = True  # 30 % of the right, and as much of what is no lung
    lesions[:5, :10, 20:] = True  # 25 % of the left
    found = severity(labels, lesions, voxel_ml=0.5)
    assert (found.fraction_right, found.fraction_left, found.fraction) == pytest.approx((0.30, 0.25, 0.30))
    assert (found.lung_ml_right, found.lung_ml_left) == (1000.0, 1100.0)
    assert (found.lesion_ml_right, found.lesion_ml_left) == (300.0, 275.0)
    assert found.grade == Grade.CT2


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (0.0, Grade.CT0),
        (0.02, Grade.CT1),
        (0.25, Grade.CT1),
        (0.2501, Grade.CT2),
        (0.50, Grade.CT2),
        (0.5001, Grade.CT3),
        (0.75, Grade.CT3),
        (0.7501, Grade.CT4),
        (1.0, Grade.CT4),
    ],
)
def test_a_bound_belongs_to_the_lower_grade(fraction: float, expected: Grade) -> None:
    assert grade(fraction, 1000.0, NO_FLOOR) == expected


@pytest.mark.parametrize(("fraction", "lesion_ml"), [(0.009, 100.0), (0.3, 4.9)])
def test_below_either_floor_is_ct0(fraction: float, lesion_ml: float) -> None:
    assert grade(fraction, lesion_ml, Floor()) == Grade.CT0


def test_a_lung_that_was_not_found_has_no_fraction() -> None:
    labels = np.full((4, 5, 6), RIGHT, dtype=np.uint8)
    found = severity(labels, np.ones(labels.shape, dtype=np.bool_), voxel_ml=1.0)
    assert (found.fraction_right, found.fraction_left, found.lung_ml_left) == (1.0, 0.0, 0.0)
