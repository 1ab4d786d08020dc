"""Model 34: where the contour goes, and what its last erosion costs."""

from __future__ import annotations

import numpy as np

from models.contour import WITHOUT_EROSION, inflate, refine
from models.severity import LEFT, RIGHT

MM = (5.0, 1.0, 1.0)


def _two_lungs() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:190, :300]
    labels = np.zeros((3, 190, 300), dtype=np.uint8)
    for side, middle in ((RIGHT, 75), (LEFT, 225)):
        labels[:, np.hypot((y - 95) / 80, (x - middle) / 60) <= 1] = side
    hu = np.where(labels > 0, -850, 40).astype(np.int16)
    return hu, labels


def test_an_inlet_at_the_pleura_is_taken_in_and_the_outline_stays() -> None:
    hu, whole = _two_lungs()
    bitten = whole.copy()
    bitten[1, 88:98, 10:35] = 0
    refined = refine(hu, bitten, MM, WITHOUT_EROSION)
    inlet = (whole == RIGHT) & (bitten == 0)
    assert inlet.sum() > 120
    assert (refined[inlet] == RIGHT).mean() > 0.8
    assert ((refined > 0) & (whole == 0)).sum() < 0.03 * (whole > 0).sum()


def test_the_papers_erosion_takes_its_two_mm_all_round() -> None:
    hu, whole = _two_lungs()
    kept = (refine(hu, whole, MM, WITHOUT_EROSION) > 0).sum()
    eroded = (refine(hu, whole, MM) > 0).sum()
    assert 0.90 < eroded / kept < 0.97


def test_a_slice_with_one_lung_gets_the_small_closing_only() -> None:
    hu, whole = _two_lungs()
    whole[whole == LEFT] = 0
    bitten = whole.copy()
    bitten[1, 85:100, 10:30] = 0  # 15 mm: beyond a closing of 5 mm, within one of 10 mm
    refined = refine(hu, bitten, MM, WITHOUT_EROSION)
    assert not refined[1, 92, 20:28].any()
    assert (inflate(bitten, MM)[1, 92, 20:28] == RIGHT).all()


def test_one_lung_never_grows_into_the_other() -> None:
    labels = np.zeros((1, 40, 60), dtype=np.uint8)
    labels[0, 5:35, 5:29], labels[0, 5:35, 31:55] = RIGHT, LEFT
    inflated = inflate(labels, MM)
    assert (inflated[labels > 0] == labels[labels > 0]).all()
