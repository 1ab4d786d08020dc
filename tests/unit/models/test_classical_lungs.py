"""Lungs without learning: which are found, which side is which, and what never becomes lung."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.predict import LungMasks, resolve
from models.severity import LEFT, RIGHT
from models.volume import Volume
from tests.unit.models.chest import LEFT_LUNG, RIGHT_LUNG, Chest, Drawn, Ellipsoid, dice, draw


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return draw()


def _lungs(volume: Volume, name: str = "classical-lungs") -> LungMasks:
    return resolve(name, "lungs").lungs(volume)


@pytest.mark.parametrize("name", ["classical-lungs", "classical-lungs-refined"])
def test_each_lung_is_found_on_its_side(drawn: Drawn, name: str) -> None:
    labels = _lungs(drawn.volume, name).labels
    assert dice(labels == RIGHT, drawn.right) > 0.97
    assert dice(labels == LEFT, drawn.left) > 0.97


def test_trachea_is_no_lung(drawn: Drawn) -> None:
    labels = _lungs(drawn.volume).labels
    assert not labels[drawn.trachea].any()


def test_generic_kernel_finds_lung_in_every_slice_with_lung(drawn: Drawn) -> None:
    labels = _lungs(drawn.volume, "generic-lungs").labels
    assert dice(labels > 0, drawn.right | drawn.left) > 0.9


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sides_follow_the_patient_and_not_the_array(drawn: Drawn, axis: int) -> None:
    flipped = _flipped(drawn.volume, axis)
    labels = np.flip(_lungs(flipped).labels, axis)
    assert dice(labels == RIGHT, drawn.right) > 0.97


def test_sides_are_named_by_size_where_the_orientation_is_unknown(drawn: Drawn) -> None:
    mirrored = replace(_flipped(drawn.volume, 2), affine_lps=drawn.volume.affine_lps, oriented=False)
    masks = _lungs(mirrored)
    assert masks.sides_by_size
    assert dice(np.flip(masks.labels, 2) == RIGHT, drawn.right) > 0.97


@pytest.mark.parametrize(("chest", "side"), [(Chest(right=None), LEFT), (Chest(left=None), RIGHT)])
def test_a_white_lung_is_missing_and_its_neighbour_stays_whole(chest: Chest, side: int) -> None:
    shown = draw(chest)
    labels = _lungs(shown.volume).labels
    assert dice(labels == side, shown.right | shown.left) > 0.97
    assert not (labels == RIGHT + LEFT - side).any()


def test_a_remnant_of_a_white_lung_is_not_given_to_the_other_side() -> None:
    remnant = Ellipsoid(centre=(85, 0, -75), half=(25, 40, 30))
    shown = draw(Chest(right=remnant))
    labels = _lungs(shown.volume).labels
    assert dice(labels == LEFT, shown.left) > 0.97
    assert dice(labels == RIGHT, shown.right) > 0.9


def test_consolidation_at_the_pleura_is_lung() -> None:
    lesion = Ellipsoid(centre=(0, 80, -75), half=(12, 18, 6))
    shown = draw(Chest(dense=((lesion, 30),)), pixel_mm=1.5)
    inside = (shown.volume.hu > -300) & shown.right
    labels = _lungs(shown.volume).labels
    assert inside.sum() > 50
    assert (labels[inside] == RIGHT).mean() > 0.8


def test_a_dome_of_the_diaphragm_is_no_lung() -> None:
    dome = Ellipsoid(centre=(-125, 0, 78), half=(70, 40, 25))
    shown = draw(Chest(dense=((dome, 50),)))
    tissue = shown.left & (shown.volume.hu > -300)
    labels = _lungs(shown.volume).labels
    assert tissue.sum() > 1000
    assert (labels[tissue] == 0).mean() > 0.8


def test_a_vessel_is_lung() -> None:
    vessel = Ellipsoid(centre=(0, 0, 78), half=(60, 6, 6))
    shown = draw(Chest(dense=((vessel, 40),)))
    inside = shown.left & (shown.volume.hu > -300)
    assert (_lungs(shown.volume).labels[inside] == LEFT).mean() > 0.95


def test_bowel_gas_is_no_lung() -> None:
    stomach = Ellipsoid(centre=(-135, -20, 60), half=(14, 40, 40))
    short = replace(LEFT_LUNG, centre=(30, 0, 78), half=(85, 80, 50))
    higher = replace(RIGHT_LUNG, centre=(30, 0, -75), half=(85, 85, 58))
    shown = draw(Chest(left=short, right=higher, dense=((stomach, -1000),)))
    gas = (shown.volume.hu < -950) & np.broadcast_to(shown.grid[0] < -120, shown.volume.shape)
    gas &= np.broadcast_to(np.hypot(shown.grid[2] - 60, shown.grid[1] + 20) < 45, gas.shape)
    assert gas.sum() > 500
    assert not _lungs(shown.volume).labels[gas].any()


def test_air_around_a_cylinder_is_no_lung() -> None:
    shown = draw(Chest(right=None, left=None, trachea=False))
    assert not _lungs(shown.volume).labels.any()


def _flipped(volume: Volume, axis: int) -> Volume:
    affine = volume.affine_lps.copy()
    affine[:3, 3] += affine[:3, axis] * (volume.shape[axis] - 1)
    affine[:3, axis] *= -1
    return replace(volume, hu=np.ascontiguousarray(np.flip(volume.hu, axis)), affine_lps=affine)
