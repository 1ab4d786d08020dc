"""Model 32: lesions by HU thresholding inside the lungs.

CT triage (Goncharov et al., "CT-based COVID-19 triage: deep multitask learning improves joint identification and
severity quantification"), section 2.1.2; values from its section 4.3, a grid search over 79 annotated series.
Open in the paper and chosen here: sigma counts pixels of the papers' 2 mm in-plane grid and blurs in-plane only;
components join over 26 neighbours; the result stays inside the lungs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.grid import in_plane_shape, resample_hu, resample_mask
from models.morphology import components
from models.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Thresholding:
    """The paper's values (section 4.3)."""

    hu_min: float = -700.0
    hu_max: float = 300.0
    sigma: float = 4.0  # pixels of the grid, that is 8 mm
    level: float = 0.5
    smallest: float = 0.001  # V_min, fraction of the lung volume
    grid_mm: float = 2.0


def lesions(volume: Volume, lungs: NDArray[np.bool_], settings: Thresholding | None = None) -> NDArray[np.bool_]:
    """Lesion mask on the volume's own grid, (slice, row, column), inside `lungs`."""
    s = settings or Thresholding()
    shape = in_plane_shape(volume.shape, volume.spacing_mm[1:], s.grid_mm)
    hu = resample_hu(volume.hu, shape)
    inside = resample_mask(lungs, shape)
    dense = ((hu >= s.hu_min) & (hu <= s.hu_max) & inside).astype(np.float32)
    smooth = ndimage.gaussian_filter(dense, sigma=(0.0, s.sigma, s.sigma), mode="constant", truncate=4.0)
    found = components((smooth > s.level) & inside, round(s.smallest * int(inside.sum())), corners=True) > 0
    result: NDArray[np.bool_] = resample_mask(found, volume.shape) & lungs
    return result
