"""Ground glass, crazy paving and consolidation of a requested size. Truth is where the blend is above one half.

Two ways to make a lung ill. *Spread*: a field ranks every point of a lung by how readily COVID-19 pneumonia takes it
(posterior, basal, near the pleura, in patches) and is cut at the level above which the requested fraction of that
lung lies. *Placed*: ragged ellipsoids where we want them, each with its own density and border, which grow together
until they hold the requested fraction of both lungs. Either way the affected fraction is right by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantom.anatomy import Lungs
from training.phantom.geometry import Field, Grid, Mask, Point, Reals, Sampled, ellipsoid, noise
from training.phantom.lobes import Lobe, lobe_distance

PLEURAL_DECAY_MM = 8.0  # PHANTOM.md: lesion density falls as exp(-distance / 8 mm)
PATCH_MM = 18.0  # correlation length of the patches
EDGE_MM = 4.0  # width of a lesion's border
SPREAD_EDGE_MM = 8.0  # of spread disease, which has none to speak of
FIELD_PER_MM = 1.0 / PATCH_MM  # typical slope of the field
FAR = 9.0  # border widths away: nothing
GROWTH = (0.05, 8.0)  # of placed lesions, when they are fitted to a volume
GROWTH_STEPS = 14


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One lesion put where we want it: a ragged ellipsoid, clipped to the lung, and if told the lobe, it lies in.

    `core` is the consolidated part by its radius, from 0 to 1.
    """

    centre_lps_mm: Point
    radii_mm: Point
    consolidation: bool = False
    core: float = 0.0
    added_hu: float | None = None  # of the ground glass; None: the pathology's
    paving: bool = False
    edge_mm: float = EDGE_MM
    ragged_mm: float = 0.0
    pleural_mm: float = 0.0  # how far it spreads along the pleura beyond its ellipsoid
    lobe: Lobe | None = None


@dataclass(frozen=True, kw_only=True)
class Pathology:
    """What is wrong with this patient. `right` and `left` are fractions of each lung's volume, 0 to 1, that the disease
    spreads over; `placed_fraction` is what the placed lesions shall take of both lungs together."""

    right: float = 0.0
    left: float = 0.0
    consolidation_share: float = 0.15  # of the affected volume
    ground_glass_hu: float = 330.0  # added to the parenchyma
    consolidation_hu: float = 30.0
    placed: tuple[Lesion, ...] = ()
    placed_fraction: float | None = None

    def __post_init__(self) -> None:
        for name in ("right", "left", "consolidation_share", "placed_fraction"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is a fraction from 0 to 1, not {value}")


@dataclass(frozen=True, kw_only=True, eq=False)
class LesionMap:
    """On one grid, in border widths from the border, negative inside: all lesions, and their consolidated and their
    paved parts. `added_hu` is what ground glass adds where it is."""

    outline: Field
    dense: Field
    paved: Field
    added_hu: Field


class Disease:
    """The lesions of one patient, to be asked about any grid."""

    def __init__(self, pathology: Pathology, rng: np.random.Generator) -> None:
        self.pathology = pathology
        self._patches = noise(rng, PATCH_MM)
        self._rough = noise(rng, 7.0)
        self._levels: dict[str, tuple[float, float]] = {}
        self._growth = 1.0

    def fit(self, grid: Grid, lungs: Lungs) -> None:
        """Find levels and growth that give the requested fractions, from the lungs on a coarse grid."""
        p = self.pathology
        for side, distance, fraction in (("right", lungs.right, p.right), ("left", lungs.left, p.left)):
            if fraction > 0.0 and np.any(distance < 0):
                field = self._field(grid, distance)[distance < 0]
                cuts = np.quantile(field, [1.0 - fraction, 1.0 - fraction * p.consolidation_share])
                low = -np.inf if fraction == 1.0 else float(cuts[0])
                self._levels[side] = (low, float(cuts[1]))
        if p.placed and p.placed_fraction is not None:
            self._grow(grid, lungs, p.placed_fraction)

    def on(self, grid: Grid, lungs: Lungs) -> LesionMap:
        """The lesions on a grid, given the lungs there."""
        outline, dense, paved = (np.full(grid.shape, FAR, np.float32) for _ in range(3))
        added = np.full(grid.shape, self.pathology.ground_glass_hu, np.float32)
        for side, distance in (("right", lungs.right), ("left", lungs.left)):
            if side in self._levels:
                low, high = self._levels[side]
                field, near = self._field(grid, distance), distance < EDGE_MM
                width = SPREAD_EDGE_MM * FIELD_PER_MM
                np.minimum(outline, np.where(near, np.maximum((low - field) / width, -FAR), FAR), out=outline)
                np.minimum(dense, np.where(near, (high - field) / width, FAR), out=dense)
        if self.pathology.placed:
            where = _Where.on(grid, lungs, self._patches, self._rough)
            for lesion in self.pathology.placed:
                self._place(lesion, where, outline, dense, paved, added)
        return LesionMap(outline=outline, dense=dense, paved=paved, added_hu=added)

    def _place(self, lesion: Lesion, where: _Where, outline: Field, dense: Field, paved: Field, added: Field) -> None:
        n = where.outline(lesion, self._growth)
        if lesion.added_hu is not None:
            added[n < np.minimum(outline, 0.5)] = lesion.added_hu
        np.minimum(outline, n, out=outline)
        if lesion.consolidation:
            np.minimum(dense, n, out=dense)
        elif lesion.core > 0:
            np.minimum(dense, where.outline(lesion, self._growth * lesion.core), out=dense)
        if lesion.paving:
            np.minimum(paved, n, out=paved)

    def _grow(self, grid: Grid, lungs: Lungs, fraction: float) -> None:
        """Bisection on the common growth of all placed lesions."""
        inside = np.minimum(lungs.right, lungs.left) < 0
        where = _Where.on(grid, lungs, self._patches, self._rough).only(inside)
        low, high = (float(np.log(g)) for g in GROWTH)
        for _ in range(GROWTH_STEPS):
            self._growth = float(np.exp((low + high) / 2))
            taken = np.zeros(where.right.shape, np.bool_)
            for lesion in self.pathology.placed:
                taken |= where.outline(lesion, self._growth) < 0
            if taken.mean() < fraction:
                low = float(np.log(self._growth))
            else:
                high = float(np.log(self._growth))

    def _field(self, grid: Grid, distance: Field) -> Field:
        _, y, z = grid.points()
        pleural = np.exp(np.minimum(distance, 0.0) / PLEURAL_DECAY_MM)
        ranked = self._patches.on(grid) + 0.25 * self._rough.on(grid) + 1.1 * y / 60.0 - 0.7 * z / 60.0 + 0.8 * pleural
        return np.asarray(ranked, np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Where:
    """Points, as a grid or a list, with what a placed lesion needs to know about each."""

    x: Field
    y: Field
    z: Field
    right: Field
    left: Field
    oblique: Field
    horizontal: Field
    rough: Field

    @staticmethod
    def on(grid: Grid, lungs: Lungs, patches: Sampled, rough: Sampled) -> _Where:
        x, y, z = grid.points()
        return _Where(
            x=x,
            y=y,
            z=z,
            right=lungs.right,
            left=lungs.left,
            oblique=lungs.oblique,
            horizontal=lungs.horizontal,
            rough=0.6 * patches.on(grid) + 0.8 * rough.on(grid),
        )

    def only(self, chosen: Mask) -> _Where:
        taken: dict[str, NDArray[np.float32]] = {}
        for name in ("x", "y", "z", "right", "left", "oblique", "horizontal", "rough"):
            taken[name] = np.broadcast_to(getattr(self, name), chosen.shape)[chosen]
        return _Where(**taken)

    def outline(self, lesion: Lesion, growth: float) -> Field:
        """Border widths from the border of a lesion grown by `growth`."""
        r = tuple(max(v * growth, 0.5) for v in lesion.radii_mm)
        d: Reals = ellipsoid(self.x, self.y, self.z, lesion.centre_lps_mm, (r[0], r[1], r[2]))
        if lesion.ragged_mm:
            d = d - min(lesion.ragged_mm, 0.5 * min(r)) * self.rough
        lung = np.minimum(self.right, self.left)
        if lesion.pleural_mm:
            d = d - min(lesion.pleural_mm, min(r)) * np.exp(np.minimum(lung, 0.0) / PLEURAL_DECAY_MM)
        if lesion.lobe is not None:
            d = np.maximum(d, lobe_distance(lesion.lobe, self.right, self.left, self.oblique, self.horizontal))
        elif lesion.centre_lps_mm[0] < 0:  # no lesion crosses the mediastinum
            d = np.maximum(d, self.right - EDGE_MM)
        else:
            d = np.maximum(d, self.left - EDGE_MM)
        return np.asarray(np.clip(d / lesion.edge_mm, -FAR, FAR), np.float32)
