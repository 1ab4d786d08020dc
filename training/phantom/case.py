"""One synthetic patient, and what a scan of that patient shows: HU and the exact truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.volume import PADDING_HU, Volume
from training.phantom import tubes
from training.phantom.anatomy import Chest, Lungs
from training.phantom.body import Body
from training.phantom.bronchiectasis import Conglomerate, Infected, grow
from training.phantom.elsewhere import abdomen_hu, head_hu
from training.phantom.geometry import Coarse, Field, Grid, Mask, tile
from training.phantom.lobes import Lobe, lobe_distance
from training.phantom.paint import Painter, Palette, Trees
from training.phantom.parenchyma import Parenchyma, Tissue
from training.phantom.pathology import Disease, Pathology
from training.phantom.scanner import Scan, blank_outside_circle, imaged
from training.phantom.tubes import Tubes

FIT_MM = 5.0  # grid on which lesion levels are fitted and vessels grown
FIT_SCAN = Scan(slices=58, rows=58, columns=74, slice_mm=FIT_MM, pixel_mm=(FIT_MM, FIT_MM))
COARSE_MM = 3.6  # grid on which distances are drawn
TIP_ML, TIP_MM = 0.70, 0.34  # lung tissue to each twig, and the twig's radius
WIDEST_MM = 3.0
FROM_PLEURA_MM = 3.0  # vessels nearer to the pleura are too thin to be seen
# Bronchi: which arteries have a visible one, its lumen and its wall by the artery's radius, and where it runs.
BRONCHUS_FROM_MM, LUMEN, WALL, WALL_MM = 1.25, 0.75, 0.10, 0.25
MEDIAL = {"right": (0.45, -0.35, 0.8), "left": (-0.45, -0.35, 0.8)}
VEIN_ROOT_MM = {"right": (2.0, -12.0, -20.0), "left": (-2.0, -12.0, -20.0)}  # from the hilum
LOBES = {
    "right": (Lobe.RIGHT_UPPER, Lobe.RIGHT_MIDDLE, Lobe.RIGHT_LOWER),
    "left": (Lobe.LEFT_UPPER, Lobe.LEFT_LOWER),
}


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
    parenchyma: Parenchyma = field(default_factory=Parenchyma)
    palette: Palette = field(default_factory=Palette)
    vessels: float = 0.55  # density of the vessel trees; 1 is that of a healthy young lung
    bronchi: float = 1.0  # their width by that of healthy ones; beyond 1.5 wider than the artery beside: bronchiectasis
    conglomerates: tuple[Conglomerate, ...] = ()  # infected bronchiectasis


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
        streams = np.random.SeedSequence(phantom.seed).spawn(5)
        body_rng, disease_rng, vessel_rng, texture_rng, infected_rng = (np.random.default_rng(s) for s in streams)
        self.phantom = phantom
        self._vessels, self._bronchi, self._nodules = Tubes.none(), Tubes.none(), Tubes.none()
        self._infected: Infected | None = None
        if phantom.region is not Region.CHEST:
            return
        body = phantom.body or Body.drawn(body_rng)
        self.chest = Chest(body, body_rng, phantom.parenchyma.effusion_mm)
        self._streaks = tile(texture_rng, 9.0, 4.0)
        self._tissue = Tissue(phantom.parenchyma, texture_rng)
        self._disease = Disease(phantom.pathology, disease_rng)
        self._prepare(vessel_rng, infected_rng)

    def _prepare(self, rng: np.random.Generator, infected_rng: np.random.Generator) -> None:
        grid = replace(FIT_SCAN, centre_lps_mm=(0.0, 0.0, -8.0)).grid()
        lungs = self.chest.lungs(grid)
        self.lung_ml = {side: float((getattr(lungs, side) < 0).sum()) * grid.voxel_ml for side in ("right", "left")}
        self._disease.fit(grid, lungs)
        arteries: list[Tubes] = []
        veins: list[Tubes] = []
        for side, lobes in LOBES.items():
            hilum = np.asarray(self.chest.hilum[side])
            for lobe in lobes:
                for grown, root in ((arteries, hilum), (veins, hilum + VEIN_ROOT_MM[side])):
                    ends = self._ends(rng, grid, lungs, lobe)
                    tip = TIP_MM * float(rng.uniform(0.95, 1.05))
                    grown.append(tubes.grow(rng, ends, (root[0], root[1], root[2]), tip, WIDEST_MM))
                wide = self.phantom.bronchi
                seen = grown_with_bronchus(arteries[-1], wide)
                apart = 1.0 + (LUMEN + WALL) * wide
                self._bronchi = Tubes.joined([self._bronchi, tubes.beside(seen, MEDIAL[side], apart)])
        self._vessels = Tubes.joined(arteries + veins)
        self._nodules = _balls(rng, self.phantom.parenchyma)
        if self.phantom.conglomerates:
            by_lobe = dict(zip([lobe for lobes in LOBES.values() for lobe in lobes], arteries, strict=True))
            self._infected = _infected(self.phantom.conglomerates, infected_rng, by_lobe, grid, lungs)
            self._nodules = Tubes.joined([self._nodules, self._infected.solid])

    def _ends(self, rng: np.random.Generator, grid: Grid, lungs: Lungs, lobe: Lobe) -> NDArray[np.float64]:
        """Where the twigs of one lobe end: evenly spread, not quite to the pleura."""
        d = lobe_distance(lobe, lungs.right, lungs.left, lungs.oblique, lungs.horizontal)
        # Up to a fissure, but not to the outer pleura.
        inside = np.argwhere((d < -0.5) & (np.minimum(lungs.right, lungs.left) < -FROM_PLEURA_MM))
        count = min(len(inside), round(len(inside) * grid.voxel_ml / TIP_ML * self.phantom.vessels))
        chosen = inside[np.sort(rng.choice(len(inside), count, replace=False))] if count else inside[:0]
        index = chosen + rng.uniform(-0.5, 0.5, chosen.shape)
        ends: NDArray[np.float64] = index @ grid.affine_lps[:3, :3].T + grid.affine_lps[:3, 3]
        return ends

    def scan(self, scan: Scan) -> Rendered:
        """HU and truth on the scan's grid. Noise depends on the seed and on the scan's own settings."""
        grid = scan.grid()
        rng = np.random.default_rng([self.phantom.seed, scan.slices, scan.rows, scan.columns])
        if self.phantom.region is Region.CHEST:
            hu, truth = self._chest(scan, grid, rng)
        else:
            draw = head_hu if self.phantom.region is Region.HEAD else abdomen_hu
            seen = np.stack([imaged(image, scan, rng) for image in draw(grid)])
            hu, truth = _whole(seen), _nothing(grid)
        if scan.circle:
            blank_outside_circle(hu)
        return Rendered(volume=Volume(hu=hu, affine_lps=grid.affine_lps), truth=truth)

    def _chest(self, scan: Scan, grid: Grid, rng: np.random.Generator) -> tuple[NDArray[np.int16], Truth]:
        painter = self._painter(scan, grid)
        hu = np.empty(grid.shape, np.int16)
        right, left, lesion = (np.empty(grid.shape, np.bool_) for _ in range(3))
        for k in range(grid.shape[0]):
            painted = painter.plane(k)
            hu[k] = _whole(imaged(painted.hu, scan, rng))
            right[k], left[k], lesion[k] = painted.right, painted.left, painted.lesion
        truth = Truth(
            right_lung=right,
            left_lung=left,
            right_lesion=lesion & right,
            left_lesion=lesion & left,
            voxel_ml=grid.voxel_ml,
        )
        return hu, truth

    def _painter(self, scan: Scan, grid: Grid) -> Painter:
        coarse, coarser = Coarse(grid, COARSE_MM), Coarse(grid, 2 * COARSE_MM)
        shapes = self.chest.on(coarse.grid)
        lesions = self._disease.on(coarse.grid, shapes.lungs)
        if self._infected:
            lesions = self._infected.with_others(lesions, coarse.grid, shapes.lungs)
        return Painter(
            scan=scan,
            grid=grid,
            coarse=coarse,
            shapes=shapes,
            lesions=lesions,
            slope=self._slope(scan, coarser.grid),
            coarser=coarser,
            trees=self._trees(scan, grid),
            palette=self.phantom.palette,
            pathology=self.phantom.pathology,
            tissue=self._tissue,
            streaks=self._streaks,
        )

    def _slope(self, scan: Scan, grid: Grid) -> Field:
        """How steeply the lungs' surface leaves a slice: a dome that runs along it is blurred by its thickness."""
        if scan.thickness_mm < 1.0:
            return np.zeros(grid.shape, np.float32)
        step = 0.3 * scan.thickness_mm / grid.spacing_mm[0]
        found = []
        for sign in (-1.0, 1.0):
            affine = grid.affine_lps.copy()
            affine[:3, 3] += sign * step * affine[:3, 0]
            lungs = self.chest.lungs(Grid(shape=grid.shape, affine_lps=affine))
            found.append(np.minimum(lungs.right, lungs.left))
        return np.asarray(np.minimum(np.abs(found[1] - found[0]) / (0.6 * scan.thickness_mm), 1.0), np.float32)

    def _trees(self, scan: Scan, grid: Grid) -> Trees:
        edge, thick = 1.2 * max(scan.pixel_mm), scan.thickness_mm
        wide = self.phantom.bronchi
        lumina = self._bronchi.widened(LUMEN * wide)
        walls = self._bronchi.widened((LUMEN + WALL) * wide, WALL_MM * wide)
        if self._infected:
            lumina = Tubes.joined([lumina, self._infected.lumina])
            walls = Tubes.joined([walls, self._infected.walls])
        return Trees(
            vessels=tubes.lay(self._vessels, grid, thick, edge),
            walls=tubes.lay(walls, grid, thick, edge),
            lumina=tubes.lay(lumina, grid, thick, edge),
            nodules=tubes.lay(self._nodules, grid, thick, edge) if len(self._nodules.radius_mm) else None,
        )


def grown_with_bronchus(arteries: Tubes, wide: float = 1.0) -> Tubes:
    """The arteries that have a visible bronchus beside them: widened ones are seen farther out."""
    return arteries.where(arteries.radius_mm >= BRONCHUS_FROM_MM / wide)


def _infected(
    wanted: tuple[Conglomerate, ...],
    rng: np.random.Generator,
    arteries: Mapping[Lobe, Tubes],
    grid: Grid,
    lungs: Lungs,
) -> Infected:
    """Conglomerates grown into the trees of their lobes; `lungs` on `grid` tell how deep a point lies in its lobe."""
    back = np.linalg.inv(grid.affine_lps)
    grown = []
    for one in wanted:
        distance = lobe_distance(one.lobe, lungs.right, lungs.left, lungs.oblique, lungs.horizontal)

        def depth(points: NDArray[np.float64], distance: Field = distance) -> NDArray[np.float64]:
            index = points @ back[:3, :3].T + back[:3, 3]
            return np.asarray(-ndimage.map_coordinates(distance, index.T, order=1, mode="nearest"), np.float64)

        tree = arteries[one.lobe]
        side = "right" if one.lobe in LOBES["right"] else "left"
        grown.append(grow(one, rng, tubes.beside(tree, MEDIAL[side], 1.0), depth))
    return Infected(tuple(grown), rng)


def _balls(rng: np.random.Generator, parenchyma: Parenchyma) -> Tubes:
    """Nodules as tubes of no length, with their spikes."""
    start, end, radius = [], [], []
    for nodule in parenchyma.nodules:
        centre = np.asarray(nodule.centre_lps_mm)
        start.append(centre)
        end.append(centre + 0.01)
        radius.append(nodule.radius_mm)
        for _ in range(nodule.spikes):
            way = rng.standard_normal(3)
            start.append(centre)
            end.append(centre + way / np.linalg.norm(way) * nodule.radius_mm * rng.uniform(1.2, 1.9))
            radius.append(nodule.radius_mm * rng.uniform(0.12, 0.3))
    return Tubes(start=np.array(start).reshape(-1, 3), end=np.array(end).reshape(-1, 3), radius_mm=np.array(radius))


def _whole(hu: Field) -> NDArray[np.int16]:
    """Rounded; what is measured is not padding."""
    return np.clip(np.rint(hu), PADDING_HU + 1, 3071).astype(np.int16)


def _nothing(grid: Grid) -> Truth:
    none = np.zeros(grid.shape, np.bool_)
    return Truth(right_lung=none, left_lung=none, right_lesion=none, left_lesion=none, voxel_ml=grid.voxel_ml)
