"""The contact sheet shows what it was given, foot first."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from models.volume import Volume
from training.phantom.sheet import ACROSS, TILE_PX, contact_sheet


def _brighter_upwards(slices: int, *, head_first: bool) -> Volume:
    hu = np.full((slices, 20, 31), -1000, np.int16) + np.linspace(0, 1200, slices).astype(np.int16)[:, None, None]
    affine = np.diag([5.0, 2.0, 2.0, 1.0])[[2, 1, 0, 3]]
    if head_first:
        hu, affine[2, 0] = hu[::-1].copy(), -5.0
    return Volume(hu=hu, affine_lps=affine)


def test_rows_run_from_foot_to_head_whatever_the_order_of_the_slices() -> None:
    rows = [("up", _brighter_upwards(30, head_first=False)), ("down", _brighter_upwards(30, head_first=True))]
    image = np.asarray(Image.open(io.BytesIO(contact_sheet(rows))).convert("L")).astype(int)
    assert image.shape == (2 * TILE_PX, ACROSS * TILE_PX)
    middle = image[TILE_PX - 10 :: TILE_PX, TILE_PX // 2 :: TILE_PX]
    assert (np.diff(middle, axis=1) > 0).all()
    assert np.abs(middle[0] - middle[1]).max() <= 12
