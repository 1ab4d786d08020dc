"""Distances of surfaces: of shapes whose areas and distances are known, on voxels that are not cubes."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from numpy.typing import NDArray

from training.surfaces import surfaces

SPACING_MM = (1.2, 0.8, 1.3)
needs_monai = pytest.mark.skipif(importlib.util.find_spec("monai") is None, reason="the train extra is not installed")


def _box(slices: int) -> NDArray[np.bool_]:
    """40 rows (32 mm) and 20 columns (26 mm) wide, `slices` of 1.2 mm high, off the middle."""
    box = np.zeros((22, 50, 29), np.bool_)
    box[3 : 3 + slices, 6:46, 4:24] = True
    return box


@needs_monai
def test_a_box_whose_top_is_missing_is_as_far_as_geometry_says() -> None:
    """18 mm high in truth, 12 mm found; 6,808 square mm of surface in all. Further than t mm away are the true top
    (832), of its walls 116 (6 - t), and of the found top (32 - 2 t) (26 - 2 t), for a wall of the truth may be nearer.
    """
    found = surfaces(_box(10), _box(15), SPACING_MM)
    assert found.nsd_1mm == pytest.approx(1 - (832 + 580 + 720) / 6808, abs=0.02)
    assert found.nsd_3mm == pytest.approx(1 - (832 + 348 + 520) / 6808, abs=0.02)
    squares = 832 * 36 + 696 * 12 + 15840  # the last: 2 t (32 - 2 t) (26 - 2 t) from 0 to 6
    assert found.rmsd_mm == pytest.approx(np.sqrt(squares / 6808), rel=0.05)
    assert surfaces(_box(15), _box(10), SPACING_MM).rmsd_mm == pytest.approx(found.rmsd_mm)


@needs_monai
def test_a_mask_up_to_the_border_is_its_own_surface() -> None:
    whole = np.ones((4, 6, 5), np.bool_)
    found = surfaces(whole, whole, SPACING_MM)
    assert (found.nsd_1mm, found.nsd_3mm, found.rmsd_mm) == (1.0, 1.0, 0.0)


def test_an_empty_mask_has_no_surface() -> None:
    nothing, some = np.zeros((3, 4, 5), np.bool_), np.ones((3, 4, 5), np.bool_)
    neither = surfaces(nothing, nothing, SPACING_MM)
    assert (neither.nsd_1mm, neither.nsd_3mm) == (1.0, 1.0)
    for found in (surfaces(nothing, some, SPACING_MM), surfaces(some, nothing, SPACING_MM)):
        assert (found.nsd_1mm, found.nsd_3mm) == (0.0, 0.0)
        assert np.isnan(found.rmsd_mm)
