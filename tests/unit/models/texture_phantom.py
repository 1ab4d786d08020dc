"""A region of made-up tissue whose features PyRadiomics 3.0.1 has measured: pure arithmetic, equal on every machine.

How `pyradiomics.json` came about: `RadiomicsFeatureExtractor(binWidth=25)` of PyRadiomics 3.0.1 on `raw()` with 0
outside `mask()`, spacing 1 mm, image types Original (firstorder, glcm, glrlm, glszm) and Wavelet (glcm, glrlm).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHAPE = (18, 26, 35)


def mask() -> NDArray[np.bool_]:
    """A lopsided lump well inside the box, with a hole."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    lump = ((z - 8) / 4.2) ** 2 + ((y - 13) / 7.4) ** 2 + ((x - 16 - 0.3 * (y - 13)) / 9.1) ** 2 <= 1
    hole = (abs(z - 9) <= 1) & (abs(y - 11) <= 1) & (abs(x - 14) <= 2)
    return np.asarray(lump & ~hole)


def raw() -> NDArray[np.int16]:
    """Air to soft tissue, raw values (HU + 1024): a slope, blocks and a grain."""
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    grain = (z * 7919 + y * 104_729 + x * 1_299_709 + z * y * x * 31) % 197
    blocks = ((z // 3 + y // 4 + x // 5) % 3) * 90
    return np.asarray(120 + 6 * z + 4 * y + 3 * x + blocks + grain, np.int16)
