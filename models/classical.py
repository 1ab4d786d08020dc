"""Model 33: lungs without learning, the 3-D hybrid that made COVID-MTL's cohort, and the generic kernel.

COVID-MTL (Bao et al.), sections 2.1 and 5.2; the steps follow LungSegmentation.py:segment_lung_mask of its published
repository, itself descended from the Kaggle Data Science Bowl 2017 kernels of ArnavJain and Mader. What differs:
slices stay where they are (the repository resamples to 1 mm isotropic; every step but the labelling is in-plane);
a component must lie mostly inside the body, so that hollow table parts drop out; the airways are taken out; both lungs
are kept although they are two components then; bowel gas is told by its density.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.airways import airways
from models.grid import in_plane_shape, resample_hu, resample_mask
from models.morphology import closed, components, eroded, filled, holes, opened

GRID_MM = 1.0  # the repository's
AIR_HU = -420  # raw value 604 = HU + 1024 in the kernel
BODY_HU = -400
BODY_GRID_MM = 2.0
BODY_OPENING_MM = 2.0  # parts blankets and thin table tops from the skin
# The chest wall of a thin patient is a few mm between two ribs, and opening breaks it: closing mends it, mostly.
BODY_CLOSING_MM = 10.0
SMALLEST_BODY = 0.1  # of the largest part: arms count, a blanket does not
INSIDE_BODY = 0.8  # of a component: where the body mask fails in a few slices, the lung is still the lung
# Gas is -1000, emphysema rarely below -950 in the median of a whole component.
GAS_MEDIAN_HU = -965
SECOND_LUNG = 0.05  # of the larger lung: less is a fragment
SMALLEST_FRAGMENT_ML = 10.0
CLEAR_OF_BASE = 0.3  # of the height of the lungs: below it a small pocket of air may be bowel
SMALLEST_LUNG_ML = 50.0  # below this nothing is called a lung
# Any vessel of a lung is thinner than 22 mm across; above that a hole may be a dome of the diaphragm.
SMALL_HOLE_MM2 = 400.0
DOME_STANDS = 0.5  # the share of a hole that is not lung one slice nearer to the feet
# Generic kernel (per slice)
KERNEL_EROSION_MM, KERNEL_CLOSING_MM = 2.0, 10.0


def hybrid_lungs(
    hu: NDArray[np.int16], spacing_mm: tuple[float, float, float], *, head_first: bool
) -> NDArray[np.bool_]:
    """Both lungs, (slice, row, column), on a grid of about 1 mm in-plane; empty where there is none."""
    body = body_mask(hu, spacing_mm)
    air = enclosed(hu < AIR_HU)
    air &= ~airways(hu, air, body, spacing_mm, head_first=head_first)
    lungs = _lung_components(hu, air, body, float(np.prod(spacing_mm)) / 1000.0, head_first=head_first)
    return _with_vessels(lungs, spacing_mm, head_first=head_first)


def enclosed(air: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The border cleared slice by slice: without the 2-D components that touch an edge of the image."""
    result = np.zeros_like(air)
    for s in range(air.shape[0]):
        labelled, count = ndimage.label(air[s])
        inner = np.ones(count + 1, dtype=np.bool_)
        inner[np.concatenate([labelled[0], labelled[-1], labelled[:, 0], labelled[:, -1]])] = False
        inner[0] = False
        result[s] = inner[labelled]
    return result


def generic_lungs(hu: NDArray[np.int16], spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    """The generic kernel, slice by slice: threshold, clear border, two largest areas, erosion 2, closing 10, fill."""
    result = enclosed(hu < AIR_HU)
    for s in range(hu.shape[0]):
        labelled, _ = ndimage.label(result[s])
        areas = np.bincount(labelled.ravel())
        areas[0] = 0
        largest = [label for label in np.argsort(areas)[-2:] if areas[label] > 0]
        result[s] = np.isin(labelled, largest)
    result = eroded(result, KERNEL_EROSION_MM, spacing_mm)
    return filled(closed(result, KERNEL_CLOSING_MM, spacing_mm))


def body_mask(hu: NDArray[np.int16], spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    """The patient without table and clothes, filled slice by slice: air inside the body is inside."""
    shape = in_plane_shape(_shape(hu), spacing_mm[1:], BODY_GRID_MM)
    mm = (spacing_mm[0], spacing_mm[1] * hu.shape[1] / shape[1], spacing_mm[2] * hu.shape[2] / shape[2])
    parts = components(opened(resample_hu(hu, shape) > BODY_HU, BODY_OPENING_MM, mm))
    sizes = np.bincount(parts.ravel())
    if sizes.size < 2:
        return np.zeros(hu.shape, dtype=np.bool_)
    kept = np.flatnonzero(sizes >= SMALLEST_BODY * sizes[1])
    body = np.isin(parts, kept[kept > 0])
    body = closed(body, BODY_CLOSING_MM, mm)
    return resample_mask(filled(body), _shape(hu))


def _lung_components(
    hu: NDArray[np.int16], air: NDArray[np.bool_], body: NDArray[np.bool_], voxel_ml: float, *, head_first: bool
) -> NDArray[np.bool_]:
    """The two lungs, or the one they form, and fragments that consolidation cut off."""
    smallest = max(1, round(SMALLEST_FRAGMENT_ML / voxel_ml))
    parts = components(air, smallest)
    count = int(parts.max())
    sizes = np.bincount(parts.ravel(), minlength=count + 1) * voxel_ml
    in_body = np.bincount(parts[body], minlength=count + 1) * voxel_ml
    boxes = ndimage.find_objects(parts)
    candidates = [
        label
        for label in range(1, count + 1)
        if in_body[label] >= INSIDE_BODY * sizes[label]
        and _median(hu[boxes[label - 1]], parts[boxes[label - 1]] == label) > GAS_MEDIAN_HU
    ]
    if not candidates or sizes[candidates[0]] < SMALLEST_LUNG_ML:
        return np.zeros_like(air)
    main = [label for label in candidates if sizes[label] >= SECOND_LUNG * sizes[candidates[0]]][:2]
    kept = main + [label for label in candidates if label not in main and _above_base(boxes, label, main, head_first)]
    return np.isin(parts, kept)


def _median(hu: NDArray[np.int16], mask: NDArray[np.bool_]) -> float:
    values = hu[mask]
    return float(np.median(values[:: max(1, values.size // 100_000)]))


def _with_vessels(
    lungs: NDArray[np.bool_], spacing_mm: tuple[float, float, float], *, head_first: bool
) -> NDArray[np.bool_]:
    """Holes closed slice by slice: vessels, nodules and consolidation inside a lung are lung. A dome of the diaphragm
    is a hole too where lung surrounds it; it is told by standing on what is not lung."""
    result = lungs.copy()
    small = SMALL_HOLE_MM2 / (spacing_mm[1] * spacing_mm[2])
    from_feet = list(range(lungs.shape[0]))[:: -1 if head_first else 1]
    below = np.zeros_like(lungs[0])
    for s in from_feet:
        numbered = holes(lungs[s])
        area = np.bincount(numbered.ravel())
        standing = np.bincount(numbered[~below], minlength=area.size)
        keep = (area <= small) | (standing <= DOME_STANDS * area)
        keep[0] = False
        result[s] |= keep[numbered]
        below = result[s]
    return result


def _above_base(boxes: list[tuple[slice, ...]], label: int, main: list[int], head_first: bool) -> bool:
    """Whether a fragment lies clear of the lung bases, where bowel gas is."""
    low, high = min(boxes[m - 1][0].start for m in main), max(boxes[m - 1][0].stop for m in main)
    middle = (boxes[label - 1][0].start + boxes[label - 1][0].stop) / 2.0
    height = (middle - low) / max(1, high - low)  # 0 at the first slice of the lungs
    return bool((1.0 - height if head_first else height) > CLEAR_OF_BASE)


def _shape(array: NDArray[np.int16]) -> tuple[int, int, int]:
    slices, rows, columns = array.shape
    return slices, rows, columns
