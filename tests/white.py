"""Consolidation painted into a chest from the bases up: what a lung model loses, and no phantom of ours draws."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.volume import Volume

WHITE_HU, NOISE_HU = 40.0, 20.0


def painted(volume: Volume, labels: NDArray[np.uint8], sides: Iterable[int], share: float) -> Volume:
    """The volume with the lowest `share` of these lungs white: whole slices, one voxel beyond the pleura."""
    rng = np.random.default_rng(0)
    hu = volume.hu.copy()
    upward = slice(None, None, -1) if volume.affine_lps[2, 0] < 0 else slice(None)
    for side in sides:
        lung = labels == side
        filled = np.cumsum(np.count_nonzero(lung, axis=(1, 2))[upward]) / np.count_nonzero(lung)
        lowest = np.arange(len(lung))[upward][filled <= share]
        white = np.zeros_like(lung)
        white[lowest] = lung[lowest]
        white = ndimage.binary_dilation(white)
        hu[white] = rng.normal(WHITE_HU, NOISE_HU, int(white.sum())).astype(np.int16)
    return replace(volume, hu=hu)
