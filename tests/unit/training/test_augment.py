"""Augmentation: pixels and masks move together, tissues keep their order."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from training.augment import CONTRAST_HU, TISSUES_HU, Augmentation, Pose, intensity, laid, redrawn


def test_a_pose_that_does_nothing_changes_nothing() -> None:
    maps = torch.rand(2, 3, 10, 13)
    torch.testing.assert_close(laid(maps, Pose(), (10, 13)), maps)


def test_a_smaller_plane_is_the_middle_and_a_larger_one_is_padded() -> None:
    maps = torch.rand(1, 1, 10, 14)
    torch.testing.assert_close(laid(maps, Pose(), (4, 6)), maps[:, :, 3:7, 4:10])
    wide = laid(maps, Pose(), (14, 20))
    torch.testing.assert_close(wide[:, :, 2:12, 3:17], maps)
    assert float(wide.sum()) == pytest.approx(float(maps.sum()), rel=1e-5)  # and nothing but zeros around it


def test_rotation_and_shift_go_where_they_say() -> None:
    maps = torch.zeros(1, 1, 21, 21)
    maps[0, 0, 10, 15] = 1.0  # five columns right of the centre
    turned = laid(maps, Pose(rotation_rad=math.pi / 2), (21, 21))
    assert float(turned[0, 0, 5, 10]) > 0.99  # five rows above it
    moved = laid(maps, Pose(rows=2.0, columns=5.0), (21, 21))
    assert float(moved[0, 0, 8, 10]) > 0.99
    larger = laid(maps, Pose(scale=2.0), (21, 21))
    assert float(larger[0, 0, 10, 20]) > 0.99


def test_mirroring_turns_left_and_right_about_the_middle() -> None:
    maps = torch.rand(2, 1, 7, 10, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(laid(maps, Pose(mirrored=True), (7, 10)), maps.flip(-1))
    how = Augmentation(mirrored=0.5)
    drawn = [Pose.drawn(np.random.default_rng(n), how, (7, 10), (7, 10)) for n in range(60)]
    assert 15 < sum(pose.mirrored for pose in drawn) < 45
    same = [Pose.drawn(np.random.default_rng(n), Augmentation(), (7, 10), (7, 10)) for n in range(60)]
    assert [replace(pose, mirrored=False) for pose in drawn] == same, "what is drawn beside stays as it is"


def test_a_drawn_pose_stays_within_its_ranges() -> None:
    rng = np.random.default_rng(1)
    how = Augmentation()
    poses = [Pose.drawn(rng, how, (180, 150), (176, 176)) for _ in range(200)]
    assert max(abs(p.rows) for p in poses) <= 2.0
    assert 10.0 < max(abs(p.columns) for p in poses) <= 13.0
    assert 14.0 < math.degrees(max(abs(p.rotation_rad) for p in poses)) <= 15.0
    assert {round(p.scale, 1) for p in poses} <= {0.9, 1.0, 1.1}


def test_redrawn_tissues_keep_their_order_and_lung_stays_darker_than_the_wall() -> None:
    rng = np.random.default_rng(2)
    hu = np.array(TISSUES_HU, dtype=np.float32)
    for _ in range(200):
        values = redrawn(hu, rng)
        assert (np.diff(values) >= 0).all()
        assert values[4] - values[2] >= CONTRAST_HU - 1e-2


def test_intensities_are_drawn_from_the_generator_and_the_input_is_left_alone() -> None:
    hu = np.random.default_rng(0).integers(-1000, 400, (2, 10, 13)).astype(np.int16)
    before = hu.copy()
    how = Augmentation(redrawn=0.5, eight_bit=0.5)
    once, again = (intensity(hu, np.random.default_rng(7), how) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(hu, before)
    shifts = {
        int((intensity(hu, np.random.default_rng(n), Augmentation(eight_bit=0.0)) - hu)[0, 0, 0]) for n in range(40)
    }
    assert len(shifts) > 20
    assert max(abs(s) for s in shifts) <= 30


def test_eight_bits_leave_at_most_256_greys() -> None:
    hu = np.arange(-1100, 500, dtype=np.int16).reshape(1, 40, 40)
    seen = intensity(hu, np.random.default_rng(3), Augmentation(eight_bit=1.0))
    assert 64 < len(np.unique(seen)) <= 256
