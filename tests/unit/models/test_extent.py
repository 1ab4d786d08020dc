"""The numbers by which a gate believes a result: a white lung must show in them."""

from __future__ import annotations

import numpy as np
import pytest

from models.extent import Extent, extent
from models.pipeline import Pipeline
from tests.unit.models.chest import Chest, Ellipsoid, draw


def _extent(chest: Chest) -> Extent:
    return Pipeline().run(draw(chest).volume).extent


@pytest.fixture(scope="module")
def healthy() -> Extent:
    return _extent(Chest())


def test_a_healthy_chest_fills_its_cage_on_both_sides(healthy: Extent) -> None:
    assert healthy.rib_ring is not None
    assert healthy.rib_ring > 0.9
    assert healthy.smaller_cavity_share is not None
    assert healthy.smaller_cavity_share > 0.45
    assert 1.1 < healthy.right_left_ratio < 1.4
    assert (healthy.reaches_head_end, healthy.reaches_foot_end) == (False, False)
    assert healthy.height_mm == pytest.approx(250, abs=15)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_white_lung_leaves_its_cage_empty(healthy: Extent, side: str) -> None:
    found = _extent(Chest(**{side: None}))
    assert getattr(found, f"cavity_share_{side}") == 0.0
    assert found.right_left_ratio == (0.0 if side == "right" else float("inf"))


def test_lungs_white_from_below_do_not_look_complete(healthy: Extent) -> None:
    base = Ellipsoid(centre=(-90, 0, 0), half=(145, 85, 140))
    found = _extent(Chest(dense=((base, 40),)))
    assert found.smaller_cavity_share is not None
    assert healthy.smaller_cavity_share is not None
    assert found.smaller_cavity_share < 0.7 * healthy.smaller_cavity_share
    assert 1.0 < found.right_left_ratio < 1.6  # which alone would look healthy


@pytest.mark.parametrize("head_first", [False, True])
def test_a_base_that_is_white_on_one_side_stands_higher(head_first: bool) -> None:
    shown = draw()
    labels = shown.right.astype(np.uint8) + 2 * shown.left.astype(np.uint8)
    volume = shown.volume
    labels[:15][labels[:15] == 2] = 0
    lowest = [int(np.flatnonzero((labels == side).any(axis=(1, 2)))[0]) for side in (1, 2)]
    if head_first:
        affine = volume.affine_lps.copy()
        affine[:3, 0] *= -1
        volume, labels = type(volume)(hu=volume.hu[::-1].copy(), affine_lps=affine), labels[::-1].copy()
    found = extent(volume, labels)
    assert found.base_step_mm == pytest.approx(6.0 * (lowest[1] - lowest[0]), abs=6.0)
    assert found.base_step_mm > 50


def test_without_ribs_there_is_no_cage_to_measure_against() -> None:
    found = _extent(Chest(ribs=False))
    assert found.rib_ring == 0.0
    assert found.smaller_cavity_share is None


@pytest.mark.parametrize("head_first", [False, True])
def test_lung_in_the_last_slice_is_cut_off_at_that_end(head_first: bool) -> None:
    shown = draw()
    labels = shown.right.astype(np.uint8) + 2 * shown.left.astype(np.uint8)
    part = slice(15, None)  # without the feet end
    hu, affine = shown.volume.hu[part], shown.volume.affine_lps.copy()
    if head_first:
        hu, labels = hu[::-1].copy(), labels[::-1].copy()
        affine[:3, 0] *= -1
        part = slice(None, len(labels) - 15)
    found = extent(type(shown.volume)(hu=hu, affine_lps=affine), labels[part])
    assert (found.reaches_foot_end, found.reaches_head_end) == (True, False)
