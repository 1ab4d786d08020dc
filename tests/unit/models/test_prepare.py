"""Volumes to inputs and back: geometry, window, mask policies, and small steps that make large disks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from models.case import InputSpec, Kind, MaskPolicy
from models.grid import in_plane_shape, regrid_affine, resample_hu, resample_mask
from models.morphology import closed, components, eroded, filled, grown, opened
from models.prepare import prepare, restore, window
from models.volume import Volume

SHAPE = (10, 20, 31)


def _volume() -> Volume:
    s, r, c = np.mgrid[:10, :20, :31]
    affine = np.array([[0.1, 0, 0.9, -3], [0, 0.7, 0, 5], [2.5, 0, -0.1, 9], [0, 0, 0, 1]], dtype=np.float64)
    return Volume(hu=(s * 10 + r * 20 + c * 5 - 500).astype(np.int16), affine_lps=affine)


def test_resampling_keeps_the_place_of_a_value() -> None:
    volume = _volume()
    shape = in_plane_shape(SHAPE, volume.spacing_mm[1:], 0.5)
    assert shape == (10, 28, 56)
    hu, affine = resample_hu(volume.hu, shape), regrid_affine(volume.affine_lps, SHAPE, shape)
    at_mm = affine @ [4, 11, 20, 1]
    where = np.linalg.solve(volume.affine_lps, at_mm)[:3]
    np.testing.assert_allclose(where[0], 4, atol=1e-9)
    assert hu[4, 11, 20] == pytest.approx(where @ [10, 20, 5] - 500, abs=1.0)


def test_a_mask_returns_to_the_slices_it_came_from() -> None:
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[3:5, 6:15, 9:25] = True
    coarse = resample_mask(mask, (10, 30, 47))
    np.testing.assert_array_equal(resample_mask(coarse, SHAPE), mask)


def test_slices_are_never_resampled() -> None:
    with pytest.raises(ValueError, match="slices stay"):
        resample_hu(_volume().hu, (12, 20, 31))


def test_window_clips_and_scales() -> None:
    np.testing.assert_allclose(
        window(np.array([-2000, -1000, -350, 300, 900], dtype=np.int16), (-1000, 300)), [0, 0, 0.5, 1, 1]
    )


def test_crop_is_undone_by_restore() -> None:
    volume = _volume()
    lungs = np.zeros(SHAPE, dtype=np.bool_)
    lungs[2:7, 4:16, 5:28] = True
    spec = InputSpec(kind=Kind.VOLUME, pixel_mm=None, window_hu=(-1000.0, 300.0), mask=MaskPolicy.CROP)
    case = prepare(volume, spec, lungs)
    assert case.image.shape == (5, 12, 23)
    assert case.image[0, 0, 0] == pytest.approx((volume.hu[2, 4, 5] + 1000) / 1300, abs=1e-6)
    np.testing.assert_array_equal(restore(np.ones(case.image.shape, dtype=np.bool_), case), lungs)


def test_zero_policy_empties_what_is_not_lung() -> None:
    lungs = np.zeros(SHAPE, dtype=np.bool_)
    lungs[2:7] = True
    spec = InputSpec(kind=Kind.SLICES, pixel_mm=None, window_hu=(-1000.0, 300.0), mask=MaskPolicy.ZERO)
    case = prepare(_volume(), spec, lungs)
    assert not case.image[~lungs].any()
    assert (case.image[lungs] > 0).all()


def test_a_spec_that_needs_lungs_says_so() -> None:
    spec = InputSpec(kind=Kind.VOLUME, pixel_mm=2.0, window_hu=(-1000.0, 300.0), mask=MaskPolicy.CROP)
    with pytest.raises(ValueError, match="needs lungs"):
        prepare(_volume(), spec, np.zeros(SHAPE, dtype=np.bool_))


@pytest.mark.parametrize("radius", [2, 5, 10])
def test_small_steps_make_nearly_a_disk(radius: int) -> None:
    point = np.zeros((41, 41), dtype=np.bool_)
    point[20, 20] = True
    y, x = np.mgrid[-20:21, -20:21]
    disk = np.hypot(y, x) <= radius + 0.5
    octagon = grown(point, radius)
    assert 2 * (octagon & disk).sum() / (octagon.sum() + disk.sum()) > 0.93
    assert (octagon.any(axis=0).sum(), octagon.any(axis=1).sum()) == (2 * radius + 1, 2 * radius + 1)


def test_closing_adds_opening_takes_and_neither_moves_the_border() -> None:
    rng = np.random.default_rng(1)
    mask = ndimage.gaussian_filter(rng.normal(size=(3, 60, 80)), (0, 4, 4)) > 0.02
    mm = (5.0, 1.0, 1.0)
    assert (closed(mask, 4.0, mm) & mask == mask).all()
    assert (opened(mask, 4.0, mm) & ~mask).sum() == 0
    assert (eroded(mask, 4.0, mm) & ~opened(mask, 4.0, mm)).sum() == 0
    full = np.ones((2, 20, 31), dtype=np.bool_)
    np.testing.assert_array_equal(closed(full, 4.0, mm), full)


def test_filling_closes_holes_and_leaves_bays() -> None:
    mask = np.zeros((2, 12, 15), dtype=np.bool_)
    mask[1, 2:10, 3:12] = True
    mask[1, 4:7, 5:8] = False
    mask[1, 8:10, 9] = False  # a bay to the outside
    expected = mask.copy()
    expected[1, 4:7, 5:8] = True
    np.testing.assert_array_equal(filled(mask), expected)


def test_components_are_numbered_by_size_and_join_over_corners_on_request() -> None:
    mask = np.zeros((3, 6, 7), dtype=np.bool_)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    mask[2, 3:, 3:] = True
    plain, joined = components(mask), components(mask, corners=True)
    assert (plain.max(), joined.max(), plain[2, 4, 4]) == (3, 2, 1)
    assert components(mask, 2).max() == 1
