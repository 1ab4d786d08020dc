"""Infected bronchiectasis: gas in walls within dense lung, in its lobe, and the lesion is the whole of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.phantom.bronchiectasis import Conglomerate, grow, merged
from training.phantom.case import Patient, Phantom, Rendered
from training.phantom.geometry import Field, Grid
from training.phantom.lobes import Lobe
from training.phantom.scanner import Kernel, Scan
from training.phantom.tubes import Tubes

CENTRE = (-80.0, 45.0, -35.0)  # right lower lobe
CLEAN = Kernel(name="clean", psf_mm=0.6, noise_hu=1.0)
SCAN = Scan(slices=7, rows=150, columns=200, slice_mm=9.0, thickness_mm=1.0, pixel_mm=(1.6, 1.6), kernel=CLEAN)
THERE = replace(SCAN, centre_lps_mm=(0.0, 10.0, CENTRE[2]))
WELL = Phantom(seed=4)
ILL = replace(
    WELL,
    conglomerates=(Conglomerate(centre_lps_mm=CENTRE, lobe=Lobe.RIGHT_LOWER, reach_mm=30.0, cystic=0.8, plugged=0.1),),
)


@pytest.fixture(scope="module")
def well() -> Rendered:
    return Patient(WELL).scan(THERE)


@pytest.fixture(scope="module")
def ill() -> Rendered:
    return Patient(ILL).scan(THERE)


def test_the_lesion_is_a_group_in_its_lobe_with_gas_and_dense_lung_in_it(ill: Rendered, well: Rendered) -> None:
    lesion = ill.truth.right_lesion
    assert not ill.truth.left_lesion.any()
    assert 8.0 < ill.truth.right_lesion_ml < 200.0
    index = np.argwhere(lesion).mean(axis=0)
    assert (ill.volume.affine_lps @ (*index, 1.0))[:3] == pytest.approx(CENTRE, abs=22.0)
    hu = ill.volume.hu[lesion]
    assert (hu > -150).mean() > 0.3
    assert (hu < -900).mean() > 0.02  # lumina belong to it
    assert (well.volume.hu[lesion] > -150).mean() < 0.15


def test_lungs_and_what_lies_far_from_it_are_as_without(ill: Rendered, well: Rendered) -> None:
    assert np.array_equal(ill.truth.right_lung, well.truth.right_lung)
    assert np.array_equal(ill.truth.left_lung, well.truth.left_lung)
    assert np.abs(ill.volume.hu.astype(int) - well.volume.hu)[well.truth.left_lung].max() < 12  # noise follows the row
    outside = ~(well.truth.right_lung | well.truth.left_lung)
    assert np.abs(ill.volume.hu.astype(int) - well.volume.hu)[outside & (well.volume.hu > -200)].mean() < 3


def test_what_is_widened_has_the_sizes_of_textbooks_and_stays_in_the_lobe() -> None:
    rng = np.random.default_rng(3)
    start = rng.uniform(-30, 30, (200, 3))
    tree = Tubes(start=start, end=start + rng.normal(0, 4, (200, 3)), radius_mm=rng.uniform(0.4, 2.5, 200))
    wanted = Conglomerate(centre_lps_mm=(0.0, 0.0, 0.0), lobe=Lobe.RIGHT_LOWER, reach_mm=25.0)
    grown = grow(wanted, rng, tree, lambda p: 40.0 - np.abs(p).max(axis=1))
    assert len(grown.branches) > 6
    lumina, solid = Tubes.joined(grown.lumina), Tubes.joined(grown.solid)
    assert lumina.radius_mm.min() > 1.2
    assert lumina.radius_mm.max() < 10.0
    for tubes in (lumina, solid):
        for ends in (tubes.start, tubes.end):
            assert (40.0 - np.abs(ends).max(axis=1)).min() > 0.5
    walls = {round(b.wall_mm, 3) for b in grown.branches}
    assert min(walls) > 1.0
    assert max(walls) < 4.0


def test_bodies_that_lie_close_grow_together_and_others_do_not() -> None:
    grid = Grid(shape=(1, 1, 61), affine_lps=np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]])

    def balls(apart: float) -> Field:
        at = [np.array([[30.0 + sign * apart / 2, 0.0, 0.0]]) for sign in (-1, 1)]
        found: Field = merged([Tubes(start=a, end=a + 0.01, radius_mm=np.array([5.0])) for a in at], grid, 4.0)[0, 0]
        return found

    assert balls(14.0)[30] < 0.0  # a gap of 4 mm
    assert balls(30.0)[30] > 3.0
    assert balls(30.0)[0] > 5.0
