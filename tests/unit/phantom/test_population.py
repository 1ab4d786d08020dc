"""The population is as mixed as patients are, and nothing of the scanner goes with a class."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from training.phantom.body import Body
from training.phantom.case import Patient, Rendered
from training.phantom.descriptors import descriptors
from training.phantom.population import (
    LUNG_ML,
    MAIN,
    SHIFTED,
    Drawn,
    Kind,
    Label,
    bronchopneumonia,
    cap,
    covid,
    draw,
    room_of,
)
from training.phantom.scanner import Scan

VERSION_3 = (
    (0, "normal", 0, 0.0, 1.0),
    (3, "covid", 23, 0.014334, 1.464443),
    (5, "cap", 1, 0.065717, 1.0),
    (11, "cap", 7, 0.004, 1.0),
    (77, "cap", 8, 0.026571, 1.441482),
)
SMALL = Scan(slices=26, rows=96, columns=120, slice_mm=11.0, thickness_mm=2.0, pixel_mm=(4.0, 4.0))


def _small(drawn: Drawn) -> Rendered:
    """A quick look at a patient, wherever he would have been scanned."""
    return Patient(drawn.phantom).scan(replace(SMALL, centre_lps_mm=(0.0, 10.0, -8.0)))


@pytest.fixture(scope="module")
def many() -> list[Drawn]:
    return [draw(seed) for seed in range(64)]


def test_equal_seeds_draw_equal_patients_and_places_draw_their_own() -> None:
    assert draw(5) == draw(5)
    assert draw(5).phantom != draw(6).phantom
    assert draw(5, habits=SHIFTED).phantom.seed != draw(5).phantom.seed


def test_classes_come_in_their_shares(many: list[Drawn]) -> None:
    counts = Counter(d.label for d in many)
    assert 0.2 < counts[Label.COVID] / len(many) < 0.52
    assert 0.1 < counts[Label.CAP] / len(many) < 0.4
    assert counts[Label.NORMAL] + counts[Label.OTHER] > 0.24 * len(many)
    assert len({d.kind for d in many}) > 7


def test_a_quarter_of_pneumonias_is_drawn_by_the_others_rules(many: list[Drawn]) -> None:
    pneumonias = [d for d in many if d.kind in (Kind.COVID, Kind.CAP)]
    assert 0.08 < np.mean([d.crossed for d in pneumonias]) < 0.45
    assert not any(d.crossed for d in many if d not in pneumonias)


def test_scan_does_not_tell_the_class() -> None:
    """The same seed under every kind: same body, same scan but for the motion that the kind itself is."""
    kinds = [k for k in Kind if k is not Kind.MOTION]
    same = [draw(17, kind=kind) for kind in kinds]
    assert len({(d.scan, d.phantom.body, d.phantom.palette) for d in same}) == 1


def test_thickness_is_independent_of_spacing(many: list[Drawn]) -> None:
    spacing, thickness = (np.array([getattr(d.scan, n) for d in many]) for n in ("slice_mm", "thickness_mm"))
    assert abs(np.corrcoef(spacing, thickness)[0, 1]) < 0.35
    assert len(set(thickness)) == len(MAIN.thickness_mm)


def test_shifted_place_shares_no_kernel_and_no_thickness_with_the_first() -> None:
    assert not {k.name for k in MAIN.kernels} & {k.name for k in SHIFTED.kernels}
    assert not {(k.psf_mm, k.overshoot) for k in MAIN.kernels} & {(k.psf_mm, k.overshoot) for k in SHIFTED.kernels}
    assert not set(MAIN.thickness_mm) & set(SHIFTED.thickness_mm)
    assert not set(MAIN.pixels) & set(SHIFTED.pixels)
    assert MAIN.texture_mm[1] < SHIFTED.texture_mm[0]


def test_bodies_are_small_and_large_lean_and_obese_arms_up_and_down(many: list[Drawn]) -> None:
    bodies = [d.phantom.body for d in many if d.phantom.body is not None]
    widths = [2 * b.scale[0] * (b.half_width_mm + 17.0 + b.fat_mm) for b in bodies]
    assert min(widths) < 300
    assert max(widths) > 400
    assert 0.06 < np.mean([b.arms_down for b in bodies]) < 0.38
    assert min(b.fat_mm for b in bodies) < 8 < 40 < max(b.fat_mm for b in bodies)
    contrast = np.mean([d.phantom.palette.blood_hu > 100 for d in many])
    assert 0.1 < contrast < 0.42


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lungs_have_a_human_size_and_a_quarter_of_the_slices_shows_none(seed: int) -> None:
    drawn = draw(seed, kind=Kind.NORMAL)
    few = replace(drawn.scan, rows=96, columns=96, pixel_mm=(4.5, 4.5))
    truth = Patient(drawn.phantom).scan(few).truth
    for volume in (truth.right_ml, truth.left_ml):
        assert 0.85 * LUNG_ML[0] < volume < 1.1 * LUNG_ML[1]
    empty = ~(truth.right_lung | truth.left_lung).any(axis=(1, 2))
    assert 0.12 < empty.mean() < 0.5
    assert empty[0]
    assert empty[-1]


def _find(kind: Kind, seeds: range) -> Drawn:
    """The first patient of a kind who was drawn by his own rules."""
    return next(
        d for d in (draw(s, kind=kind) for s in seeds) if not d.crossed and not d.white_lung and _wanted(d) > 0.02
    )


def _wanted(drawn: Drawn) -> float:
    return drawn.phantom.pathology.placed_fraction or 0.0


def test_placed_lesions_grow_to_the_fraction_asked_for() -> None:
    for kind in (Kind.COVID, Kind.CAP):
        drawn = _find(kind, range(40, 60))
        truth = _small(drawn).truth
        lesions = truth.right_lesion_ml + truth.left_lesion_ml
        assert lesions / (truth.right_ml + truth.left_ml) == pytest.approx(_wanted(drawn), rel=0.25)


def test_bronchopneumonia_lies_in_clusters_of_small_patches_in_few_lobes() -> None:
    room, _, _ = room_of(draw(1).phantom)
    rng = np.random.default_rng(8)
    for _ in range(20):
        found = bronchopneumonia(room, rng, MAIN).placed
        assert len(found) >= 3
        assert max(max(lesion.radii_mm) for lesion in found) < 60.0
        centres = np.array([lesion.centre_lps_mm for lesion in found])
        apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)
        nearest = np.sort(apart, axis=1)[:, 1]
        assert np.median(nearest) < 25.0


def test_some_pneumonias_follow_the_bronchi_and_those_are_often_wide(many: list[Drawn]) -> None:
    caps = [d for d in many if d.kind is Kind.CAP and not d.crossed]
    along = [d for d in caps if len(d.phantom.pathology.placed) > 12]
    assert along
    assert any(d.phantom.bronchi > 1.0 for d in along)
    with_cysts = [d for d in many if d.phantom.conglomerates]
    assert 0 < len(with_cysts) < 0.15 * len(many)
    assert all(d.kind in (Kind.COVID, Kind.CAP) for d in with_cysts)
    well = [d for d in many if d.label is Label.NORMAL]
    assert sum(d.phantom.bronchi > 1.0 for d in well) < 0.1 * len(well)


def test_what_version_4_added_leaves_everybody_else_as_he_was(many: list[Drawn]) -> None:
    """New forms come from streams of their own, so that a library drawn before needs only the others drawn anew."""
    changed = 0
    for drawn in many[:32]:
        before = draw(drawn.seed, all_forms=False)
        body = drawn.phantom.body
        assert body is not None
        has_new = body.domes != Body().domes or bool(drawn.phantom.conglomerates)
        assert (drawn == before) is not has_new
        assert (drawn.kind, drawn.crossed, drawn.white_lung) == (before.kind, before.crossed, before.white_lung)
        assert drawn.phantom.seed == before.phantom.seed
        assert replace(drawn.scan, breath_mm=0.0) == before.scan
        changed += has_new
    assert 0.2 < changed / 32 < 0.6


def test_without_the_new_forms_patients_are_those_of_version_3() -> None:
    """Numbers that version 3 drew: seed, kind, lesions, their fraction, width of the bronchi."""
    for seed, *expected in VERSION_3:
        found = draw(seed, all_forms=False)
        p = found.phantom
        fraction = round(p.pathology.placed_fraction or 0.0, 6)
        assert [found.kind.value, len(p.pathology.placed), fraction, round(p.bronchi, 6)] == expected


def test_domes_stand_high_and_low_steep_and_flat_and_lungs_keep_a_human_size(many: list[Drawn]) -> None:
    bodies = [d.phantom.body for d in many if d.phantom.body is not None and d.phantom.body.domes != Body().domes]
    assert 0.2 < len(bodies) / len(many) < 0.45
    wide = [dome.wide for b in bodies for dome in b.domes]
    assert min(wide) < 0.95
    assert max(wide) > 1.2
    assert any(dome.bulge_mm for b in bodies for dome in b.domes)
    flat = [d.phantom for d in many if d.phantom.body is not None and d.phantom.body.domes[0].wide > 1.25]
    assert flat
    assert all(p.parenchyma.emphysema > 0 for p in flat)
    for b in bodies[:3]:
        _, smallest, largest = room_of(replace(many[0].phantom, body=b))
        assert 0.8 * LUNG_ML[0] < smallest
        assert largest < 1.2 * LUNG_ML[1]


def test_covid_has_more_lesions_than_cap_and_takes_more_of_the_lungs() -> None:
    """The published means: 4.4 against 1.7 lesions, 14.3 % against 4.4 % of the lungs."""
    room, _, _ = room_of(draw(1).phantom)
    rng = np.random.default_rng(6)
    many = [covid(room, rng, MAIN) for _ in range(400)]
    few = [cap(room, rng, MAIN) for _ in range(400)]
    assert np.mean([len(p.placed) for p in many]) == pytest.approx(4.9, abs=0.4)  # some grow together
    assert np.mean([len(p.placed) for p in few]) == pytest.approx(1.7, abs=0.2)
    assert np.mean([p.placed_fraction for p in many]) == pytest.approx(0.143, abs=0.025)
    assert np.mean([p.placed_fraction for p in few]) == pytest.approx(0.044, abs=0.01)
    assert np.mean([len(p.placed) == 1 for p in few]) == pytest.approx(0.55, abs=0.08)
    assert max(p.placed_fraction or 0 for p in many) > 0.5


@pytest.mark.parametrize("kind", [k for k in Kind if k not in (Kind.COVID, Kind.CAP)])
def test_what_is_no_pneumonia_has_no_lesion(kind: Kind) -> None:
    truth = _small(draw(3, kind=kind)).truth
    assert truth.right_ml > 300
    assert truth.right_lesion_ml == truth.left_lesion_ml == 0.0


def test_effusion_lies_behind_and_is_not_lung() -> None:
    drawn = draw(8, kind=Kind.EFFUSION)
    wet = _small(drawn)
    dry = _small(
        replace(
            drawn, phantom=replace(drawn.phantom, parenchyma=replace(drawn.phantom.parenchyma, effusion_mm=(0.0, 0.0)))
        )
    )
    lost = (dry.truth.right_lung | dry.truth.left_lung) & ~(wet.truth.right_lung | wet.truth.left_lung)
    assert lost.sum() * wet.truth.voxel_ml > 30
    assert -40 < np.median(wet.volume.hu[lost]) < 60
    rows = np.argwhere(dry.truth.right_lung | dry.truth.left_lung)[:, 1].mean()
    assert np.argwhere(lost)[:, 1].mean() > rows


def test_collapsed_lobe_is_dense_and_still_lung() -> None:
    drawn = draw(5, kind=Kind.COLLAPSE)
    shown = _small(drawn)
    whole = _small(
        replace(drawn, phantom=replace(drawn.phantom, parenchyma=replace(drawn.phantom.parenchyma, collapsed=None)))
    )
    lung = shown.truth.right_lung | shown.truth.left_lung
    assert np.array_equal(lung, whole.truth.right_lung | whole.truth.left_lung)
    assert ((shown.volume.hu[lung] > -100).mean() - (whole.volume.hu[lung] > -100).mean()) > 0.02


def test_descriptors_count_measure_and_place() -> None:
    lungs = np.zeros((10, 40, 62), bool)
    lungs[1:9, 5:35, 4:58] = True
    lesions = np.zeros_like(lungs)
    lesions[2:4, 28:33, 10:16] = True  # low and behind
    lesions[3, 30:34, 40:44] = True
    lesions[8, 6, 6] = True  # too small to count
    hu = np.where(lesions, -500, -850).astype(np.int16)
    hu[2] = np.where(lesions[2], 0, -850)
    found = descriptors(hu, lungs, lesions, (5.0, 2.0, 2.0))
    assert found["count"] == 2
    assert found["volume_ml"] == pytest.approx((60 + 16) * 0.02)
    assert found["ratio"] == pytest.approx(76 / lungs.sum())
    assert found["dense"] == pytest.approx(30 / 76)
    assert found["mean_hu"] == pytest.approx((-500 * 46) / 76)
    assert found["behind"] > 0.2
    assert found["below"] > 0.2
    assert 0.5 < found["pleural"] <= 1.0
    nothing = descriptors(hu, lungs, np.zeros_like(lungs), (5.0, 2.0, 2.0))
    assert set(nothing) == set(found)
    assert not any(nothing.values())
