"""Model 32: what counts as a lesion, and what is too thin or too small to be one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.thresholding import Thresholding, lesions
from models.volume import Volume

SHAPE, PIXEL_MM = (12, 90, 110), 1.4


def _volume(dense: NDArray[np.bool_], value: int) -> Volume:
    hu = np.where(dense, value, -860).astype(np.int16)
    affine = np.diag([5.0, PIXEL_MM, PIXEL_MM, 1.0])[[2, 1, 0, 3]]
    return Volume(hu=hu, affine_lps=affine)


def _ball(radius_mm: float) -> NDArray[np.bool_]:
    z, y, x = np.mgrid[:12, :90, :110]
    far = np.hypot(np.hypot((z - 6) * 5.0, (y - 40) * PIXEL_MM), (x - 60) * PIXEL_MM)
    return np.asarray(far <= radius_mm)


LUNG = np.ones(SHAPE, dtype=np.bool_)


@pytest.mark.parametrize(("hu", "is_lesion"), [(-720, False), (-690, True), (-300, True), (290, True), (320, False)])
def test_only_the_papers_range_is_lesion(hu: int, is_lesion: bool) -> None:
    assert lesions(_volume(_ball(22.0), hu), LUNG).any() == is_lesion


def test_a_large_lesion_keeps_its_size_and_place() -> None:
    ball = _ball(24.0)
    found = lesions(_volume(ball, -400), LUNG)
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.85


def test_vessels_are_blurred_away() -> None:
    vessel = np.zeros(SHAPE, dtype=np.bool_)
    vessel[:, 40:44, :] = True
    assert not lesions(_volume(vessel, 30), LUNG).any()


def test_nothing_outside_the_lungs_is_lesion() -> None:
    half = LUNG.copy()
    half[:, :, 60:] = False
    found = lesions(_volume(_ball(24.0), -400), half)
    assert found.any()
    assert not found[~half].any()


def test_a_piece_below_the_smallest_fraction_goes_and_the_large_one_stays() -> None:
    two = _ball(24.0)
    two[6, 5:24, 5:24] = True
    assert lesions(_volume(two, -400), LUNG)[6, 5:24, 5:24].any()
    found = lesions(_volume(two, -400), LUNG, Thresholding(smallest=0.005))
    assert not found[6, 5:24, 5:24].any()
    assert found.any()
