"""Ground glass and consolidation of a requested size. Truth is where the blend is above one half.

A lesion field ranks every point of a lung by how readily COVID-19 pneumonia takes it: posterior, basal, near the
pleura, and in patches. The field is cut at the level above which the requested fraction of the lung lies, so the
affected fraction is right by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.phantom.geometry import Field, Grid, Mask, Point, cover, ellipsoid, noise

PLEURAL_DECAY_MM = 8.0  # PHANTOM.md: lesion density falls as exp(-distance / 8 mm)
PATCH_MM = 18.0  # correlation length of the patches
EDGE_MM = 4.0  # width of a lesion's border
FIELD_PER_MM = 1.0 / PATCH_MM  # typical slope of the field


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One lesion put where we want it: an ellipsoid, clipped to the lung it lies in."""

    centre_lps_mm: Point
    radii_mm: Point
    consolidation: bool = False


@dataclass(frozen=True, kw_only=True)
class Pathology:
    """What is wrong with this patient. Fractions of each lung's volume, 0 to 1."""

    right: float = 0.0
    left: float = 0.0
    consolidation_share: float = 0.15  # of the affected volume
    ground_glass_hu: float = 330.0  # added to the parenchyma
    consolidation_hu: float = 30.0
    placed: tuple[Lesion, ...] = ()

    def __post_init__(self) -> None:
        for name in ("right", "left", "consolidation_share"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is a fraction from 0 to 1, not {value}")


@dataclass(frozen=True, kw_only=True, eq=False)
class LesionMap:
    """On one grid: the blend of all lesions and of their consolidated part (0..1), and the truth per lung."""

    alpha: Field
    dense: Field
    right: Mask
    left: Mask


class Disease:
    """The lesions of one patient, to be asked about any grid."""

    def __init__(self, pathology: Pathology, rng: np.random.Generator) -> None:
        self.pathology = pathology
        self._patches = noise(rng, PATCH_MM)
        self._levels: dict[str, tuple[float, float]] = {}

    def fit(self, grid: Grid, right: Field, left: Field) -> None:
        """Find the levels at which the field holds the requested fractions, from lung distances on a coarse grid."""
        p = self.pathology
        for side, distance, fraction in (("right", right, p.right), ("left", left, p.left)):
            if fraction > 0.0 and np.any(distance < 0):
                field = self._field(grid, distance)[distance < 0]
                cuts = np.quantile(field, [1.0 - fraction, 1.0 - fraction * p.consolidation_share])
                low = -np.inf if fraction == 1.0 else float(cuts[0])
                self._levels[side] = (low, float(cuts[1]))

    def on(self, grid: Grid, right: Field, left: Field) -> LesionMap:
        """The lesions on a grid, given the signed distances to the two lungs there."""
        alpha = np.zeros(grid.shape, np.float32)
        dense = np.zeros(grid.shape, np.float32)
        for side, distance in (("right", right), ("left", left)):
            if side in self._levels:
                self._spread(side, grid, distance, alpha, dense)
        for lesion in self.pathology.placed:
            share = cover(ellipsoid(*grid.points(), lesion.centre_lps_mm, lesion.radii_mm), EDGE_MM)
            np.maximum(alpha, share, out=alpha)
            if lesion.consolidation:
                np.maximum(dense, share, out=dense)
        affected = alpha > 0.5
        return LesionMap(alpha=alpha, dense=dense, right=affected & (right < 0), left=affected & (left < 0))

    def _spread(self, side: str, grid: Grid, distance: Field, alpha: Field, dense: Field) -> None:
        low, high = self._levels[side]
        near = distance < EDGE_MM
        field = self._field(grid, distance)
        width = EDGE_MM * FIELD_PER_MM
        share = np.clip(0.5 + (field - low) / width, 0.0, 1.0)
        np.maximum(alpha, np.where(near, share, 0.0), out=alpha)
        np.maximum(dense, np.where(near, np.clip(0.5 + (field - high) / width, 0.0, 1.0), 0.0), out=dense)

    def _field(self, grid: Grid, distance: Field) -> Field:
        _, y, z = grid.points()
        pleural = np.exp(np.minimum(distance, 0.0) / PLEURAL_DECAY_MM)
        return np.asarray(self._patches.on(grid) + 1.1 * y / 60.0 - 0.7 * z / 60.0 + 0.8 * pleural, np.float32)
