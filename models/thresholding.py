"""Model 32: lesions by HU thresholding inside the lungs.

CT triage (Goncharov et al., "CT-based COVID-19 triage: deep multitask learning improves joint identification and
severity quantification"), section 2.1.2; values from its section 4.3, a grid search over 79 annotated series.
Open in the paper and chosen here: sigma counts pixels of the papers' 2 mm in-plane grid and blurs in-plane only;
components join over 26 neighbours; the result stays inside the lungs. The card of a bundle may bring other values:
`training.thresholds` searches for them as the paper did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.grid import in_plane_shape, resample_hu, resample_mask
from models.morphology import components
from models.volume import Volume

ARCHITECTURE = "thresholding"  # what the card of a bundle with values of its own names; it has no weights

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Thresholding:
    """The paper's values (section 4.3)."""

    hu_min: float = -700.0
    hu_max: float = 300.0
    sigma: float = 4.0  # pixels of the grid, that is 8 mm
    level: float = 0.5
    smallest: float = 0.001  # V_min, fraction of the lung volume
    grid_mm: float = 2.0

    @classmethod
    def of(cls, thresholds: Mapping[str, float]) -> Thresholding:
        """As the card of a model says; the paper's, where it does not. A card's names are those of `thresholds`."""
        names = {"HU min": "hu_min", "HU max": "hu_max", "sigma": "sigma", "V min": "smallest"}
        return cls(**{names[name]: value for name, value in thresholds.items() if name in names})

    @property
    def thresholds(self) -> dict[str, float]:
        """For a card."""
        return {"HU min": self.hu_min, "HU max": self.hu_max, "sigma": self.sigma, "V min": self.smallest}


def lesions(volume: Volume, lungs: NDArray[np.bool_], settings: Thresholding | None = None) -> NDArray[np.bool_]:
    """Lesion mask on the volume's own grid, (slice, row, column), inside `lungs`."""
    s = settings or Thresholding()
    shape = in_plane_shape(volume.shape, volume.spacing_mm[1:], s.grid_mm)
    inside = resample_mask(lungs, shape)
    found = components(dense(resample_hu(volume.hu, shape), inside, s), fewest(inside, s), corners=True) > 0
    result: NDArray[np.bool_] = resample_mask(found, volume.shape) & lungs
    return result


def dense(hu: NDArray[np.int16], inside: Mask, settings: Thresholding) -> Mask:
    """What of the lungs is dense once it is blurred, of whatever size; arrays on the grid."""
    s = settings
    there = ((hu >= s.hu_min) & (hu <= s.hu_max) & inside).astype(np.float32)
    smooth = ndimage.gaussian_filter(there, sigma=(0.0, s.sigma, s.sigma), mode="constant", truncate=4.0)
    result: Mask = (smooth > s.level) & inside
    return result


def fewest(inside: Mask, settings: Thresholding) -> int:
    """Voxels below which a component is no lesion."""
    return round(settings.smallest * int(inside.sum()))
