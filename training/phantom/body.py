"""The size and build of one patient, in the millimetres of a standard chest (LPS, origin mid-chest)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from training.phantom.geometry import Point

ELEVATED = 0.10  # of people with other domes: one half of the diaphragm stands high
HIGHEST_MM = (6.0, 2.0)  # of the right and the left dome


@dataclass(frozen=True, kw_only=True)
class Dome:
    """The form of one half of the diaphragm. Lengths in the millimetres of a standard chest."""

    wide: float = 1.0  # across, by the usual: the wider, the flatter
    front_mm: float = -22.0  # where its summit lies from front to back
    aside: float = 0.42  # of the rib cage's half width, from the midline to the summit
    bulge_mm: Point | None = None  # a second summit: outwards, backwards and down from the first
    bulge_wide_mm: float = 30.0

    @staticmethod
    def varied(rng: np.random.Generator, *, flat: bool) -> Dome:
        """Steep, shallow or flat as over lungs with emphysema; every third lobulated, as slips of muscle make it."""
        wide = float(rng.uniform(1.2, 1.5) if flat else rng.uniform(0.82, 1.25))
        front, aside = float(rng.uniform(-42, 6)), float(rng.uniform(0.34, 0.50))
        bulge = rng.uniform((-30.0, -40.0, 2.0), (34.0, 52.0, 22.0))
        return Dome(
            wide=wide,
            front_mm=front,
            aside=aside,
            bulge_mm=(float(bulge[0]), float(bulge[1]), float(bulge[2])) if rng.random() < 0.35 else None,
            bulge_wide_mm=float(rng.uniform(22, 40)),
        )


@dataclass(frozen=True, kw_only=True)
class Body:
    """Sizes of one patient. Lengths in mm before `scale`, which stretches the whole chest along x, y and z."""

    half_width_mm: float = 141.0  # of the rib cage, inside
    half_depth_mm: float = 96.0
    apex_mm: float = 108.0  # height of the lung tops above mid-chest
    base_mm: float = -104.0  # height of the deepest recess at mid-depth; behind it goes deeper
    dome_right_mm: float = -42.0
    dome_left_mm: float = -54.0
    fat_mm: float = 16.0
    heart_mm: float = 58.0  # half the heart's transverse diameter
    waviness_mm: float = 2.0
    scale: Point = (1.0, 1.0, 1.0)
    warp_mm: float = 3.0  # smooth displacement of everything, one standard deviation
    arms_down: bool = False
    breasts_mm: float = 0.0  # how far they stand out
    mediastinum_mm: float = 19.0  # half the width of what lies between the lungs above the heart
    squareness: float = 2.1  # of the rib cage's section: 2 is an ellipse
    table: str = "curved"  # or "flat", or "none"
    clothing: bool = False
    domes: tuple[Dome, Dome] = (Dome(), Dome())  # right, left

    @staticmethod
    def drawn(rng: np.random.Generator) -> Body:
        """A patient of plausible size, arms up: 3 to 6 L of lung."""
        size = float(rng.normal(1.0, 0.04))
        scale = (size * float(rng.uniform(0.96, 1.04)), size * float(rng.uniform(0.94, 1.08)), 1.0)
        return Body(
            scale=scale,
            dome_right_mm=float(rng.uniform(-54, -34)),
            dome_left_mm=float(rng.uniform(-64, -50)),
            fat_mm=float(rng.uniform(8, 30)),
            heart_mm=float(rng.uniform(52, 63)),
            clothing=bool(rng.random() < 0.5),
        )

    @staticmethod
    def varied(rng: np.random.Generator, *, expiration: bool = False) -> Body:
        """Anybody: small or large, lean or obese, arms up or down, deep or shallow breath (PHANTOM.md 1)."""
        size = float(np.clip(rng.normal(0.98, 0.08), 0.78, 1.18))
        scale = (
            size * float(rng.uniform(0.92, 1.08)),
            size * float(rng.uniform(0.86, 1.16)),
            float(np.clip(size * rng.uniform(0.82, 1.16), 0.72, 1.2)),
        )
        right = float(rng.uniform(-58, -26)) + (float(rng.uniform(20, 38)) if expiration else 0.0)
        if rng.random() < 0.06:  # a diaphragm that does not move
            right += float(rng.uniform(10, 25))
        left = right - float(rng.uniform(2, 18))
        if rng.random() < 0.06:
            left += float(rng.uniform(20, 40))
        return Body(
            half_depth_mm=float(rng.uniform(90, 104)),
            apex_mm=float(rng.uniform(100, 114)),
            base_mm=float(rng.uniform(-122, -102)),
            dome_right_mm=min(right, HIGHEST_MM[0]),
            dome_left_mm=min(left, HIGHEST_MM[1]),
            fat_mm=float(np.clip(rng.lognormal(np.log(16.0), 0.6), 5.0, 60.0)),
            heart_mm=float(np.clip(rng.normal(58.0, 7.0), 44.0, 78.0)),
            waviness_mm=float(rng.uniform(1.0, 4.0)),
            scale=scale,
            warp_mm=float(rng.uniform(2.5, 6.0)),  # peaks of 5 to 15 mm
            arms_down=bool(rng.random() < 0.2),
            breasts_mm=float(rng.uniform(10, 45)) if rng.random() < 0.45 else 0.0,
            mediastinum_mm=float(rng.uniform(14, 28)),
            squareness=float(rng.uniform(1.9, 2.4)),
            table=str(rng.choice(["curved", "flat", "none"], p=[0.65, 0.25, 0.10])),
            clothing=bool(rng.random() < 0.6),
        )

    def with_other_domes(self, rng: np.random.Generator, *, flat: bool) -> Body:
        """The same person with another diaphragm, in one of ten with one half of it raised: palsy, or scarred lung
        that draws it up. `flat`: low on both sides, as emphysema presses it."""
        right, left = self.dome_right_mm, self.dome_left_mm
        lower = float(rng.uniform(6, 24))
        raised, is_raised, is_right = float(rng.uniform(18, 42)), rng.random() < ELEVATED, rng.random() < 0.6
        if flat:
            right, left = right - lower, left - lower
        elif is_raised and is_right:
            right += raised
        elif is_raised:
            left += raised
        return replace(
            self,
            dome_right_mm=min(right, HIGHEST_MM[0]),
            dome_left_mm=min(left, HIGHEST_MM[1]),
            domes=(Dome.varied(rng, flat=flat), Dome.varied(rng, flat=flat)),
        )
