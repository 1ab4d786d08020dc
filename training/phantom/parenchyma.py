"""What fills the lungs besides pneumonia: density, gravity, fissures, emphysema, fibrosis, atelectasis, nodules.

None of it is a lesion in the truth: it is what a lesion has to be told from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.phantom.geometry import Field, Grid, Point, Reals, noise, tile
from training.phantom.lobes import Lobe

GAS_HU = -985.0
SOFT_HU = 35.0
FISSURE_MM = 0.35
MOSAIC_MM = 22.0
HONEYCOMB_MM = 2.2  # correlation length of the texture whose zero lines are septa: cells of 5 to 10 mm
TISSUE_MM = 0.9


@dataclass(frozen=True, kw_only=True)
class Nodule:
    """A solid ball with, if told, spikes; a mass where it is large."""

    centre_lps_mm: Point
    radius_mm: float
    spikes: int = 0


@dataclass(frozen=True, kw_only=True)
class Parenchyma:
    """One patient's lung tissue. Strengths run from 0, none, to 1, severe."""

    hu: float = -855.0
    gravity_hu: float = 45.0  # front to back
    texture_hu: float = 14.0  # one standard deviation of the fine texture
    texture_mm: float = 1.6
    mosaic_hu: float = 8.0
    fissures: bool = True
    dependent_mm: float = 0.0  # depth of atelectasis at the lowest pleura
    emphysema: float = 0.0
    emphysema_mm: float = 4.0
    fibrosis: float = 0.0
    nodules: tuple[Nodule, ...] = ()
    collapsed: Lobe | None = None
    collapse_mm: float = 65.0  # what is left of it, from the hilum
    effusion_mm: tuple[float, float] = (0.0, 0.0)  # right, left


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """Where the pixels of one slice lie: distance to the lung's surface, depth to the back, height, in mm."""

    lung: Field
    depth: Field
    height: Field


class Tissue:
    """The textures of one patient's lungs, to be asked slice by slice."""

    def __init__(self, parenchyma: Parenchyma, rng: np.random.Generator) -> None:
        self.parenchyma = parenchyma
        self._fine = tile(rng, parenchyma.texture_mm, 2.0)
        self._septa = tile(rng, HONEYCOMB_MM, 2.0)
        self._mosaic = noise(rng, MOSAIC_MM)
        self._holes = tile(rng, parenchyma.emphysema_mm, 2.5) if parenchyma.emphysema > 0 else self._septa

    def hu(self, grid: Grid, place: Place) -> Field:
        """HU (row, column) of healthy and unhealthy tissue on one slice's grid, without vessels and pneumonia."""
        p = self.parenchyma
        mosaic = self._mosaic.on(grid)[0]
        hu: Reals = (
            p.hu + p.gravity_hu * place.depth / 150.0 + p.mosaic_hu * mosaic + p.texture_hu * self._fine.on(grid)[0]
        )
        if p.emphysema > 0:
            self._riddle(hu, grid, place, mosaic)
        if p.fibrosis > 0:
            self._scar(hu, grid, place, mosaic)
        if p.dependent_mm > 0:
            _sink(hu, place, p.dependent_mm * (1.0 + 0.35 * mosaic))
        return np.asarray(hu, np.float32)

    def fine(self, grid: Grid) -> Field:
        """What varies over some mm on one slice's grid, mean 0 and variance 1."""
        plane: Field = self._fine.on(grid)[0]
        return plane

    def mosaic(self, grid: Grid) -> Field:
        """What varies over some cm on one slice's grid, mean 0 and variance 1."""
        plane: Field = self._mosaic.on(grid)[0]
        return plane

    def septa(self, grid: Grid, wide: float) -> Field:
        """Walls of secondary lobules on one slice's grid, 0..1."""
        return np.asarray(np.clip(1.0 - np.abs(self._septa.on(grid)[0]) / wide, 0.0, 1.0), np.float32)

    def _riddle(self, hu: Reals, grid: Grid, place: Place, mosaic: Field) -> None:
        """Centrilobular holes, more of them above; at the pleura they run together into bullae."""
        p = self.parenchyma
        upper = 1.0 / (1.0 + np.exp(-place.height / 45.0))
        want = p.emphysema * (0.5 + upper + 0.3 * mosaic) + 0.4 * p.emphysema * np.exp(place.lung / 6.0)
        hole = np.clip((self._holes.on(grid)[0] + 1.6 * want - 1.75) / 0.6, 0.0, 1.0)
        hu += hole * (GAS_HU + 15.0 - hu)
        hu -= 45.0 * p.emphysema * upper

    def _scar(self, hu: Reals, grid: Grid, place: Place, mosaic: Field) -> None:
        """Reticulation and honeycombs under the basal pleura."""
        basal = 1.0 / (1.0 + np.exp((place.height + 15.0 + 20.0 * mosaic) / 28.0))
        where = np.clip(1.9 * self.parenchyma.fibrosis * basal * np.exp(place.lung / 14.0) * (1 + 0.4 * mosaic), 0, 1)
        comb = self._septa.on(grid)[0]
        walls = np.clip(1.35 - np.abs(comb) / 0.30, 0.0, 1.0)
        cells = np.clip(np.abs(comb) - 0.6, 0.0, 1.0)
        hu += where * (220.0 * walls + 110.0 - 330.0 * cells * where)


def _sink(hu: Reals, place: Place, depth_mm: Reals) -> None:
    """Tissue that has lost its air under its own weight, along the lowest pleura, in place."""
    low = np.clip((place.depth - 35.0) / 40.0, 0.0, 1.0)
    share = np.clip(1.0 + place.lung / np.maximum(depth_mm, 1.0), 0.0, 1.0) * low
    hu += 620.0 * share**1.5
    np.minimum(hu, SOFT_HU, out=hu)


def fissure_share(distance: Field, pixel_mm: float, thickness_mm: float) -> Field:
    """How much of each voxel a fissure's sheet fills, in slices that cut it aslant."""
    blur = float(np.hypot(1.3 * pixel_mm, 0.6 * thickness_mm)) + 0.6
    return np.asarray(np.clip(1.0 - np.abs(distance) / blur, 0.0, 1.0) * (FISSURE_MM / blur), np.float32)
