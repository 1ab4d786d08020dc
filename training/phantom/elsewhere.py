"""What is not a chest: a head and a belly, for the gates that must say so."""

from __future__ import annotations

import numpy as np

from training.phantom.geometry import Field, Grid, cover, ellipsoid, superellipse

SKULL_HU, BRAIN_HU, CSF_HU, SCALP_HU = 1100.0, 34.0, 8.0, 20.0


def head_hu(grid: Grid) -> Field:
    """HU of a head: scalp, skull, brain, ventricles and a frontal sinus; no noise."""
    x, y, z = grid.points()
    skull = ellipsoid(x, y, z, (0.0, 10.0, 0.0), (72.0, 90.0, 85.0))
    hu = np.full(grid.shape, -1000.0, np.float32)
    hu = _over(hu, SCALP_HU, skull - 6.0)
    hu = _over(hu, SKULL_HU, skull)
    hu = _over(hu, BRAIN_HU, skull + 7.0)
    for sign in (-1.0, 1.0):
        hu = _over(hu, CSF_HU, ellipsoid(x, y, z, (sign * 11.0, 5.0, 10.0), (7.0, 32.0, 14.0)))
    return _over(hu, -1000.0, ellipsoid(x, y, z, (0.0, -64.0, -20.0), (14.0, 5.0, 10.0)))


def abdomen_hu(grid: Grid) -> Field:
    """HU of a belly: liver, kidneys, spine and bowel with gas; no noise."""
    x, y, z = grid.points()
    skin = superellipse(x, y - 8.0, 175.0, 125.0, 2.2)
    hu = np.full(grid.shape, -1000.0, np.float32)
    hu = _over(hu, -100.0, skin)
    hu = _over(hu, 45.0, skin + 22.0)
    hu = _over(hu, -95.0, skin + 36.0)
    hu = _over(hu, 60.0, ellipsoid(x, y, z, (-70.0, -10.0, 60.0), (70.0, 75.0, 110.0)))
    for sign in (-1.0, 1.0):
        hu = _over(hu, 32.0, ellipsoid(x, y, z, (sign * 62.0, 50.0, 0.0), (28.0, 26.0, 55.0)))
        hu = _over(hu, 30.0, ellipsoid(x, y, z, (sign * 80.0, -10.0, -90.0), (26.0, 28.0, 70.0)))
    hu = _over(hu, -950.0, ellipsoid(x, y, z, (80.0, -24.0, -90.0), (18.0, 12.0, 50.0)))
    return _over(hu, 240.0, superellipse(x, y - 76.0, 22.0, 18.0, 2.0))


def _over(hu: Field, value: float, distance: Field) -> Field:
    return np.asarray(hu + (value - hu) * cover(distance, 2.0), np.float32)
