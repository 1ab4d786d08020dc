"""A phantom's truth is exact, and its voxels look to a threshold as a chest does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.volume import PADDING_HU
from training.phantom.case import Patient, Phantom, Region, Rendered
from training.phantom.pathology import Lesion, Pathology
from training.phantom.scanner import SHARP, Scan
from training.phantom.study import SMALL

SICK = Phantom(seed=9, pathology=Pathology(right=0.38, left=0.12))
OBLIQUE = replace(SMALL, tilt_deg=(9.0, -6.0), rows=110, columns=131, pixel_mm=(3.0, 2.8))


@pytest.fixture(scope="module")
def sick() -> Rendered:
    return Patient(SICK).scan(SMALL)


@pytest.fixture(scope="module")
def normal() -> Rendered:
    return Patient(Phantom(seed=2)).scan(SMALL)


def _centroid(shown: Rendered, mask: np.ndarray) -> np.ndarray:
    index = np.argwhere(mask).mean(axis=0)
    return (shown.volume.affine_lps @ (*index, 1.0))[:3]


def test_requested_fractions_arrive(sick: Rendered) -> None:
    assert sick.truth.right_fraction == pytest.approx(0.38, abs=0.01)
    assert sick.truth.left_fraction == pytest.approx(0.12, abs=0.01)
    assert sick.truth.affected_fraction == sick.truth.right_fraction


@pytest.mark.parametrize("scan", [OBLIQUE, replace(SMALL, slices=80, slice_mm=3.0, thickness_mm=1.5)])
def test_truth_is_the_same_patient_on_every_grid(sick: Rendered, scan: Scan) -> None:
    other = Patient(SICK).scan(scan).truth
    assert other.right_ml == pytest.approx(sick.truth.right_ml, rel=0.02)
    assert other.left_ml == pytest.approx(sick.truth.left_ml, rel=0.02)
    assert other.right_fraction == pytest.approx(sick.truth.right_fraction, abs=0.015)
    assert other.left_fraction == pytest.approx(sick.truth.left_fraction, abs=0.015)


def test_lungs_are_two_on_their_sides_and_of_human_size(sick: Rendered) -> None:
    truth = sick.truth
    assert not (truth.right_lung & truth.left_lung).any()
    assert _centroid(sick, truth.right_lung)[0] < -40 < 40 < _centroid(sick, truth.left_lung)[0]
    assert 1500 < truth.right_ml + truth.left_ml < 9000
    assert 1.0 < truth.right_ml / truth.left_ml < 1.6


def test_lesions_lie_inside_their_lung_posterior_and_basal(sick: Rendered) -> None:
    truth = sick.truth
    assert not (truth.right_lesion & ~truth.right_lung).any()
    assert not (truth.left_lesion & ~truth.left_lung).any()
    lung, lesion = _centroid(sick, truth.right_lung), _centroid(sick, truth.right_lesion)
    assert lesion[1] > lung[1] + 10
    assert lesion[2] < lung[2] - 5


def test_hounsfield_units_are_those_of_lung_ground_glass_and_consolidation(sick: Rendered) -> None:
    truth, hu = sick.truth, sick.volume.hu
    lesion = truth.right_lesion | truth.left_lesion
    healthy = (truth.right_lung | truth.left_lung) & ~lesion
    assert -920 < np.median(hu[healthy]) < -780
    assert -700 < np.median(hu[lesion]) < -300
    dense = (hu[lesion] > -100).mean()
    assert 0.05 < dense < 0.3
    assert hu.min() > PADDING_HU


def test_vessels_fill_as_much_of_a_normal_lung_as_in_people(normal: Rendered) -> None:
    """Advice from a real normal: 6 to 12 % of lung voxels exceed -700 HU, edges included."""
    lung = normal.truth.right_lung | normal.truth.left_lung
    assert 0.04 < (normal.volume.hu[lung] > -700).mean() < 0.14


def test_trachea_is_gas_and_not_lung(normal: Rendered) -> None:
    index = np.linalg.inv(normal.volume.affine_lps) @ (0.3, 27.0, 75.0, 1.0)
    s, r, c = np.rint(index[:3]).astype(int)
    assert normal.volume.hu[s, r, c] < -850
    assert not (normal.truth.right_lung | normal.truth.left_lung)[s, r - 2 : r + 3, c - 2 : c + 3].any()


@pytest.mark.parametrize("scan", [SMALL, OBLIQUE])
def test_placed_lesion_is_where_it_was_put(scan: Scan) -> None:
    centre = (-78.0, 54.0, -34.0)  # right lower lobe
    phantom = Phantom(seed=4, pathology=Pathology(placed=(Lesion(centre_lps_mm=centre, radii_mm=(16.0, 14.0, 18.0)),)))
    shown = Patient(phantom).scan(scan)
    assert not shown.truth.left_lesion.any()
    assert shown.truth.right_lesion_ml == pytest.approx(4 / 3 * np.pi * 16 * 14 * 18 / 1000, rel=0.1)
    assert _centroid(shown, shown.truth.right_lesion) == pytest.approx(centre, abs=2.0)
    hu = shown.volume.hu
    around = shown.truth.right_lung & ~shown.truth.right_lesion
    assert np.median(hu[shown.truth.right_lesion]) > np.median(hu[around]) + 200


def test_opaque_lung_is_still_lung_in_the_truth() -> None:
    shown = Patient(Phantom(seed=6, pathology=Pathology(right=0.1, left=0.95, consolidation_share=0.97))).scan(SMALL)
    assert shown.truth.left_ml > 1000
    assert (shown.volume.hu[shown.truth.left_lung] > -420).mean() > 0.85


def test_whole_lung_may_be_affected() -> None:
    assert Patient(Phantom(seed=6, pathology=Pathology(left=1.0))).scan(SMALL).truth.left_fraction == 1.0


def test_equal_seeds_give_equal_voxels_and_others_do_not(sick: Rendered) -> None:
    again = Patient(SICK).scan(SMALL)
    assert np.array_equal(again.volume.hu, sick.volume.hu)
    assert np.array_equal(again.truth.right_lesion, sick.truth.right_lesion)
    other = Patient(replace(SICK, seed=10)).scan(SMALL)
    assert not np.array_equal(other.truth.right_lung, sick.truth.right_lung)


@pytest.mark.parametrize("region", [Region.HEAD, Region.ABDOMEN])
def test_elsewhere_there_is_a_body_but_no_lung(region: Region) -> None:
    shown = Patient(Phantom(seed=1, region=region)).scan(SMALL)
    assert shown.truth.right_ml == shown.truth.left_ml == 0.0
    assert shown.truth.affected_fraction == 0.0
    body = shown.volume.hu[SMALL.slices // 2] > -300
    assert 0.08 < body.mean() < 0.8


def test_outside_the_circle_nothing_is_measured() -> None:
    hu = Patient(Phantom(seed=2)).scan(replace(SMALL, circle=True)).volume.hu
    assert (hu[:, 0, 0] == PADDING_HU).all()
    assert (hu[:, SMALL.rows // 2, SMALL.columns // 2] > PADDING_HU).all()


def test_breathing_blurs_the_diaphragm_and_moves_no_border(normal: Rendered) -> None:
    breathing = Patient(Phantom(seed=2)).scan(replace(SMALL, breath_mm=9.0))
    assert np.array_equal(breathing.truth.right_lung, normal.truth.right_lung)
    assert np.array_equal(breathing.truth.left_lung, normal.truth.left_lung)
    between = [((shown.volume.hu > -600) & (shown.volume.hu < -200)).sum() for shown in (normal, breathing)]
    assert between[1] > 1.1 * between[0]
    aired = [(shown.volume.hu[shown.truth.right_lung] < -400).mean() for shown in (normal, breathing)]
    assert aired[1] == pytest.approx(aired[0], abs=0.02)


def test_sharp_kernel_is_noisier_than_soft() -> None:
    patient = Patient(Phantom(seed=3))
    corner = np.s_[:, :8, :8]
    soft = patient.scan(SMALL).volume.hu[corner].std()
    sharp = patient.scan(replace(SMALL, kernel=SHARP)).volume.hu[corner].std()
    assert 5 < soft < 0.7 * sharp


def test_fraction_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="right is a fraction"):
        Pathology(right=38.0)
