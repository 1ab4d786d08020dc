"""From shapes to Hounsfield units, slice by slice at native pixels, before the kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.phantom.anatomy import Lungs, Shapes
from training.phantom.geometry import Coarse, Field, Grid, Mask, Sampled, cover
from training.phantom.lobes import Lobe, lobe_distance
from training.phantom.parenchyma import SOFT_HU, Parenchyma, Place, Tissue, fissure_share
from training.phantom.pathology import LesionMap, Pathology
from training.phantom.scanner import Scan
from training.phantom.wall import TABLE_DEEP_MM

AIR_HU, FAT_HU, MUSCLE_HU, BLOOD_HU = -1000.0, -100.0, 48.0, 42.0
RIB_HU, RIB_MARROW_HU, CARTILAGE_HU, CORTEX_HU, MARROW_HU = 620.0, 240.0, 110.0, 560.0, 190.0
FLUID_HU, FAT_INSIDE_HU, BOWEL_HU = 12.0, -95.0, 32.0
TABLE_HU, TABLE_MM, CLOTH_HU, CLOTH_MM, WIRE_HU = -250.0, 1.6, -450.0, 1.0, 1800.0
NODES_HU = 110.0  # what lymph nodes and small vessels add to the fat of mediastinum and belly
SKIN_MM = 5.0  # of fat and skin over air in the wall
BLANKET_MM = 11.0  # between two layers of cloth
MUSCLE_MM = 15.0  # thickness of a sheet of muscle
RIB_DEEP_MM, RIB_HIGH_MM, RIB_SHELL_MM = 4.0, 6.0, 1.8  # half a rib's thickness and height, its cortex
CORTEX_MM = 1.6
CARTILAGE_FROM = 0.80  # of the way round to the sternum
FIRM_WALL_MM = 1.5
MOTION_REACH_MM = 30.0
HEART_HIDES_MM = 7.0
EDGE_PIXELS = 1.2  # width of an edge before the kernel
PAVING_WIDE, PAVING_HU = 0.33, 190.0
FRAYED = 0.16  # of a border's width, by the fine texture
UNEVEN = 0.22  # of ground glass, over some cm
DIAPHRAGM_MM = 1.3
NEAR_MM = 6.0
LOBES = tuple(Lobe)

Plane = Callable[[Field], Field]


@dataclass(frozen=True, kw_only=True)
class Palette:
    """What one patient's tissues measure."""

    blood_hu: float = BLOOD_HU  # 150 to 350 with contrast
    muscle_hu: float = MUSCLE_HU
    fat_hu: float = FAT_HU
    bone: float = 1.0  # density of the skeleton
    air_in_fat: float = 0.0  # subcutaneous emphysema, 0 to 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Trees:
    """How much of each voxel (slice, row, column) vessels, walls and lumina of bronchi, and nodules fill."""

    vessels: Field
    walls: Field
    lumina: Field
    nodules: Field | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Painted:
    """One slice: HU and truth (row, column)."""

    hu: Field
    right: Mask
    left: Mask
    lesion: Mask


@dataclass(frozen=True, kw_only=True, eq=False)
class Painter:
    """Paints the slices of one scan of one patient. `coarse` is the grid that the shapes and lesions are drawn on."""

    scan: Scan
    grid: Grid
    coarse: Coarse
    shapes: Shapes
    lesions: LesionMap
    coarser: Coarse  # for `slope`
    slope: Field  # of the lungs' surface along the slice normal, mm per mm
    trees: Trees
    palette: Palette
    pathology: Pathology
    tissue: Tissue
    streaks: Sampled

    @property
    def edge_mm(self) -> float:
        return EDGE_PIXELS * max(self.scan.pixel_mm)

    def plane(self, k: int) -> Painted:
        """Slice `k`, HU before the kernel, and its truth."""

        def fine(field: Field) -> Field:
            return self.coarse.fine(field[k])

        grid = self.grid.slices(k, k + 1)
        hu = self._outside(k, fine, grid)
        self._inside(hu, k, fine, grid)
        lungs = self.shapes.lungs
        right, left = fine(lungs.right), fine(lungs.left)
        outline = fine(self.lesions.outline)
        lung = np.minimum(right, left)
        if lung.min() < NEAR_MM:
            box = _box(lung < NEAR_MM)
            self._lungs(hu, k, lambda field: self.coarse.fine(field[k])[box], box, lung[box], outline[box])
        self._airways(hu, k, fine)
        return Painted(hu=hu, right=right < 0, left=(left < 0) & (right >= 0), lesion=(outline < 0) & (lung < 0))

    def _outside(self, k: int, fine: Plane, grid: Grid) -> Field:
        """Air, table, clothes, fat, muscle."""
        wall, p = self.shapes.wall, self.palette
        skin = fine(wall.skin)
        hu = np.full(skin.shape, AIR_HU, np.float32)
        if wall.cloth[k].min() < NEAR_MM:
            cloth = fine(wall.cloth)
            _sheet(hu, CLOTH_HU, cloth, CLOTH_MM, self.edge_mm)
            _sheet(hu, CLOTH_HU, cloth - BLANKET_MM, CLOTH_MM, self.edge_mm)
        if wall.table[k].max() > 0:
            table, beside = fine(wall.table), fine(wall.beside)
            for sheet in (table, table - TABLE_DEEP_MM):
                _sheet(hu, TABLE_HU, np.maximum(np.abs(sheet), beside), TABLE_MM, self.edge_mm)
        streaks = self.streaks.on(grid)[0]
        deep = skin + fine(wall.fat) + 3.0 * streaks
        muscle = cover(deep, 3.0)
        layer = deep / MUSCLE_MM + 0.45 * streaks  # muscles lie in sheets, with fat between them here and there
        gap = np.abs(layer - np.floor(layer) - 0.5)
        muscle *= 1.0 - 0.85 * np.clip(4.0 - 30.0 * gap, 0.0, 1.0) * np.clip(1.8 * streaks, 0.0, 1.0)
        tissue = p.fat_hu + 6.0 * streaks + (p.muscle_hu - p.fat_hu + 3.0 * streaks) * muscle
        if p.air_in_fat > 0:
            air = np.clip((np.abs(streaks) - 2.0 + 1.5 * p.air_in_fat) / 0.3, 0.0, 1.0) * (1.0 - muscle)
            air *= cover(skin + SKIN_MM, 2.0)
            tissue += air * (AIR_HU - tissue)
        hu += (tissue - hu) * cover(skin, self.edge_mm)
        if wall.wires[k].min() < NEAR_MM:
            _over(hu, WIRE_HU, fine(wall.wires), self.edge_mm)
        return hu

    def _inside(self, hu: Field, k: int, fine: Plane, grid: Grid) -> None:
        """Everything within the rib cage but lungs and airways; then the bones."""
        lungs, wall, belly, p = self.shapes.lungs, self.shapes.wall, self.shapes.belly, self.palette
        edge = self.edge_mm
        if lungs.cavity[k].min() < NEAR_MM:
            cavity = fine(lungs.cavity)
            streaks = self.streaks.on(grid)[0]
            _over(hu, FAT_INSIDE_HU + NODES_HU * np.clip(1.6 * np.abs(streaks) - 1.2, 0.0, 1.0), cavity, edge)
            if lungs.dome[k].min() < NEAR_MM:
                _over(hu, p.muscle_hu, np.maximum(np.abs(fine(lungs.dome)) - DIAPHRAGM_MM, cavity), edge)
            if belly.solid[k].min() < NEAR_MM:
                _over(hu, fine(belly.solid_hu) + 0.12 * (p.blood_hu - BLOOD_HU), fine(belly.solid), edge)
            if belly.hollow[k].min() < NEAR_MM:
                _over(hu, BOWEL_HU, fine(belly.hollow), edge)
                _over(hu, AIR_HU + 10.0, fine(belly.gas), edge)
            soft = fine(lungs.soft)
            _over(hu, p.muscle_hu, soft, edge)
            if p.blood_hu > 100.0:
                _over(hu, p.blood_hu, soft + 3.5, 4.0)
            if lungs.fluid[k].min() < NEAR_MM:
                _over(hu, FLUID_HU, fine(lungs.fluid), edge)
            self._ribs(hu, cavity, fine(wall.turns), fine(wall.around))
        bone = fine(wall.bone)
        _over(hu, CORTEX_HU * p.bone, bone, edge)
        _over(hu, MARROW_HU * p.bone, bone + CORTEX_MM, edge)

    def _ribs(self, hu: Field, cavity: Field, turns: Field, around: Field) -> None:
        p = self.palette
        across = 25.0 * np.abs(turns - np.floor(turns) - 0.5)
        deep = np.abs(cavity - 6.5)
        rib = np.hypot(np.maximum(deep - 1.0, 0.0) / RIB_DEEP_MM, across / RIB_HIGH_MM)
        shell = (rib - 1.0) * RIB_DEEP_MM
        firm = np.clip((CARTILAGE_FROM - around) / 0.03, 0.0, 1.0)
        _over(hu, CARTILAGE_HU + firm * (RIB_HU * p.bone - CARTILAGE_HU), shell, self.edge_mm)
        _over(hu, CARTILAGE_HU + firm * (RIB_MARROW_HU * p.bone - CARTILAGE_HU), shell + RIB_SHELL_MM, self.edge_mm)

    def _lungs(self, hu: Field, k: int, fine: Plane, box: tuple[slice, slice], lung: Field, outline: Field) -> None:
        """Lungs with all that is in them, in a box of the slice."""
        grid = self.grid.box((k, box[0].start, box[1].start), (k + 1, box[0].stop, box[1].stop))
        place = Place(lung=lung, depth=fine(self.shapes.depth), height=fine(self.shapes.height))
        inner = self.tissue.hu(grid, place)
        self._fissures(inner, fine)
        self._ill(inner, grid, fine, outline)
        self._collapse(inner, k, fine)
        _blend(inner, self.palette.blood_hu - 5.0, self.trees.vessels[k][box])
        if self.trees.nodules is not None:
            _blend(inner, SOFT_HU, self.trees.nodules[k][box])
        edge = np.full(lung.shape, self.edge_mm, np.float32)
        if self.scan.thickness_mm >= 1.0:
            edge += self.scan.thickness_mm * self.coarser.fine(self.slope[k])[box]
        if self.scan.breath_mm > 0:
            beyond = np.abs(fine(self.shapes.lungs.dome)) - np.abs(lung)  # 0 where the lung ends at the diaphragm
            edge += self.scan.breath_mm * np.clip(1.0 - beyond / NEAR_MM, 0.0, 1.0)
        if self.scan.motion_mm > 0:
            near = np.minimum(fine(self.shapes.lungs.soft), np.abs(fine(self.shapes.lungs.dome)))
            swing = self.scan.motion_mm * np.clip(1.0 - near / MOTION_REACH_MM, 0.0, 1.0)
            # Half a rotation sees the heart at one place, half at another; in between it is on its way.
            inside = 0.5 * cover(lung, edge + 1.5 * swing) + 0.5 * cover(lung - 0.6 * swing, edge + 0.5 * swing)
        else:
            inside = cover(lung, edge)
        part = hu[box]
        part += inside * (inner - part)

    def _fissures(self, hu: Field, fine: Plane) -> None:
        if not self.tissue.parenchyma.fissures:
            return
        lungs = self.shapes.lungs
        pixel, thick = max(self.scan.pixel_mm), self.scan.thickness_mm
        oblique = fine(lungs.oblique)
        share = fissure_share(oblique, pixel, thick)
        right = np.clip(0.5 - fine(lungs.right), 0.0, 1.0)
        flat = fissure_share(fine(lungs.horizontal), pixel, 1.6 * thick) * right
        share = np.maximum(share, flat * np.clip(0.5 + oblique, 0.0, 1.0))
        hu += share * (SOFT_HU - hu)

    def _ill(self, hu: Field, grid: Grid, fine: Plane, outline: Field) -> None:
        """Ground glass keeps what is under it visible; consolidation does not."""
        if outline.min() > 0.5:
            return
        alpha = np.clip(0.5 - outline + FRAYED * self.tissue.fine(grid), 0.0, 1.0)
        septa = self.tissue.septa(grid, PAVING_WIDE)
        uneven = 1.0 + 0.10 * septa - 0.05
        hu += alpha * fine(self.lesions.added_hu) * uneven * (1.0 + UNEVEN * self.tissue.mosaic(grid))
        paved = np.clip(0.5 - fine(self.lesions.paved), 0.0, 1.0)
        hu += alpha * paved * septa * PAVING_HU
        dense = np.clip(0.5 - fine(self.lesions.dense), 0.0, 1.0)
        np.minimum(hu, SOFT_HU + 15.0, out=hu)
        hu += dense * (self.pathology.consolidation_hu + 25.0 * (uneven - 1.0) - hu)

    def _collapse(self, hu: Field, k: int, fine: Plane) -> None:
        p = self.tissue.parenchyma
        if p.collapsed is None:
            return
        lungs: Lungs = self.shapes.lungs
        shape = lobe_distance(
            p.collapsed, *(fine(f) for f in (lungs.right, lungs.left, lungs.oblique, lungs.horizontal))
        )
        left = np.maximum(shape, fine(lungs.soft) - p.collapse_mm)
        _over(hu, SOFT_HU + 10.0, left, 2.5)

    def _airways(self, hu: Field, k: int, fine: Plane) -> None:
        lungs = self.shapes.lungs
        # A bronchus grown a little too far towards the middle does not show through the heart.
        seen = cover(-fine(lungs.soft) - HEART_HIDES_MM, 2.0) if lungs.soft[k].min() < 0 else np.float32(1.0)
        _blend(hu, SOFT_HU, self.trees.walls[k] * seen)
        _blend(hu, AIR_HU, self.trees.lumina[k] * seen)
        if lungs.airway[k].min() < NEAR_MM:
            airway = fine(lungs.airway)
            _over(hu, BLOOD_HU, airway - FIRM_WALL_MM, self.edge_mm)
            _over(hu, AIR_HU, airway, self.edge_mm)
        if self.shapes.gullet[k].min() < NEAR_MM:
            _over(hu, AIR_HU, fine(self.shapes.gullet), self.edge_mm)


def _over(hu: Field, value: Field | float, distance: Field, edge_mm: float) -> None:
    """Lay a body of this HU over what is there, in place."""
    hu += cover(distance, edge_mm) * (value - hu)


def _sheet(hu: Field, value: float, distance: Field, thick_mm: float, edge_mm: float) -> None:
    """Lay a sheet thinner than a pixel, by its share of each pixel, in place."""
    wide = max(edge_mm, thick_mm)
    share = np.clip(1.0 - np.abs(distance) / wide, 0.0, 1.0) * min(1.0, thick_mm / wide)
    hu += share * (value - hu)


def _blend(hu: Field, value: float, share: Field) -> None:
    hu += share * (value - hu)


def _box(mask: Mask) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


__all__ = ["Painted", "Painter", "Palette", "Parenchyma", "Trees"]
