"""The X-ray-like view and the key slices: orientation, aspect, colours, and the slices they come from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.keyslices import OUTLINE, key_slices
from models.projection import MARGIN, UNLABELLED, View, colours, project
from models.severity import LEFT, RIGHT
from models.volume import Volume
from tests.unit.models.chest import Drawn, draw


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return draw()


def _labels(drawn: Drawn) -> np.ndarray:
    return drawn.right.astype(np.uint8) * RIGHT + drawn.left.astype(np.uint8) * LEFT


def _upper_right(drawn: Drawn) -> np.ndarray:
    return drawn.right & np.broadcast_to(drawn.grid[0] > 40, drawn.right.shape)


def coronal_view(volume: Volume, labels: np.ndarray, lesions: np.ndarray | None, **how: Any) -> View:
    return project(volume, labels, lesions).view(**how)


def _redness(rgb: np.ndarray) -> np.ndarray:
    return rgb[..., 0].astype(int) - rgb[..., 1]


def test_lesion_of_the_right_upper_lobe_is_red_at_the_upper_left(drawn: Drawn) -> None:
    view = coronal_view(drawn.volume, _labels(drawn), _upper_right(drawn))
    picture = view.rgb[slice(*view.rows), slice(*view.columns)]
    rows, columns = np.nonzero(_redness(picture) > 60)
    assert rows.size > 1000
    assert rows.max() < 0.4 * picture.shape[0]
    assert columns.max() < 0.5 * picture.shape[1]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_view_does_not_depend_on_the_order_of_the_array(drawn: Drawn, axis: int) -> None:
    plain = coronal_view(drawn.volume, _labels(drawn), _upper_right(drawn))
    affine = drawn.volume.affine_lps.copy()
    affine[:3, 3] += affine[:3, axis] * (drawn.volume.shape[axis] - 1)
    affine[:3, axis] *= -1
    turned = replace(drawn.volume, hu=np.flip(drawn.volume.hu, axis).copy(), affine_lps=affine)
    view = coronal_view(turned, np.flip(_labels(drawn), axis), np.flip(_upper_right(drawn), axis))
    assert np.abs(view.rgb.astype(int) - plain.rgb).mean() < 1.0


def test_aspect_is_in_millimetres(drawn: Drawn) -> None:
    view = coronal_view(drawn.volume, _labels(drawn), None, pixel_mm=2.0)
    slices, _, columns = drawn.volume.shape
    assert view.rows[1] - view.rows[0] == round(slices * 6.0 / 2.0)
    assert view.columns[1] - view.columns[0] == round(columns * 2.5 / 2.0)


def test_share_is_lesion_over_lung_along_each_ray(drawn: Drawn) -> None:
    front_half = drawn.right & np.broadcast_to(drawn.grid[1] < 0, drawn.right.shape)
    share = project(drawn.volume, _labels(drawn), front_half).share
    assert share is not None
    middle, column = drawn.volume.shape[0] // 2, int((-75 + 190) / 2.5)
    assert share[middle, column] == pytest.approx(0.5, abs=0.03)
    assert np.isnan(share[middle, 2])


def test_without_lesions_the_picture_is_grey(drawn: Drawn) -> None:
    rgb = coronal_view(drawn.volume, _labels(drawn), None).rgb
    assert (rgb[..., 0] == rgb[..., 1]).all()


def test_the_right_mark_is_left_out_where_the_side_is_unknown(drawn: Drawn) -> None:
    corner = (slice(MARGIN, MARGIN + 40), slice(MARGIN, MARGIN + 30))
    known = coronal_view(drawn.volume, _labels(drawn), None).rgb[corner]
    unknown = coronal_view(replace(drawn.volume, oriented=False), _labels(drawn), None).rgb[corner]
    assert (known == 235).any()
    assert not (unknown == 235).any()


def test_without_a_bar_lung_that_shows_nothing_stays_grey(drawn: Drawn) -> None:
    view = coronal_view(drawn.volume, _labels(drawn), _upper_right(drawn), overlay=UNLABELLED)
    picture = view.rgb[slice(*view.rows), slice(*view.columns)].astype(int)
    lower = picture[picture.shape[0] // 2 :]
    assert (lower.max(axis=-1) == lower.min(axis=-1)).all()
    assert (_redness(picture) > 60).sum() > 1000


def test_colours_run_from_green_to_red() -> None:
    green, yellow, red = colours(np.array([0.0, 0.5, 1.0], dtype=np.float32))
    assert (green[0], green[1] > 150, red[0], red[1]) == (0, True, 255, 0)
    assert min(yellow[:2]) > 150


def test_key_slices_are_the_worst_apart_and_name_their_images(drawn: Drawn) -> None:
    lesions = np.zeros(drawn.volume.shape, dtype=np.bool_)
    lesions[10, 50:70, 40:60] = lesions[11, 50:69, 40:60] = True
    lesions[30, 50:60, 40:50] = True
    labels = np.where(lesions, np.uint8(RIGHT), np.uint8(0))
    shown = key_slices(drawn.volume, labels, lesions)
    assert [k.index for k in shown] == [10, 30]
    assert [k.source for k in shown] == [("2.25.11", 1), ("2.25.31", 1)]
    assert shown[0].lesion_mm2 == pytest.approx(20 * 20 * 2.5**2)


def test_key_slice_shows_the_right_side_on_the_left_and_the_front_above(drawn: Drawn) -> None:
    lesions = np.zeros(drawn.volume.shape, dtype=np.bool_)
    lesions[20, 30:45, 40:60] = True  # front, right
    labels = np.where(lesions, np.uint8(RIGHT), np.uint8(0))
    affine = drawn.volume.affine_lps.copy()
    affine[:3, 1:3] *= -1  # prone and mirrored columns: the array now runs the other way
    turned = Volume(hu=drawn.volume.hu, affine_lps=affine, sources=drawn.volume.sources)
    for volume, front, right in ((drawn.volume, True, True), (turned, False, False)):
        rgb = key_slices(volume, labels, lesions)[0].rgb
        rows, columns = np.nonzero((rgb == OUTLINE).all(axis=-1))
        assert (rows.mean() < rgb.shape[0] / 2) == front
        assert (columns.mean() < rgb.shape[1] / 2) == right


def test_no_lesion_no_key_slice(drawn: Drawn) -> None:
    assert key_slices(drawn.volume, _labels(drawn), np.zeros(drawn.volume.shape, dtype=np.bool_)) == ()
