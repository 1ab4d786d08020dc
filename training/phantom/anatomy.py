"""The chest inside its wall: lungs, airways, mediastinum and diaphragm, as signed distances. mm in LPS.

Proportions are those of an adult, supine. The right dome stands higher, the heart lies to the left and the left lung
is the smaller one, so that a swapped side or axis shows. Everything is drawn in a standard chest, into which the
patient's own points are carried by his scale and a smooth warp; distances are in the patient's millimetres near
enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.phantom import belly, wall
from training.phantom.body import Body
from training.phantom.geometry import (
    BEYOND_MM,
    Field,
    Grid,
    Point,
    blend_cut,
    blend_union,
    capsule,
    ellipsoid,
    local,
    noise,
    superellipse,
)

FIRM_WALL_MM = 1.5  # of trachea and bronchi
WARP_REACH_MM = 65.0  # correlation length of the warp
SIDE_AXIS_MM = 56.0  # how far the middle of each half of the rib cage lies from the midline
LOWER_BEHIND, FRONT_MM = 0.30, -35.0  # the recess goes deeper behind: mm per mm, from where on
RECESS_STEEP, RECESS_MM = 1.0, 8.0  # how fast it closes away from the wall, mm per mm, and over which depth
# Fissures as planes of the standard chest: height at y = 0, rise per mm towards the back, bowing per mm sideways.
OBLIQUE_MM, OBLIQUE_RISE, OBLIQUE_BOW = -26.0, 0.78, 0.10
HORIZONTAL_MM, HORIZONTAL_BOW = 10.0, 0.0022
HILA = (((-50.0, 19.0, -5.0), (15.0, 12.0, 21.0)), ((55.0, 23.0, -8.0), (14.0, 12.0, 20.0)))  # centre, radii
DOME_MM = 100.0  # from the summit of a dome down to where it is widest
HEART_MM = -32.0  # height of its middle
EFFUSION_REACH = 3.2  # height of an effusion by its depth

Sides = dict[str, Field]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lungs:
    """Signed distances on one grid, large airways and fluid already cut out; and where a point lies in its lung."""

    right: Field
    left: Field
    fluid: Field
    airway: Field  # lumen of trachea and main bronchi
    soft: Field  # heart, great vessels, hila
    cavity: Field  # inside of the rib cage
    dome: Field  # below the diaphragm
    oblique: Field  # above the oblique fissure it is positive
    horizontal: Field


@dataclass(frozen=True, kw_only=True, eq=False)
class Shapes:
    """Everything the painter needs from the anatomy, on one grid."""

    lungs: Lungs
    wall: wall.Wall
    belly: belly.Belly
    gullet: Field  # gas in the oesophagus
    height: Field  # z in the standard chest
    depth: Field  # y, towards the back


class Chest:
    """One patient's chest, to be asked about any grid. `effusion_mm`: depth of fluid behind the right and left lung."""

    def __init__(self, body: Body, rng: np.random.Generator, effusion_mm: tuple[float, float] = (0.0, 0.0)) -> None:
        self.body = body
        self._wave = noise(rng, 22.0)
        self._warp = [noise(rng, WARP_REACH_MM) for _ in range(3)] if body.warp_mm > 0 else []
        self._effusion_mm = dict(zip(("right", "left"), effusion_mm, strict=True))
        self._gullet_mm = float(rng.uniform(0.5, 4.5)) if rng.random() < 0.4 else 0.0
        self._gullet_range = sorted(rng.uniform(-80, 90, 2))
        self._heart_shift = rng.uniform(-5.0, 5.0, 3)
        self._fissure_tilt = rng.uniform(-0.3, 0.3, 2)  # of the horizontal fissure, to the back and to the left
        self._aorta_mm = float(rng.uniform(0.85, 1.25))
        self._wall = wall.Build.drawn(rng)
        self._belly = belly.Build.drawn(rng)
        self.carina = (1.0, 34.0, 24.0)
        self.hilum = {"right": self.real((-44.0, 20.0, 0.0)), "left": self.real((50.0, 24.0, -2.0))}
        self.heart = self.real((28.0, -26.0, -32.0))

    @property
    def mean_scale(self) -> float:
        return float(np.mean(self.body.scale))

    def standard(self, grid: Grid) -> tuple[Field, Field, Field]:
        """Where the voxels of a grid lie in the standard chest."""
        found = [p / np.float32(s) for p, s in zip(grid.points(), self.body.scale, strict=True)]
        for i, shift in enumerate(self._warp):
            found[i] = found[i] + np.float32(self.body.warp_mm) * shift.on(grid)
        return found[0], found[1], found[2]

    def real(self, point: Point) -> Point:
        """Where a point of the standard chest lies in this patient."""
        p = np.asarray(point) * self.body.scale
        for _ in range(3 if self._warp else 0):
            there = Grid(shape=(1, 1, 1), affine_lps=_at(p))
            p = p + (np.asarray(point) - [float(v.item()) for v in self.standard(there)]) * self.body.scale
        return float(p[0]), float(p[1]), float(p[2])

    def lungs(self, grid: Grid) -> Lungs:
        """The lungs and what bounds them."""
        return self._lungs(grid, *self.standard(grid))

    def on(self, grid: Grid) -> Shapes:
        """All shapes on a grid."""
        x, y, z = self.standard(grid)
        lungs = self._lungs(grid, x, y, z)
        m = self.mean_scale
        gullet = capsule(x, y, z, *self._gullet_line(), max(self._gullet_mm, 0.1)) if self._gullet_mm else lungs.airway
        return Shapes(
            lungs=lungs,
            wall=self._wall.on(self.body, x, y, z, lungs.cavity / m, grid.points()[:2], m),
            belly=self._belly.on(self.body, x, y, z, lungs.cavity / m, lungs.dome / m, m),
            gullet=np.asarray(gullet * m, np.float32),
            height=np.broadcast_to(z, grid.shape),
            depth=np.broadcast_to(y, grid.shape),
        )

    def _lungs(self, grid: Grid, x: Field, y: Field, z: Field) -> Lungs:
        wave = self.body.waviness_mm * self._wave.on(grid)
        cages = {side: self._cage(x, y, z, side) for side in ("right", "left")}
        domes = {side: self._dome(x, y, z, side) + wave for side in ("right", "left")}
        great = local(self._great_vessels, x, y, z, (-105.0, -105.0, -400.0), (135.0, 110.0, 400.0))
        heart = local(self._heart, x, y, z, (-105.0, -120.0, -200.0), (150.0, 70.0, 70.0))
        # The heart rests on the diaphragm: lungs do not reach under it, and it does not reach into the belly.
        soft = blend_union(np.maximum(heart, 2.0 - np.minimum(domes["right"], domes["left"])), great, 4.0)
        airway = local(self._airway, x, y, z, (-75.0, -25.0, -25.0), (80.0, 65.0, 400.0))
        spine = superellipse(x, y - 84.0, 30.0, 34.0, 2.0)
        core = blend_union(blend_union(blend_union(heart, great, 4.0) - 2.5, spine, 10.0), self._midline(x, y, z), 8.0)
        core = np.minimum(core + 0.7 * wave, airway - 2.0 * FIRM_WALL_MM)
        m = np.float32(self.mean_scale)
        lungs, fluids = {}, []
        for side, cage in cages.items():
            whole = self._lung(x, y, z, side, cage + 0.5 * wave, domes[side], core)
            lungs[side] = whole * m
            if self._effusion_mm[side] > 0:
                level = self._level(y, z, cage, self._effusion_mm[side])
                lungs[side] = blend_cut(whole, level, 5.0) * m
                fluids.append(np.maximum(whole, level) * m)
        cavity = blend_union(cages["right"], cages["left"], 46.0)
        oblique = z - OBLIQUE_MM - OBLIQUE_RISE * y + OBLIQUE_BOW * np.abs(x) + 3.5 * wave
        return Lungs(
            right=np.asarray(lungs["right"], np.float32),
            left=np.asarray(lungs["left"], np.float32),
            fluid=np.asarray(np.minimum.reduce(fluids), np.float32) if fluids else np.full(grid.shape, 99, np.float32),
            airway=np.asarray(airway * m, np.float32),
            soft=np.asarray(soft * m, np.float32),
            cavity=np.asarray(np.broadcast_to(cavity, grid.shape) * m, np.float32),
            dome=np.asarray(np.minimum(domes["right"], domes["left"]) * m, np.float32),
            oblique=np.asarray(oblique * m / 1.27, np.float32),
            horizontal=np.asarray((self._above_horizontal(x, y, z) + 2.5 * wave) * m, np.float32),
        )

    def _above_horizontal(self, x: Field, y: Field, z: Field) -> Field:
        """A shallow dome, tilted its own way in everybody."""
        rise, tilt = (float(v) for v in self._fissure_tilt)
        u, v = x + 70.0, y + 25.0
        return np.asarray(z - HORIZONTAL_MM - rise * v - tilt * u + HORIZONTAL_BOW * (u * u + v * v), np.float32)

    def _cage(self, x: Field, y: Field, z: Field, side: str) -> Field:
        """Inside of one half of the rib cage: an egg, blunt behind, that narrows to a cone over the lung's top."""
        b = self.body
        sign = -1.0 if side == "right" else 1.0
        u = np.clip((z + 8.0) / (b.apex_mm + 8.0), 0.0, 0.9999)
        narrow = np.sqrt(1.0 - u**2)
        flare = 1.0 + 0.06 * np.clip(-z / 100.0, 0.0, 1.0)
        front = 1.0 - 0.16 * np.clip(-y / b.half_depth_mm, 0.0, 1.2)
        section = superellipse(
            x - sign * (SIDE_AXIS_MM + 0.10 * y - 8.0 * u**2),
            y - 4.0 - 18.0 * u**2,
            (b.half_width_mm - SIDE_AXIS_MM) * narrow * flare * front,
            (b.half_depth_mm + 7.0) * (0.25 + 0.75 * narrow) * narrow**0.15,
            b.squareness,
        )
        return np.asarray(np.maximum(section, z - b.apex_mm), np.float32)

    def _dome(self, x: Field, y: Field, z: Field, side: str) -> Field:
        """What lies below the diaphragm on one side."""
        b = self.body
        sign, top = (-1.0, b.dome_right_mm) if side == "right" else (1.0, b.dome_left_mm)
        form = b.domes[0 if side == "right" else 1]
        centre = (sign * form.aside * b.half_width_mm, form.front_mm, top - DOME_MM)
        radii = (0.61 * form.wide * b.half_width_mm, 1.02 * form.wide * b.half_depth_mm, DOME_MM)
        dome = ellipsoid(x, y, z, centre, radii)
        if form.bulge_mm is None:
            return dome
        outward, behind, down = form.bulge_mm
        wide = form.bulge_wide_mm
        summit = (centre[0] + sign * outward, centre[1] + behind, top - down - 1.6 * wide)
        post = np.maximum(z, summit[2])  # below its widest it goes straight down: no lung under an overhang
        return blend_union(dome, ellipsoid(x, y, post, summit, (wide, wide, 1.6 * wide)), 14.0)

    def _lung(self, x: Field, y: Field, z: Field, side: str, cage: Field, dome: Field, core: Field) -> Field:
        outward = x if side == "right" else -x  # positive beyond the midline
        # Away from the wall the recess ends higher: a slice shows a sickle there, not a level.
        floor = (
            self.body.base_mm
            - LOWER_BEHIND * np.maximum(y, FRONT_MM)
            - RECESS_STEEP * np.clip(cage, -RECESS_MM, 0.0)
            - z
        )
        d = np.maximum(blend_cut(cage, dome, 3.0), np.maximum(outward + 2.5, floor / (1.0 + RECESS_STEEP)))
        return blend_cut(np.asarray(d, np.float32), core, 5.0)

    def _level(self, y: Field, z: Field, cage: Field, depth_mm: float) -> Field:
        """Fluid lies at the back and the base and creeps up the wall."""
        up = np.clip((z - self.body.base_mm) / (EFFUSION_REACH * depth_mm), 0.0, 1.3)
        deep = depth_mm * (1.1 - up)
        behind = (self.body.half_depth_mm - y) - deep
        return np.asarray(np.minimum(behind, -cage - 0.35 * deep), np.float32)

    def _midline(self, x: Field, y: Field, z: Field) -> Field:
        """Mediastinal fat: wide in the middle, thin where the lungs nearly touch in front."""
        wide = self.body.mediastinum_mm + 6.0 * np.clip(z / 80.0, 0.0, 1.2)
        rise = np.clip((y + 62.0) / 55.0, 0.0, 1.0)
        half = 4.0 + (wide - 4.0) * rise * rise * (3.0 - 2.0 * rise)
        half = half + (wide - half) * np.clip((z - 55.0) / 40.0, 0.0, 1.0)
        return np.asarray(np.maximum(np.abs(x - 4.0) - half, np.abs(y) - 112.0), np.float32)

    def _heart(self, x: Field, y: Field, z: Field) -> Field:
        """The heart in its sac, whose sides go straight down below its widest part."""
        r = self.body.heart_mm
        sx, sy, sz = (float(v) for v in self._heart_shift)
        down = np.where(z < HEART_MM, HEART_MM + 0.45 * (z - HEART_MM), z)
        d = ellipsoid(x, y, down, (32.0 + sx, -26.0 + sy, HEART_MM + sz), (r, 0.85 * r, r))
        return blend_union(d, ellipsoid(x, y, down, (-10.0, -24.0, HEART_MM), (0.75 * r, 0.7 * r, 0.85 * r)), 10.0)

    def _great_vessels(self, x: Field, y: Field, z: Field) -> Field:
        """Great vessels, oesophagus and hila."""
        a = self._aorta_mm
        d = np.full(x.shape, BEYOND_MM, np.float32)
        tubes = (
            ((-14.0, -38.0, 0.0), (-18.0, -30.0, 38.0), 17.0 * a),  # ascending aorta
            ((-18.0, -30.0, 38.0), (24.0, 36.0, 48.0), 13.5 * a),  # arch
            ((26.0, 44.0, 46.0), (20.0, 52.0, -220.0), 12.5 * a),  # descending aorta
            ((-26.0, -14.0, -10.0), (-26.0, -4.0, 90.0), 10.5),  # superior vena cava
            ((-26.0, -8.0, -30.0), (-24.0, 24.0, -220.0), 11.0),  # inferior vena cava, which the liver hangs on
            ((8.0, -36.0, 0.0), (30.0, 10.0, 14.0), 15.0),  # pulmonary trunk, left artery
            ((12.0, -4.0, 8.0), (-42.0, 12.0, 2.0), 11.0),  # right pulmonary artery
            ((30.0, 12.0, 12.0), (54.0, 24.0, -6.0), 9.5),
            ((-34.0, 6.0, -14.0), (34.0, 8.0, -16.0), 15.0),  # left atrium and the veins that enter it
            ((-36.0, 16.0, 0.0), (-44.0, 20.0, -22.0), 6.0),
            ((46.0, 22.0, -4.0), (50.0, 26.0, -26.0), 6.0),
            ((-18.0, -30.0, 42.0), (-22.0, -6.0, 140.0), 7.0),  # arteries of head and arms
            ((12.0, 10.0, 52.0), (26.0, -4.0, 140.0), 6.0),
            ((6.0, 52.0, 140.0), (2.0, 54.0, -220.0), 6.0),  # oesophagus
        )
        for start, end, radius in tubes:
            d = blend_union(d, capsule(x, y, z, start, end, radius), 4.0)
        for hilum in HILA:  # trunks and nodes, which are no lung
            d = blend_union(d, ellipsoid(x, y, z, *hilum), 6.0)
        return d

    def _gullet_line(self) -> tuple[Point, Point]:
        low, high = self._gullet_range
        return (3.0, 53.0, float(low)), (4.5, 52.5, float(high))

    def _airway(self, x: Field, y: Field, z: Field) -> Field:
        """Lumen of the trachea and the main bronchi, which end inside the hila."""
        d = capsule(x, y, z, (0.0, 14.0, 210.0), self.carina, 8.5)
        d = blend_union(d, capsule(x, y, z, self.carina, (-44.0, 20.0, 0.0), 6.8), 3.0)
        return blend_union(d, capsule(x, y, z, self.carina, (50.0, 24.0, -2.0), 6.0), 3.0)


def _at(p: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    affine = np.eye(4)
    affine[:3, 3] = np.asarray(p)
    return affine
