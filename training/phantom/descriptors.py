"""What the lesions of a case are like, in numbers: count, size, density, place. For the reference row of an evaluation.

The measures are those of DeepSC-COVID's lesion findings; where it leaves a unit open, the choice is stated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMALLEST_VOXELS = 10  # smaller components are not counted
DENSE_HU = -200.0  # above it consolidation
PLEURAL_MM = 10.0  # the paper's PLR for one depth of 0 to 35 mm, per slice

Mask = NDArray[np.bool_]


def descriptors(
    hu: NDArray[np.int16], lungs: Mask, lesions: Mask, spacing_mm: tuple[float, float, float]
) -> dict[str, float]:
    """Numbers that describe the lesions, all finite; zeros where there is none.

    Arrays are (slice, row, column), slices from foot to head and rows to the back. `count`: components over 26
    neighbours; `ratio`: of the lungs' volume; `dense`: share above -200 HU; `behind` and `below`: how far the lesions'
    middle lies behind and below the lungs', as a share of the lungs' depth and height; `pleural`: share within 10 mm
    of the lungs' border; `spread_mm`: standard deviation of the components' middles over all three axes.
    """
    lesions = lesions & lungs
    labelled, _ = ndimage.label(lesions, np.ones((3, 3, 3)))
    sizes = np.bincount(labelled.ravel())
    kept = np.flatnonzero(sizes >= SMALLEST_VOXELS)
    kept = kept[kept > 0]
    inside = np.isin(labelled, kept)
    found = dict.fromkeys(
        ("count", "volume_ml", "ratio", "mean_hu", "dense", "behind", "below", "pleural", "spread_mm"), 0.0
    )
    if not kept.size:
        return found
    middle, lung_middle = (np.argwhere(m).mean(0) for m in (inside, lungs))
    extent = np.maximum(np.ptp(np.argwhere(lungs), axis=0), 1)
    middles = np.array(ndimage.center_of_mass(inside, labelled, kept)) * spacing_mm
    found.update(
        count=float(kept.size),
        volume_ml=float(inside.sum() * np.prod(spacing_mm) / 1000.0),
        ratio=float(inside.sum() / lungs.sum()),
        mean_hu=float(hu[inside].mean()),
        dense=float((hu[inside] > DENSE_HU).mean()),
        behind=float((middle - lung_middle)[1] / extent[1]),
        below=float((lung_middle - middle)[0] / extent[0]),
        pleural=float(_near_border(lungs, spacing_mm)[inside].mean()),
        spread_mm=float(np.sqrt(middles.var(axis=0).sum())),
    )
    return found


def _near_border(lungs: Mask, spacing_mm: tuple[float, float, float]) -> Mask:
    """Lung within `PLEURAL_MM` of what is not, slice by slice."""
    near = np.zeros_like(lungs)
    for k in np.flatnonzero(lungs.any(axis=(1, 2))):
        near[k] = lungs[k] & (ndimage.distance_transform_edt(lungs[k], spacing_mm[1:]) <= PLEURAL_MM)
    return near
