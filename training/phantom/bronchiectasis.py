"""Infected bronchiectasis: groups of cysts and widened bronchi with consolidated lung between them, mucus and pus in
bronchi, and tree-in-bud around. Lengths in mm, LPS.

As textbooks of thoracic radiology describe it (Webb, Müller and Naidich, High-Resolution CT of the Lung; Fleischner
Society, Glossary of Terms for Thoracic Imaging, 2008): bronchi wider than the artery beside them, evenly (cylindric),
like a string of beads (varicose) or ending in groups of cysts up to 2 cm wide (cystic), with walls of 1 to 4 mm;
mucus fills some of them, solid fingers that branch; small airways full of it show as nodules of 2 to 4 mm on short
stalks (tree-in-bud). They follow the tree that is there: what is widened are bronchi beside the patient's own arteries.

**What counts as lesion** is the whole group as one would draw round it: lumina, walls, plugs and the lung between them,
as elsewhere in the phantom the air in the bronchi of a consolidation belongs to it; buds where they stand close.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantom.anatomy import Lungs
from training.phantom.geometry import Field, Grid, Point, Sampled, capsule, noise
from training.phantom.lobes import Lobe, lobe_distance
from training.phantom.pathology import FAR, LesionMap
from training.phantom.tubes import Points, Tubes

BRANCHES_MM = (0.42, 2.6)  # radii of the arteries whose bronchi are widened
CYST_MM, TUBE_MM, FINGER_MM, BUD_MM = (2.8, 9.5), (2.0, 4.2), (1.7, 3.6), (1.0, 2.0)  # radii
BEADS, BEADED = 4, 0.32  # of a varicose bronchus, and how much thicker and thinner than its mean it gets
PACKED = 150  # tries to put one cyst beside another
STALK_MM = 0.7  # radius of what bears a bud
TOGETHER_MM, BUDS_TOGETHER_MM = 4.0, 2.2  # how far apart what belongs to one lesion may lie: a scale, not a limit
BORDER_MM = 2.5  # width of the lesion's border
UNEVEN_MM, RAGGED_MM = 6.0, 5.0  # correlation length of the consolidation between cysts, and how far its border wanders
CLEAR_MM = 1.0  # between what is widened and the border of its lobe

Rng = np.random.Generator
Depth = Callable[[Points], NDArray[np.float64]]  # of points below the surface of their lobe, negative outside


@dataclass(frozen=True, kw_only=True)
class Conglomerate:
    """One group of widened bronchi in one lobe. Shares run from 0 to 1."""

    centre_lps_mm: Point
    lobe: Lobe
    reach_mm: float  # from the centre
    wall_mm: float = 2.5
    cystic: float = 0.5  # of the widened bronchi; the others are tubes, with beads and without
    plugged: float = 0.3  # of them, full of mucus
    consolidated: float = 0.6  # how much of what lies between
    fingers: int = 6  # plugged bronchi outside the group
    buds: int = 30
    added_hu: float = 300.0  # of the ground glass between and around


@dataclass(frozen=True, kw_only=True, eq=False)
class Branch:
    """One bronchus as connected pieces, by the radius of what fills it; `wall_mm` around it."""

    tubes: Tubes
    wall_mm: float
    is_plugged: bool

    @property
    def outside(self) -> Tubes:
        return self.tubes.widened(1.0, self.wall_mm)


@dataclass(frozen=True, kw_only=True, eq=False)
class Grown:
    """One conglomerate as it lies in its patient."""

    of: Conglomerate
    branches: tuple[Branch, ...]  # widened bronchi of the group
    around: tuple[Branch, ...]  # fingers, and buds with their stalks

    @property
    def lumina(self) -> list[Tubes]:
        return [b.tubes for b in self.branches if not b.is_plugged]

    @property
    def walls(self) -> list[Tubes]:
        return [b.outside for b in self.branches if not b.is_plugged]

    @property
    def solid(self) -> list[Tubes]:
        return [b.outside for b in (*self.branches, *self.around) if b.is_plugged]


def grow(wanted: Conglomerate, rng: Rng, bronchi: Tubes, depth: Depth) -> Grown:
    """Widen what lies near the centre of a lobe's `bronchi` (with the radii of their arteries), fill some of it."""
    thick = bronchi.where((bronchi.radius_mm > BRANCHES_MM[0]) & (bronchi.radius_mm < BRANCHES_MM[1]))
    away = np.linalg.norm((thick.start + thick.end) / 2 - wanted.centre_lps_mm, axis=1) / wanted.reach_mm
    order = rng.permutation(len(away))
    branches: list[Branch] = []
    for i in order[away[order] < 1.0]:
        branch = _widened(wanted, rng, thick.start[i], thick.end[i])
        if _lies_inside(branch.outside, depth) and not _runs_into(branch, branches):
            branches.append(branch)
    _pack(wanted, rng, branches, depth)
    around = [
        finger
        for i in order[(away[order] > 0.8) & (away[order] < 2.4)][: 3 * wanted.fingers]
        if _lies_inside((finger := _finger(rng, thick.start[i], thick.end[i])).outside, depth)
    ][: wanted.fingers]
    return Grown(of=wanted, branches=tuple(branches), around=(*around, *_tree_in_bud(wanted, rng, bronchi, depth)))


def _widened(wanted: Conglomerate, rng: Rng, start: Points, end: Points) -> Branch:
    """A cyst, a string of beads or a tube along one piece of the tree."""
    unit = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
    wall = wanted.wall_mm * float(rng.uniform(0.7, 1.25))
    is_plugged = bool(rng.random() < wanted.plugged)
    if rng.random() < wanted.cystic:
        radius = float(np.clip(rng.lognormal(np.log(4.6), 0.4), *CYST_MM))
        half = unit * radius * rng.uniform(0.0, 0.7)
        middle = (start + end) / 2
        return Branch(
            tubes=_chain(np.stack([middle - half, middle + half]), [radius]), wall_mm=wall, is_plugged=is_plugged
        )
    length = max(float(np.linalg.norm(end - start)), float(rng.uniform(10, 24)))
    count = 2 * BEADS
    bend = np.cross(unit, rng.standard_normal(3)) * rng.uniform(0.0, 0.15) * length
    t = np.linspace(0.0, 1.0, count + 1)[:, None]
    points = start + unit * length * t + bend * t * (1.0 - t) * 4.0
    beaded = BEADED if rng.random() < 0.6 else 0.06
    radii = rng.uniform(*TUBE_MM) * (
        1.0 + beaded * np.where(np.arange(count) % 2, 1.0, -1.0) * rng.uniform(0.5, 1, count)
    )
    return Branch(tubes=_chain(points, radii.tolist()), wall_mm=wall, is_plugged=is_plugged)


def _pack(wanted: Conglomerate, rng: Rng, branches: list[Branch], depth: Depth) -> None:
    """Cysts side by side with those that are there, like grapes, a wall between each two; in place."""
    seeds = list(branches)
    for _ in range(round(PACKED * wanted.cystic) if seeds else 0):
        beside = seeds[rng.integers(len(seeds))]
        points, wide = _samples(beside.tubes)
        at = int(rng.integers(len(points)))
        radius, wall = float(np.clip(rng.lognormal(np.log(3.8), 0.4), *CYST_MM)), wanted.wall_mm
        way = rng.standard_normal(3)
        middle = points[at] + way / np.linalg.norm(way) * (wide[at] + radius + wall * rng.uniform(0.6, 1.1))
        cyst = Branch(
            tubes=_chain(np.stack([middle, middle + 0.01]), [radius]),
            wall_mm=wall * float(rng.uniform(0.7, 1.1)),
            is_plugged=bool(rng.random() < wanted.plugged),
        )
        is_near = bool(np.linalg.norm(middle - wanted.centre_lps_mm) < wanted.reach_mm)
        if is_near and _lies_inside(cyst.outside, depth) and not _runs_into(cyst, branches):
            branches.append(cyst)
            seeds.append(cyst)


def _finger(rng: Rng, start: Points, end: Points) -> Branch:
    """A plugged bronchus that divides once or not at all."""
    unit = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
    length, radius = float(rng.uniform(8, 24)), float(rng.uniform(*FINGER_MM))
    parts = [_chain(np.stack([start, start + unit * length]), [radius])]
    if rng.random() < 0.6:
        aside = np.cross(unit, rng.standard_normal(3))
        way = unit + aside / max(float(np.linalg.norm(aside)), 1e-6) * rng.uniform(0.4, 0.9)
        fork = start + unit * length * rng.uniform(0.2, 0.6)
        parts.append(_chain(np.stack([fork, fork + way * length * rng.uniform(0.3, 0.6)]), [0.8 * radius]))
    return Branch(tubes=Tubes.joined(parts), wall_mm=0.3, is_plugged=True)


def _tree_in_bud(wanted: Conglomerate, rng: Rng, bronchi: Tubes, depth: Depth) -> list[Branch]:
    """Clusters of nodules on stalks about the ends of the tree, in and around the group."""
    away = np.linalg.norm(bronchi.end - wanted.centre_lps_mm, axis=1) / wanted.reach_mm
    found: list[Branch] = []
    for i in rng.permutation(np.flatnonzero(away < 2.5)):
        if len(found) >= wanted.buds:
            break
        middle = bronchi.end[i]
        size = int(rng.integers(4, 14))
        stem = rng.normal(0.0, 6.5, (size, 3)) + middle
        way = rng.standard_normal((size, 3))
        tip = stem + way / np.linalg.norm(way, axis=1, keepdims=True) * rng.uniform(2.0, 5.0, (size, 1))
        radius = rng.uniform(*BUD_MM, size)
        deep = depth(tip) > BUD_MM[1] + CLEAR_MM
        for a, b, r, inside in zip(stem, tip, radius.tolist(), deep, strict=True):
            tubes = Tubes(start=np.stack([a, b]), end=np.stack([b, b + 0.01]), radius_mm=np.array([STALK_MM, r]))
            if inside:
                found.append(Branch(tubes=tubes, wall_mm=0.0, is_plugged=True))
    return found[: wanted.buds]


def _chain(points: Points, radii: list[float]) -> Tubes:
    return Tubes(start=points[:-1], end=points[1:], radius_mm=np.asarray(radii, float))


def _lies_inside(tubes: Tubes, depth: Depth) -> bool:
    ends = np.minimum(depth(tubes.start), depth(tubes.end))
    return bool((ends > tubes.radius_mm + CLEAR_MM).all())


def _runs_into(branch: Branch, others: list[Branch]) -> bool:
    """Whether less than half a wall would be left between it and any of the others."""
    points, radius = _samples(branch.tubes)
    for other in others:
        there, wide = _samples(other.tubes)
        gap = np.linalg.norm(points[:, None] - there[None], axis=2) - radius[:, None] - wide[None]
        if gap.min() < 0.5 * max(branch.wall_mm, other.wall_mm):
            return True
    return False


def _samples(tubes: Tubes) -> tuple[Points, NDArray[np.float64]]:
    middle = (tubes.start + tubes.end) / 2
    return np.concatenate([tubes.start, middle, tubes.end]), np.tile(tubes.radius_mm, 3)


class Infected:
    """The conglomerates of one patient, to be asked about any grid."""

    def __init__(self, grown: tuple[Grown, ...], rng: Rng) -> None:
        self.grown = grown
        self._rough: Sampled = noise(rng, UNEVEN_MM)
        self.lumina = Tubes.joined([t for g in grown for t in g.lumina])
        self.walls = Tubes.joined([t for g in grown for t in g.walls])
        self.solid = Tubes.joined([t for g in grown for t in g.solid])

    def with_others(self, lesions: LesionMap, grid: Grid, lungs: Lungs) -> LesionMap:
        """These lesions together with others on a grid, given the lungs there."""
        outline, dense, added = lesions.outline.copy(), lesions.dense.copy(), lesions.added_hu.copy()
        rough = self._rough.on(grid)
        for one in self.grown:
            lobe = lobe_distance(one.of.lobe, lungs.right, lungs.left, lungs.oblique, lungs.horizontal)
            group = merged([b.outside for b in one.branches], grid, TOGETHER_MM)
            around = merged([b.outside for b in one.around], grid, BUDS_TOGETHER_MM)
            between = group + RAGGED_MM * rough + RAGGED_MM * (1.0 - 1.6 * one.of.consolidated)
            whole = np.maximum(np.minimum(np.minimum(group, between), around), lobe) / BORDER_MM
            added[whole < np.minimum(outline, 0.5)] = one.of.added_hu
            np.minimum(outline, np.clip(whole, -FAR, FAR), out=outline)
            np.minimum(dense, np.clip(np.maximum(between, lobe) / BORDER_MM, -FAR, FAR), out=dense)
        return LesionMap(outline=outline, dense=dense, paved=lesions.paved, added_hu=added)


def merged(members: list[Tubes], grid: Grid, together_mm: float) -> Field:
    """Distance to the union of bodies, in which those that lie close grow together: the logarithm of the sum of
    exponentials. Far away it is the distance to nothing."""
    far = 8.0 * together_mm
    total = np.zeros(grid.shape, np.float32)
    for tubes in members:
        reach = float(tubes.radius_mm.max()) + far
        points = np.concatenate([tubes.start, tubes.end])
        bounds = grid.index_bounds(points.min(0) - reach, points.max(0) + reach)
        if bounds is None:
            continue
        part = tuple(slice(a, b) for a, b in zip(*bounds, strict=True))
        x, y, z = grid.box(*bounds).points()
        nearest = np.full(total[part].shape, far, np.float32)
        for a, b, radius in zip(tubes.start, tubes.end, tubes.radius_mm.tolist(), strict=True):
            np.minimum(nearest, capsule(x, y, z, _point(a), _point(b), radius), out=nearest)
        total[part] += np.exp(-np.maximum(nearest, -far) / together_mm) * (nearest < far)
    return np.asarray(-together_mm * np.log(np.maximum(total, np.exp(-far / together_mm))), np.float32)


def _point(p: Points) -> Point:
    return float(p[0]), float(p[1]), float(p[2])
