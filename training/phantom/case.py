"""One synthetic patient, and what a scan of that patient shows: HU and the exact truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.volume import PADDING_HU, Volume
from training.phantom import tubes
from training.phantom.anatomy import Body, Chest
from training.phantom.elsewhere import abdomen_hu, head_hu
from training.phantom.geometry import Field, Grid, Mask, cover, noise
from training.phantom.pathology import Disease, Pathology
from training.phantom.scanner import Scan, add_noise, blank_outside_circle

SLAB = 8  # slices drawn at a time: keeps the work inside the processor's cache
FIT_MM = 4.0  # grid on which lesion levels are fitted
VESSEL_HU, TRUNK_MM = 35.0, 3.8  # radius where a vessel leaves the hilum
EDGE_MARGIN_MM = 10.0  # how far from a lung its blurred edge can reach


class Region(StrEnum):
    CHEST = "chest"
    HEAD = "head"
    ABDOMEN = "abdomen"


@dataclass(frozen=True, kw_only=True)
class Phantom:
    """A synthetic patient. Equal seed and settings give equal voxels. `body` None: drawn from the seed."""

    seed: int
    pathology: Pathology = field(default_factory=Pathology)
    body: Body | None = None
    region: Region = Region.CHEST
    parenchyma_hu: float = -855.0
    gravity_hu: float = 45.0  # front to back
    trunks: int = 11  # vessel trunks per lung


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """Masks (slice, row, column) of one scan, by the convention of the project: consolidation belongs to the lung,
    trachea, main bronchi and hilar trunks do not."""

    right_lung: Mask
    left_lung: Mask
    right_lesion: Mask
    left_lesion: Mask
    voxel_ml: float

    @property
    def right_ml(self) -> float:
        return float(self.right_lung.sum()) * self.voxel_ml

    @property
    def left_ml(self) -> float:
        return float(self.left_lung.sum()) * self.voxel_ml

    @property
    def right_lesion_ml(self) -> float:
        return float(self.right_lesion.sum()) * self.voxel_ml

    @property
    def left_lesion_ml(self) -> float:
        return float(self.left_lesion.sum()) * self.voxel_ml

    @property
    def right_fraction(self) -> float:
        return self.right_lesion_ml / self.right_ml if self.right_ml else 0.0

    @property
    def left_fraction(self) -> float:
        return self.left_lesion_ml / self.left_ml if self.left_ml else 0.0

    @property
    def affected_fraction(self) -> float:
        """The larger of the two sides."""
        return max(self.right_fraction, self.left_fraction)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rendered:
    volume: Volume
    truth: Truth


class Patient:
    """A phantom made ready to be scanned, as often as one likes."""

    def __init__(self, phantom: Phantom) -> None:
        streams = np.random.SeedSequence(phantom.seed).spawn(4)
        body_rng, self._disease_rng, vessel_rng, texture_rng = (np.random.default_rng(s) for s in streams)
        self.phantom = phantom
        self.chest = Chest(phantom.body or Body.drawn(body_rng), body_rng)
        self._texture = noise(texture_rng, 7.0)
        self._disease = Disease(phantom.pathology, self._disease_rng)
        self._vessels: list[tubes.Tube] = []
        if phantom.region is Region.CHEST:
            self._prepare(vessel_rng)

    def _prepare(self, rng: np.random.Generator) -> None:
        scan = Scan(slices=62, rows=56, columns=80, slice_mm=FIT_MM, pixel_mm=(FIT_MM, FIT_MM))
        grid = scan.grid()
        tissue = self.chest.on(grid)
        self._disease.fit(grid, tissue.right, tissue.left)
        back = np.linalg.inv(grid.affine_lps)
        for outward, side, lung in ((-1.0, "right", tissue.right), (1.0, "left", tissue.left)):

            def inside(p: NDArray[np.float64], lung: Field = lung) -> bool:
                i, j, k = np.clip(np.rint(back[:3, :3] @ p + back[:3, 3]), 0, np.array(lung.shape) - 1).astype(int)
                return bool(lung[i, j, k] < -2.0)

            self._vessels += tubes.tree(rng, self.chest.hilum[side], outward, self.phantom.trunks, TRUNK_MM, inside)

    def scan(self, scan: Scan) -> Rendered:
        """HU and truth on the scan's grid. Noise depends on the seed and on the scan's own settings."""
        grid = scan.grid()
        if self.phantom.region is Region.CHEST:
            hu, truth = self._chest(scan, grid)
        else:
            draw = head_hu if self.phantom.region is Region.HEAD else abdomen_hu
            hu, truth = draw(grid), _nothing(grid)
        add_noise(hu, scan, np.random.default_rng([self.phantom.seed, scan.slices, scan.rows, scan.columns]))
        whole = np.clip(np.rint(hu), PADDING_HU + 1, 3071).astype(np.int16)  # what is measured is not padding
        if scan.circle:
            blank_outside_circle(whole)
        return Rendered(volume=Volume(hu=whole, affine_lps=grid.affine_lps), truth=truth)

    def _chest(self, scan: Scan, grid: Grid) -> tuple[Field, Truth]:
        hu = np.empty(grid.shape, np.float32)
        right, left = np.empty_like(hu), np.empty_like(hu)
        for first in range(0, grid.shape[0], SLAB):
            slab = slice(first, min(first + SLAB, grid.shape[0]))
            tissue = self.chest.on(grid.slices(slab.start, slab.stop))
            hu[slab], right[slab], left[slab] = tissue.hu, tissue.right, tissue.left
        part, inner = _around(np.minimum(right, left) < EDGE_MARGIN_MM, grid)
        lesions = self._disease.on(inner, right[part], left[part])
        truth = Truth(
            right_lung=right < 0,
            left_lung=left < 0,
            right_lesion=_placed(lesions.right, part, grid.shape),
            left_lesion=_placed(lesions.left, part, grid.shape),
            voxel_ml=grid.voxel_ml,
        )
        lung = np.minimum(right, left)[part]
        # A surface that runs along the slice (the dome) is blurred by the slice's thickness, an upright one is not.
        edge = scan.kernel.edge_mm + scan.thickness_mm * np.minimum(np.abs(np.gradient(lung, scan.slice_mm, axis=0)), 1)
        inside = cover(lung, edge)
        hu[part] += inside * (self._parenchyma(scan, inner, lesions.alpha, lesions.dense) - hu[part])
        return hu, truth

    def _parenchyma(self, scan: Scan, grid: Grid, alpha: Field, dense: Field) -> Field:
        p = self.phantom
        _, y, _ = grid.points()
        texture = self._texture.on(grid)
        hu = p.parenchyma_hu + p.gravity_hu * y / 150.0 + 12.0 * texture
        hu += alpha * (p.pathology.ground_glass_hu + 30.0 * texture)
        hu += dense * (p.pathology.consolidation_hu - hu)
        vessels = tubes.lay(self._vessels, grid, scan.thickness_mm, scan.kernel.edge_mm)
        return np.asarray(hu + vessels * (VESSEL_HU - hu), np.float32)


def _around(mask: Mask, grid: Grid) -> tuple[tuple[slice, slice, slice], Grid]:
    """The smallest box of voxels that holds the mask, at least two slices thick; everything where it is empty."""
    bounds = []
    for axis, count in enumerate(mask.shape):
        hit = np.flatnonzero(mask.any(axis=tuple(i for i in range(3) if i != axis)))
        first, last = (int(hit[0]), int(hit[-1]) + 1) if hit.size else (0, count)
        bounds.append((min(first, max(count - 2, 0)), max(last, min(first + 2, count))))
    (s0, s1), (r0, r1), (c0, c1) = bounds
    return (slice(s0, s1), slice(r0, r1), slice(c0, c1)), grid.box((s0, r0, c0), (s1, r1, c1))


def _placed(mask: Mask, part: tuple[slice, slice, slice], shape: tuple[int, int, int]) -> Mask:
    whole = np.zeros(shape, np.bool_)
    whole[part] = mask
    return whole


def _nothing(grid: Grid) -> Truth:
    none = np.zeros(grid.shape, np.bool_)
    return Truth(right_lung=none, left_lung=none, right_lesion=none, left_lesion=none, voxel_ml=grid.voxel_ml)
