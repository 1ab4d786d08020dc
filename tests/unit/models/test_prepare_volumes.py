"""Volumes on a grid of their own: slices resampled too, a fixed box cut or padded, standardised, and the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.grid import restack_hu, restack_mask
from models.prepare import prepare, restore
from models.volume import Volume

SHAPE = (10, 20, 31)
SPEC = InputSpec(kind=Kind.VOLUME, pixel_mm=None, window_hu=(-1024.0, 976.0))


def volume() -> Volume:
    s, r, c = np.mgrid[:10, :20, :31]
    return Volume(hu=(s * 10 + r * 20 + c * 5 - 500).astype(np.int16), affine_lps=np.diag([2.5, 0.7, 0.9, 1.0]))


def test_slices_come_to_the_distance_that_is_asked_for() -> None:
    case = prepare(volume(), replace(SPEC, slice_mm=1.0, pixel_mm=1.0))
    assert case.grid_shape == case.image.shape == (25, 14, 28)
    hu = restack_hu(volume().hu, 25)
    # The middle of the 12th of 25 slices of 1 mm is 12.5 mm from the lower end, that of the 4th of 10 is 11.25 mm.
    np.testing.assert_allclose(hu[12, 3, 5], 0.5 * (volume().hu[4, 3, 5] + volume().hu[5, 3, 5]), atol=1)
    np.testing.assert_array_equal(restack_hu(volume().hu, 10), volume().hu)


def test_a_mask_keeps_the_nearer_slice() -> None:
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[3:5] = True
    assert np.flatnonzero(restack_mask(mask, 20)[:, 0, 0]).tolist() == [6, 7, 8, 9]


@pytest.mark.parametrize("size", [(6, 12, 17), (14, 27, 40), (6, 27, 17)])
def test_a_fixed_box_is_cut_or_padded_about_the_middle(size: tuple[int, int, int]) -> None:
    whole = prepare(volume(), SPEC)
    case = prepare(volume(), replace(SPEC, size=size))
    assert case.image.shape == size
    for (low, high), n, m in zip(case.box, SHAPE, size, strict=True):
        assert high - low == m
        assert abs((low + high) - n) <= 1
    middle = tuple(n // 2 - low for n, (low, _) in zip(SHAPE, case.box, strict=True))
    assert case.image[middle] == whole.image[SHAPE[0] // 2, SHAPE[1] // 2, SHAPE[2] // 2]
    if size[0] > SHAPE[0]:
        assert not case.image[0].any()


def test_a_box_can_be_moved_for_training() -> None:
    whole = prepare(volume(), SPEC).image
    case = prepare(volume(), replace(SPEC, size=(6, 12, 17)), moved=(1, -4, 30))
    assert case.box == ((3, 9), (0, 12), (37, 54))
    assert not case.image.any()
    near = prepare(volume(), replace(SPEC, size=(6, 12, 17)), moved=(1, -4, 7))
    np.testing.assert_array_equal(near.image, whole[3:9, 0:12, 14:31])


def test_what_is_outside_the_lungs_is_zero_before_it_is_standardised() -> None:
    lungs = np.zeros(SHAPE, dtype=np.bool_)
    lungs[2:7, 4:16, 5:28] = True
    spec = replace(SPEC, mask=MaskPolicy.ZERO, mean_sd=(0.25, 0.5), size=(12, 20, 31))
    case = prepare(volume(), spec, lungs)
    assert case.lungs is not None
    np.testing.assert_allclose(case.image[~case.lungs], -0.5)
    expected = ((volume().hu[lungs] + 1024) / 2000 - 0.25) / 0.5
    np.testing.assert_allclose(case.image[case.lungs], expected, rtol=1e-5)


@pytest.mark.parametrize("size", [(22, 12, 20), (31, 20, 40)])
def test_a_mask_in_the_box_returns_to_the_volume(size: tuple[int, int, int]) -> None:
    drawn = np.zeros(SHAPE, dtype=np.bool_)
    drawn[3:5, 6:12, 9:20] = True
    spec = replace(SPEC, slice_mm=1.25, size=size, mask=MaskPolicy.ZERO)
    case = prepare(volume(), spec, drawn)
    assert case.lungs is not None
    found = restore(case.lungs, case)
    inside = np.zeros(SHAPE, dtype=np.bool_)
    (top, bottom), (first, last) = case.box[1:]
    inside[:, max(0, top) : bottom, max(0, first) : last] = True
    np.testing.assert_array_equal(found, drawn & inside)


def test_a_specification_survives_its_card() -> None:
    spec = replace(SPEC, slice_mm=1.0, size=(4, 5, 6), mean_sd=(0.1, 0.2), mask=MaskPolicy.ZERO)
    card = Card(name="x", version="1", number=9, paper="", roles=("triage",), outputs=("probability",), input=spec)
    assert Card.from_json(card.to_json()) == card


@pytest.mark.parametrize("wrong", [{"slice_mm": 0.0}, {"size": (4, 0, 3)}, {"mean_sd": (0.0, 0.0)}])
def test_an_impossible_specification_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(SPEC, **wrong)  # type: ignore[arg-type]
