"""A chest: body wall, bones, mediastinum, diaphragm and two lungs, as signed distances. mm in LPS, origin mid-chest.

Proportions are those of an adult, supine, arms up. The right dome stands higher, the heart lies to the left and the
left lung is the smaller one, so that a swapped side or axis shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.phantom.geometry import (
    Field,
    Grid,
    Sampled,
    blend_cut,
    blend_union,
    box,
    capsule,
    cover,
    ellipsoid,
    noise,
    superellipse,
)

FAT_HU, MUSCLE_HU, BLOOD_HU, LIVER_HU, SPLEEN_HU = -100.0, 48.0, 42.0, 58.0, 50.0
RIB_HU, CARTILAGE_HU, CORTEX_HU, MARROW_HU, DISC_HU = 520.0, 110.0, 480.0, 190.0, 80.0
AIR_HU = -1000.0
EDGE_MM = 2.0  # in-plane point spread of a soft kernel, full width of the ramp

CAGE_POWER = 2.3  # the cross-section of a rib cage is a little squarer than an ellipse
RIB_PITCH_MM, RIB_FALL_MM = 25.0, 70.0  # distance between ribs; how far one falls from spine to sternum
VERTEBRA_MM = 26.0
# The mediastinum is many tubes: drawn once on a coarse grid. At radius 6 mm, 5 mm cost half a mm of shape.
CORE_LOW_MM, CORE_HIGH_MM, CORE_PITCH_MM = (-100.0, -116.0, -172.0), (136.0, 136.0, 196.0), 5.0
FIRM_WALL_MM = 1.5  # of trachea and bronchi


@dataclass(frozen=True, kw_only=True)
class Body:
    """Sizes of one patient. Lengths in mm."""

    half_width_mm: float = 141.0  # of the rib cage, inside
    half_depth_mm: float = 96.0
    apex_mm: float = 108.0  # height of the lung tops above mid-chest
    base_mm: float = -106.0  # height of the deepest recess
    dome_right_mm: float = -42.0
    dome_left_mm: float = -54.0
    fat_mm: float = 16.0
    heart_mm: float = 60.0  # half the heart's transverse diameter
    waviness_mm: float = 2.0

    @staticmethod
    def drawn(rng: np.random.Generator) -> Body:
        """A patient of plausible size: 3 to 6 L of lung."""
        size = float(rng.normal(1.0, 0.04))
        return Body(
            half_width_mm=141.0 * size * float(rng.uniform(0.96, 1.04)),
            half_depth_mm=96.0 * size * float(rng.uniform(0.94, 1.08)),
            dome_right_mm=float(rng.uniform(-54, -34)),
            dome_left_mm=float(rng.uniform(-64, -50)),
            fat_mm=float(rng.uniform(8, 30)),
            heart_mm=float(rng.uniform(54, 66)),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Tissue:
    """What the anatomy says about the voxels of one grid.

    `hu` holds everything but the lungs and what lies in them; `right` and `left` are signed distances to the lungs,
    with the large airways already cut out.
    """

    hu: Field
    right: Field
    left: Field


class Chest:
    """One patient's chest, to be asked about any grid."""

    def __init__(self, body: Body, rng: np.random.Generator) -> None:
        self.body = body
        self._wave = noise(rng, 22.0)
        self._streaks = noise(rng, 6.0)
        self._gas_mm = float(rng.uniform(10, 24))  # radius of the stomach's gas
        self._rib_phase = float(rng.uniform(0, 1))
        self.carina = (1.0, 34.0, 24.0)
        self.hilum = {"right": (-44.0, 20.0, 0.0), "left": (50.0, 24.0, -2.0)}
        self._soft = Sampled.of(self._soft_mediastinum, CORE_LOW_MM, CORE_HIGH_MM, CORE_PITCH_MM)
        self._lumen = Sampled.of(self._airway, CORE_LOW_MM, CORE_HIGH_MM, CORE_PITCH_MM)

    def on(self, grid: Grid) -> Tissue:
        """HU of the wall and organs, and the distances to the lungs, on a grid; float32 of its shape."""
        x, y, z = grid.points()
        wave = self.body.waviness_mm * self._wave.on(grid)
        cages = {side: self._cage(x, y, z, side) for side in ("right", "left")}
        domes = {side: self._dome(x, y, z, side) + wave for side in ("right", "left")}
        soft, airway = self._soft.on(grid), self._lumen.on(grid)
        spine = superellipse(x, y - 82.0, 31.0, 36.0, 2.0)
        core = blend_union(blend_union(soft, spine, 10.0), self._midline(x, y, z), 8.0)
        core = np.minimum(core + 0.7 * wave, airway - 2.0 * FIRM_WALL_MM)
        lungs = {side: self._lung(x, z, side, cages[side] + 0.5 * wave, domes[side], core) for side in cages}
        cavity = np.minimum(cages["right"], cages["left"])
        hu = self._wall(grid, x, y, z)
        hu = self._inside(hu, x, y, z, cavity, np.minimum(domes["right"], domes["left"]), soft)
        hu = self._bones(hu, x, y, z, cavity)
        hu = _over(hu, BLOOD_HU, airway - FIRM_WALL_MM, EDGE_MM)
        hu = _over(hu, AIR_HU, airway, EDGE_MM)
        return Tissue(hu=hu, right=lungs["right"], left=lungs["left"])

    def lung(self, grid: Grid, side: str) -> Field:
        """Signed distance to one lung alone."""
        tissue = self.on(grid)
        return tissue.right if side == "right" else tissue.left

    def _cage(self, x: Field, y: Field, z: Field, side: str) -> Field:
        """Inside of the rib cage; towards the apex it narrows to a cone over each lung."""
        b = self.body
        sign = -1.0 if side == "right" else 1.0
        u = np.clip((z - 5.0) / (b.apex_mm - 5.0), 0.0, 0.9999)
        narrow = np.sqrt(1.0 - u**1.7)
        flare = 1.0 + 0.05 * np.clip(-z / 100.0, 0.0, 1.0)
        section = superellipse(
            x - sign * 46.0 * u**2,
            y - 12.0 * u**2,
            b.half_width_mm * narrow * flare,
            b.half_depth_mm * narrow,
            CAGE_POWER,
        )
        return np.asarray(np.maximum(section, z - b.apex_mm), np.float32)

    def _dome(self, x: Field, y: Field, z: Field, side: str) -> Field:
        """What lies below the diaphragm on one side."""
        b = self.body
        sign, top = (-1.0, b.dome_right_mm) if side == "right" else (1.0, b.dome_left_mm)
        centre = (sign * 0.44 * b.half_width_mm, -10.0, top - 96.0)
        return ellipsoid(x, y, z, centre, (0.57 * b.half_width_mm, 0.93 * b.half_depth_mm, 96.0))

    def _lung(self, x: Field, z: Field, side: str, cage: Field, dome: Field, core: Field) -> Field:
        outward = x if side == "right" else -x  # positive beyond the midline
        d = np.maximum(blend_cut(cage, dome, 6.0), np.maximum(outward + 3.0, self.body.base_mm - z))
        return blend_cut(np.asarray(d, np.float32), core, 6.0)

    def _midline(self, x: Field, y: Field, z: Field) -> Field:
        """Mediastinal fat: wide in the middle, thin where the lungs nearly touch in front."""
        return superellipse(x - 5.0, y - 8.0, 26.0 + 8.0 * np.clip(z / 80.0, 0.0, 1.0), 100.0, 2.0)

    def _soft_mediastinum(self, x: Field, y: Field, z: Field) -> Field:
        """Heart, great vessels and hila."""
        r = self.body.heart_mm
        d = ellipsoid(x, y, z, (32.0, -26.0, -32.0), (r, 0.85 * r, r))
        d = blend_union(d, ellipsoid(x, y, z, (-10.0, -24.0, -24.0), (0.75 * r, 0.7 * r, 0.8 * r)), 8.0)
        tubes = (
            ((-14.0, -38.0, 0.0), (-18.0, -30.0, 38.0), 15.0),  # ascending aorta
            ((-18.0, -30.0, 38.0), (26.0, 40.0, 46.0), 13.0),  # arch
            ((26.0, 44.0, 46.0), (20.0, 52.0, -160.0), 12.0),  # descending aorta
            ((-26.0, -14.0, -10.0), (-26.0, -4.0, 90.0), 9.0),  # superior vena cava
            ((-26.0, -8.0, -30.0), (-24.0, 24.0, -160.0), 12.0),  # inferior vena cava, which the liver hangs on
            ((10.0, -30.0, 8.0), (30.0, 12.0, 12.0), 13.0),  # pulmonary trunk, left artery
            ((6.0, 4.0, 6.0), (-40.0, 14.0, 2.0), 10.0),  # right pulmonary artery
            ((30.0, 12.0, 12.0), (52.0, 24.0, -4.0), 9.0),
            ((-18.0, -30.0, 42.0), (-22.0, -6.0, 140.0), 7.0),  # arteries of head and arms
            ((12.0, 10.0, 52.0), (26.0, -4.0, 140.0), 6.0),
            ((6.0, 52.0, 140.0), (2.0, 54.0, -160.0), 7.0),  # oesophagus
        )
        for start, end, radius in tubes:
            d = blend_union(d, capsule(x, y, z, start, end, radius), 4.0)
        return d

    def _airway(self, x: Field, y: Field, z: Field) -> Field:
        """Lumen of the trachea and the main bronchi, which end inside the hila."""
        d = capsule(x, y, z, (0.0, 20.0, 190.0), self.carina, 8.5)
        d = blend_union(d, capsule(x, y, z, self.carina, self.hilum["right"], 6.8), 3.0)
        return blend_union(d, capsule(x, y, z, self.carina, self.hilum["left"], 6.0), 3.0)

    def _wall(self, grid: Grid, x: Field, y: Field, z: Field) -> Field:
        b = self.body
        shoulder = 34.0 * np.clip((z - 50.0) / 70.0, 0.0, 1.0) ** 1.5
        wall = 17.0 + b.fat_mm
        skin = superellipse(
            x, y - 8.0, b.half_width_mm + wall + shoulder, b.half_depth_mm + wall + 8.0 - 0.4 * shoulder, 2.2
        )
        streaks = 14.0 * self._streaks.on(grid)
        muscle = cover(skin + b.fat_mm * (1.0 + 0.3 * np.cos(x / 60.0)) + 0.1 * streaks, 3.0)
        tissue = (FAT_HU + 0.3 * streaks) * (1.0 - muscle) + (MUSCLE_HU + 0.5 * streaks - 8.0) * muscle
        hu = AIR_HU + (tissue - AIR_HU) * cover(skin, EDGE_MM)
        table = np.abs(superellipse(x, y + 40.0, 300.0, b.half_depth_mm + wall + 66.0, 2.0)) - 1.5
        return _over(hu, -300.0, np.maximum(table, 40.0 - y), EDGE_MM)

    def _inside(self, hu: Field, x: Field, y: Field, z: Field, cavity: Field, abdomen: Field, soft: Field) -> Field:
        hu = _over(hu, FAT_HU + 15.0, cavity, EDGE_MM)
        organs = np.where(x < 18.0, LIVER_HU, np.where(y > 15.0, SPLEEN_HU, MUSCLE_HU - 6.0))
        below = np.maximum(cavity + 5.0, np.minimum(abdomen + 1.0, z - self.body.base_mm))
        hu = _over(hu, organs, below, EDGE_MM)
        gas = ellipsoid(x, y, z, (62.0, -44.0, self.body.dome_left_mm - 34.0), (1.6 * self._gas_mm, self._gas_mm, 14.0))
        hu = _over(hu, AIR_HU, gas, EDGE_MM)
        return _over(hu, BLOOD_HU, np.maximum(soft, cavity + 1.0), EDGE_MM)

    def _bones(self, hu: Field, x: Field, y: Field, z: Field, cavity: Field) -> Field:
        around = np.arctan2(np.abs(x), y - 10.0) / np.pi  # 0 at the spine, 1 at the sternum
        turns = (z + RIB_FALL_MM * around) / RIB_PITCH_MM + self._rib_phase
        across = RIB_PITCH_MM * np.abs(turns - np.floor(turns) - 0.5)
        rib = np.maximum(np.abs(cavity - 6.5) - 3.8, across - 5.2)
        hu = _over(hu, np.where(around > 0.8, CARTILAGE_HU, RIB_HU), rib, EDGE_MM)
        front = -self.body.half_depth_mm - 8.0
        sternum = np.maximum(box(x, y - front, 19.0, 6.0, 5.0), np.abs(z - 18.0) - 66.0)
        hu = _over(hu, 230.0, sternum, EDGE_MM)
        for sign in (-1.0, 1.0):
            u = 0.82 * (x - sign * 104.0) + sign * 0.57 * (y - 84.0)
            v = -sign * 0.57 * (x - sign * 104.0) + 0.82 * (y - 84.0)
            hu = _over(hu, CORTEX_HU, ellipsoid(u, v, z, (0.0, 0.0, 62.0), (44.0, 5.0, 68.0)), EDGE_MM)
        return self._spine(hu, x, y, z)

    def _spine(self, hu: Field, x: Field, y: Field, z: Field) -> Field:
        turns = z / VERTEBRA_MM
        along = VERTEBRA_MM * np.abs(turns - np.floor(turns) - 0.5)  # 13 at the discs
        body = superellipse(x, y - 76.0, 19.0 + 0.02 * along**2, 16.0, 2.2)
        hu = _over(hu, CORTEX_HU - 120.0, body, EDGE_MM)
        hu = _over(hu, np.where(along > 10.5, DISC_HU, MARROW_HU), body + 2.0, EDGE_MM)
        canal = superellipse(x, y - 103.0, 11.0, 9.0, 2.0)
        ring = canal - 4.5
        process = np.maximum(box(x, y - 126.0, 4.0, 17.0, 3.0), along - 9.0)
        wings = np.maximum(box(x, y - 100.0, 34.0, 5.0, 4.0), along - 6.0)
        hu = _over(hu, CORTEX_HU - 60.0, np.minimum(np.minimum(ring, process), wings), EDGE_MM)
        return _over(hu, 28.0, canal, EDGE_MM)


def _over(hu: Field, value: Field | float, distance: Field, edge_mm: float) -> Field:
    """Lay a body of this HU over what is there."""
    return np.asarray(hu + (value - hu) * cover(distance, edge_mm), np.float32)
