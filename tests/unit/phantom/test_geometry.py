"""Grids, distances and noise: the frame everything else is drawn in."""

from __future__ import annotations

import numpy as np
import pytest

from training.phantom.geometry import Grid, box, capsule, cover, ellipsoid, noise
from training.phantom.scanner import Scan

LOPSIDED = Scan(slices=10, rows=20, columns=31, slice_mm=7.0, pixel_mm=(3.0, 2.0), tilt_deg=(11.0, -7.0))


def test_points_are_where_the_affine_puts_them() -> None:
    grid = LOPSIDED.grid()
    x, y, z = (np.broadcast_to(a, grid.shape) for a in grid.points())
    index = (3, 17, 29)
    expected = grid.affine_lps @ (*index, 1.0)
    assert (x[index], y[index], z[index]) == pytest.approx(expected[:3], abs=1e-3)


def test_untilted_grid_climbs_from_foot_to_head_back_and_left() -> None:
    grid = Scan(slices=3, rows=4, columns=5, slice_mm=7.0, pixel_mm=(3.0, 2.0)).grid()
    assert grid.affine_lps[:3, :3] == pytest.approx(np.array([[0, 0, 2.0], [0, 3.0, 0], [7.0, 0, 0]]))
    assert grid.affine_lps @ (1.0, 1.5, 2.0, 1.0) == pytest.approx([0.0, 10.0, 0.0, 1.0])


def test_index_box_holds_every_voxel_of_the_millimetre_box() -> None:
    grid = LOPSIDED.grid()
    low, high = np.array([-9.0, 0.0, -12.0]), np.array([8.0, 14.0, 15.0])
    x, y, z = grid.points()
    inside = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1]) & (z >= low[2]) & (z <= high[2])
    bounds = grid.index_bounds(low, high)
    assert bounds is not None
    first, last = bounds
    part = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    assert 0 < inside.sum() == inside[part].sum() < np.prod(grid.shape)


def test_box_outside_the_grid_is_none() -> None:
    assert LOPSIDED.grid().index_bounds(np.full(3, 900.0), np.full(3, 950.0)) is None


@pytest.mark.parametrize("permuted", [False, True])
def test_noise_on_the_patients_axes_is_the_noise_of_any_axes(permuted: bool) -> None:
    """The fast way along the axes gives what general interpolation gives, also where axes are swapped."""
    field = noise(np.random.default_rng(5), 18.0)
    grid = Scan(slices=10, rows=20, columns=31, slice_mm=7.0, pixel_mm=(3.0, 2.0)).grid()
    if permuted:
        grid = Grid(shape=(31, 10, 20), affine_lps=grid.affine_lps[:, [2, 0, 1, 3]])
    nearly = Grid(shape=grid.shape, affine_lps=grid.affine_lps + 1e-9 * (1 - np.eye(4)))
    assert np.abs(field.on(grid) - field.on(nearly)).max() < 1e-4
    assert field.on(grid).std() > 0.1


def test_distances_are_millimetres_near_the_surface() -> None:
    x = np.linspace(-40, 40, 81, dtype=np.float32)
    zero = np.zeros_like(x)
    ball = ellipsoid(x, zero, zero, (0.0, 0.0, 0.0), (20.0, 30.0, 10.0))
    assert ball[x == 22.0] == pytest.approx(2.0, abs=0.2)
    assert capsule(x, zero, zero + 4, (-10.0, 0.0, 0.0), (10.0, 0.0, 0.0), 3.0)[x == 0] == pytest.approx(1.0)
    assert box(x, zero, 6.0, 4.0, 1.0)[x == 9.0] == pytest.approx(3.0)


def test_edge_is_soft_over_its_width() -> None:
    assert cover(np.array([-3.0, -0.5, 0.0, 0.5, 3.0], np.float32), 2.0) == pytest.approx([1, 0.75, 0.5, 0.25, 0])
