"""What lies below the diaphragm: liver, spleen, kidneys, stomach and bowel with their gas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.phantom.body import Body
from training.phantom.geometry import BEYOND_MM, Field, Point, blend_union, ellipsoid, local

LIVER_HU, SPLEEN_HU, KIDNEY_HU, BILE_HU = 58.0, 50.0, 33.0, 8.0
GUT_WALL_MM = 2.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Belly:
    """Distances in mm on one grid; `solid_hu` holds inside `solid`."""

    solid: Field
    solid_hu: Field
    hollow: Field  # stomach and bowel with their walls
    gas: Field


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A piece of bowel or the stomach: where it lies from the left dome downwards, and how full of gas it is."""

    centre: Point
    radii: Point
    gas: float  # share of its height, from the front


@dataclass(frozen=True, kw_only=True)
class Build:
    """One patient's organs."""

    loops: tuple[Loop, ...]
    liver_hu: float
    liver_reach_mm: float
    spleen: float

    @staticmethod
    def drawn(rng: np.random.Generator) -> Build:
        def loop(low: Point, high: Point, small: float, large: float, gas: float) -> Loop:
            r, c = rng.uniform(small, large, 3), rng.uniform(low, high)
            return Loop(
                centre=(float(c[0]), float(c[1]), float(c[2])),
                radii=(float(r[0]), float(r[1]), float(r[2])),
                gas=float(rng.uniform(0.1, 1.0)) if rng.random() < gas else 0.0,
            )

        stomach = loop((46, -40, -48), (66, -10, -34), 26.0, 46.0, 0.85)
        flexure = [loop((70, -40, -60), (112, 20, -16), 13.0, 27.0, 0.8) for _ in range(int(rng.integers(1, 4)))]
        colon = [loop((-90, -82, -190), (95, -50, -70), 14.0, 26.0, 0.6) for _ in range(int(rng.integers(3, 7)))]
        small = [loop((-70, -60, -230), (80, 30, -110), 12.0, 20.0, 0.2) for _ in range(int(rng.integers(6, 11)))]
        under_right = [loop((-100, -70, -30), (-60, -50, -14), 14.0, 24.0, 1.0)] if rng.random() < 0.08 else []
        return Build(
            loops=(stomach, *flexure, *colon, *small, *under_right),
            liver_hu=float(rng.normal(0.0, 12.0)),
            liver_reach_mm=float(rng.uniform(5, 55)),
            spleen=float(rng.uniform(0.8, 1.25)),
        )

    def on(self, body: Body, x: Field, y: Field, z: Field, cavity: Field, dome: Field, scale: float) -> Belly:
        """The organs at points of the standard chest, given the rib cage and the domes there."""
        x, y, z, cavity, dome = np.broadcast_arrays(x, y, z, cavity, dome)
        solid, solid_hu, hollow, gas = (np.full(x.shape, BEYOND_MM, np.float32) for _ in range(4))
        top = max(body.dome_right_mm, body.dome_left_mm) + 15.0
        low = np.flatnonzero((z < top).any(axis=(1, 2)))
        if low.size:
            part = slice(int(low[0]), int(low[-1]) + 1)
            px, py, pz = x[part], y[part], z[part]
            roof = np.maximum(dome[part] + 2.5, cavity[part] + 4.0)  # nothing pierces the diaphragm
            organs, solid_hu[part] = self._solid(body, px, py, pz)
            guts, bubbles = self._guts(px, py, pz, body.dome_left_mm)
            guts = np.maximum(guts, -organs - 1.0)
            solid[part] = np.maximum(organs, roof) * scale
            hollow[part] = np.maximum(guts, roof) * scale
            gas[part] = np.maximum(np.maximum(bubbles, guts + GUT_WALL_MM), roof + GUT_WALL_MM) * scale
        return Belly(solid=solid, solid_hu=solid_hu, hollow=hollow, gas=gas)

    def _solid(self, body: Body, x: Field, y: Field, z: Field) -> tuple[Field, Field]:
        """Liver, spleen and kidneys, and what they measure."""
        liver = self._liver(body, x, y, z)
        size = self.spleen
        spleen = ellipsoid(x, y, z, (94.0, 44.0, body.dome_left_mm - 48.0), (30.0 * size, 42.0 * size, 46.0))
        kidneys = np.minimum(
            ellipsoid(x, y, z, (62.0, 62.0, -165.0), (27.0, 25.0, 52.0)),
            ellipsoid(x, y, z, (-62.0, 60.0, -175.0), (27.0, 25.0, 52.0)),
        )
        gall = ellipsoid(x, y, z, (-38.0, -34.0, -150.0), (16.0, 16.0, 30.0))
        solid = np.minimum(np.minimum(liver, spleen), kidneys)
        hu = np.where(liver <= solid, LIVER_HU + self.liver_hu, np.where(spleen <= solid, SPLEEN_HU, KIDNEY_HU))
        return solid, np.asarray(np.where(gall < 0, BILE_HU, hu), np.float32)

    def _liver(self, body: Body, x: Field, y: Field, z: Field) -> Field:
        """Fills the right dome; its left lobe reaches over the midline in front."""
        top = body.dome_right_mm
        right = ellipsoid(x, y, z, (-66.0, 0.0, top - 70.0), (92.0, 92.0, 104.0))
        left = ellipsoid(x, y, z, (0.6 * self.liver_reach_mm, -42.0, top - 34.0), (52.0, 40.0, 34.0))
        return blend_union(right, left, 18.0)

    def _guts(self, x: Field, y: Field, z: Field, low: float) -> tuple[Field, Field]:
        hollow = np.full(x.shape, BEYOND_MM, np.float32)
        gas = hollow.copy()
        for loop in self.loops:
            centre = (loop.centre[0], loop.centre[1], low + loop.centre[2] if loop.centre[2] > -70 else loop.centre[2])

            def shape(x: Field, y: Field, z: Field, centre: Point = centre, radii: Point = loop.radii) -> Field:
                return ellipsoid(x, y, z, centre, radii)

            corners = [
                tuple(c + sign * (r + 12.0) for c, r in zip(centre, loop.radii, strict=True)) for sign in (-1.0, 1.0)
            ]
            d = local(shape, x, y, z, _point(corners[0]), _point(corners[1]))
            np.minimum(hollow, d, out=hollow)
            if loop.gas > 0:  # gas rises to the front of a lying patient and stands on a level
                level = y - (centre[1] - loop.radii[1] + 2.0 * loop.radii[1] * loop.gas)
                np.minimum(gas, np.maximum(d + GUT_WALL_MM, level), out=gas)
        return hollow, gas


def _point(p: tuple[float, ...]) -> Point:
    return p[0], p[1], p[2]
