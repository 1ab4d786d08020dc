"""Model 34: the classical lungs, inflated and drawn back to the edge by an active contour.

COVID-MTL (Bao et al.), section 4.1 and Algorithm 1; steps and values from LungSegmentation.py:SegRefine of its
repository. What differs: right and left are known here (the repository takes the largest component and the rest);
the contour has a point every few mm, not every pixel, with the stiffness scaled to match.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import draw, measure, segmentation

from models.morphology import Mask, Millimetres, closed, eroded, holes
from models.severity import LEFT, RIGHT
from models.volume import PADDING_HU

_draw: Any = draw  # scikit-image leaves its functions untyped
_measure: Any = measure
_segmentation: Any = segmentation

INFLATION_MM = 10.0
CONTOUR_LEVEL = 0.8
GAMMA = 0.01  # scikit-image's default, which the repository leaves
# Solving costs the cube of the number of points. At 3 mm a lung's outline has 100-250, and no recess is cut short.
POINT_MM = 3.0
FEWEST_POINTS = 8  # a contour of fewer encloses less than 1 cm2


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """The repository's values; lengths in mm, where it has pixels of 1 mm."""

    small_slice_mm2: float = 15_000.0  # less lung than this, or one lung only: a small closing must do
    small_closing_mm: float = 5.0
    alpha: float = 0.02
    beta: float = 20.0
    iterations: int = 20
    erosion_mm: float = 2.0
    closing_mm: float = 10.0


# What `classical-lungs-refined` runs. The final erosion takes 2 mm off the whole surface of a lung, 6-7 % of its
# volume, and nothing gives it back: against two manual masks Dice falls from 0.98 to 0.96. Left out.
WITHOUT_EROSION = Refinement(erosion_mm=0.0)


def inflate(labels: NDArray[np.uint8], spacing_mm: Millimetres) -> NDArray[np.uint8]:
    """Each lung closed with a disk of INFLATION_MM in every slice: step 6 of the generic kernel of model 33 and the
    seed of model 34. Takes in vessels, and consolidation at the pleura up to about twice that."""
    result = np.zeros_like(labels)
    for side in (RIGHT, LEFT):
        whole = closed(labels == side, INFLATION_MM, spacing_mm)
        result[whole & (labels != RIGHT + LEFT - side) & (result == 0)] = side
    return result


def refine(
    hu: NDArray[np.int16],
    labels: NDArray[np.uint8],
    spacing_mm: Millimetres,
    settings: Refinement | None = None,
) -> NDArray[np.uint8]:
    """Labels RIGHT and LEFT refined, (slice, row, column), on a grid of about 1 mm in-plane."""
    r = settings or Refinement()
    pixel = spacing_mm[1] * spacing_mm[2]
    areas = {side: (labels == side).sum(axis=(1, 2)) * pixel for side in (RIGHT, LEFT)}
    large = (areas[RIGHT] > 0) & (areas[LEFT] > 0) & (areas[RIGHT] + areas[LEFT] >= r.small_slice_mm2)
    result = np.zeros_like(labels)
    for side in (RIGHT, LEFT):
        lung = labels == side
        whole = closed(lung, r.small_closing_mm, spacing_mm)
        whole[large] = _refined(hu[large], lung[large], spacing_mm, r)
        other = RIGHT + LEFT - side
        result[whole & (labels != other) & (result == 0)] = side
    return result


def _refined(
    hu: NDArray[np.int16], lung: NDArray[np.bool_], spacing_mm: Millimetres, r: Refinement
) -> NDArray[np.bool_]:
    """One lung in the slices that show both: inflated, drawn back, joined with what it was, and smoothed."""
    inflated = closed(lung, INFLATION_MM, spacing_mm)
    result = lung.copy()
    for s in np.flatnonzero(lung.any(axis=(1, 2))):
        result[s] |= _drawn_back(hu[s], inflated[s], (spacing_mm[1] + spacing_mm[2]) / 2.0, r)
    return closed(eroded(result, r.erosion_mm, spacing_mm), r.closing_mm, spacing_mm)


def _drawn_back(hu: NDArray[np.int16], inflated: Mask, pixel_mm: float, r: Refinement) -> Mask:
    """The inside of the active contours that start at the outline of `inflated`."""
    rows, columns = np.flatnonzero(inflated.any(axis=1)), np.flatnonzero(inflated.any(axis=0))
    margin = 4
    top, near = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    box = (slice(top, int(rows[-1]) + 1 + margin), slice(near, int(columns[-1]) + 1 + margin))
    mask = inflated[box]
    image = np.where(mask, hu[box] - PADDING_HU, 0).astype(np.float64)  # raw units: 0 outside the lung
    image /= max(1.0, float(image.max()))
    step = POINT_MM / pixel_mm
    inside = np.zeros_like(mask)
    for outline in _measure.find_contours(np.pad(mask, 1).astype(np.float64), CONTOUR_LEVEL):
        start = _spaced(outline - 1.0, step)
        if len(start) < FEWEST_POINTS:
            continue
        snake = _segmentation.active_contour(
            image, start, alpha=r.alpha / step**2, beta=r.beta / step**4, gamma=GAMMA, max_num_iter=r.iterations
        )
        inside |= _draw.polygon2mask(mask.shape, snake)
    result = np.zeros_like(inflated)
    result[box] = inside & (holes(mask) == 0)  # what is a hole still is a dome of the diaphragm
    return result


def _spaced(outline: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Points of a closed outline at equal distances of about `step` pixels; the last does not repeat the first."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(outline, axis=0), axis=1))])
    at = np.linspace(0.0, lengths[-1], max(1, round(lengths[-1] / step)), endpoint=False)
    return np.stack([np.interp(at, lengths, outline[:, axis]) for axis in (0, 1)], axis=1)
