"""Who comes to the scanner: patients, diseases and scans drawn at random, and what each is called.

Sizes and counts of lesions follow the published distributions (DeepSC-COVID, section on lesion findings): COVID-19 has
4.4 lesions on average and takes 14 % of the lungs, peripheral and basal; community-acquired pneumonia has 1.7 and
takes 4.4 %, in one lobe or around the hila, half of it consolidated, some with infected bronchiectasis beside it. A
quarter of either class is drawn by the other's rules, so that no rule of ours tells them apart. Patient, disease and
scan are drawn from streams of their own: no spacing, kernel or body goes with a class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.phantom.anatomy import Chest
from training.phantom.body import Body
from training.phantom.bronchiectasis import Conglomerate
from training.phantom.case import FIT_SCAN, LOBES, Phantom
from training.phantom.geometry import Point
from training.phantom.lobes import Lobe, lobe_distance
from training.phantom.paint import Palette
from training.phantom.parenchyma import Nodule, Parenchyma
from training.phantom.pathology import Lesion, Pathology
from training.phantom.scanner import Kernel, Scan
from training.phantom.wall import WALL_MM

Rng = np.random.Generator

CROSSED = 0.25  # of each pneumonia, drawn from the other's distribution
WHITE_LUNG = 0.05  # of pneumonias: one lung 70 to 100 % opaque
# Textbooks part community-acquired pneumonia into lobar, interstitial and bronchopneumonia. So much of it is the last:
# many small patches along the bronchi of a lobe or three.
ALONG_BRONCHI = 0.3
# Who has widened bronchi: they go with an infection of theirs. Drawn often in people who are well, they teach that what
# surrounds a bronchus is no lesion.
WIDE_INFECTED, WIDE_BRONCHI = 0.5, 0.02
# Of bronchopneumonias, and of other pneumonias by the rules of CAP: those with groups of infected, widened bronchi.
CYSTS_ALONG_BRONCHI, CYSTS_ELSEWHERE = 0.5, 0.1
# Where they lie most often: middle lobe, lingula, lower lobes (the lingula belongs to the left upper lobe).
CYSTS_IN = {
    Lobe.RIGHT_MIDDLE: 0.3,
    Lobe.LEFT_LOWER: 0.25,
    Lobe.RIGHT_LOWER: 0.2,
    Lobe.LEFT_UPPER: 0.2,
    Lobe.RIGHT_UPPER: 0.05,
}
OTHER_DOMES, FLATTENED = 0.3, 0.8  # whose diaphragm has a form of its own; of those with emphysema, a flat one
BREATHING, BREATH_MM = 0.3, (3.0, 10.0)  # of them: who breathes while a slice is taken
EXPIRED, CONTRAST = 0.10, 0.25
FIELD_MM = (260.0, 500.0)  # what scanners offer
CLUSTER_MM = 20.0  # how far the patches of one bronchus lie apart
LUNG_ML = (800.0, 4500.0)  # each
TRIES = 12
SLICES = (24, 33)  # few of many patients teach more than many of few


class Label(StrEnum):
    """What a classifier is asked to tell apart."""

    COVID = "covid"
    CAP = "cap"
    NORMAL = "normal"
    OTHER = "other"


class Kind(StrEnum):
    """What is drawn; a label is a group of kinds."""

    COVID = "covid"
    CAP = "cap"
    NORMAL = "normal"
    ATELECTASIS = "atelectasis"
    EFFUSION = "effusion"
    NODULES = "nodules"
    MASS = "mass"
    FIBROSIS = "fibrosis"
    EMPHYSEMA = "emphysema"
    COLLAPSE = "lobar collapse"
    MOTION = "motion"


LABELS = {Kind.COVID: Label.COVID, Kind.CAP: Label.CAP, Kind.NORMAL: Label.NORMAL}
# 40 % without pneumonia (PHANTOM.md 5)
SHARES = {
    Kind.COVID: 0.36,
    Kind.CAP: 0.24,
    Kind.NORMAL: 0.13,
    Kind.ATELECTASIS: 0.07,
    Kind.EFFUSION: 0.04,
    Kind.NODULES: 0.03,
    Kind.MASS: 0.02,
    Kind.FIBROSIS: 0.03,
    Kind.EMPHYSEMA: 0.03,
    Kind.COLLAPSE: 0.02,
    Kind.MOTION: 0.03,
}


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How one place scans and what its textures are like. The shifted place is for validation only: no kernel,
    spacing or texture of it is in the first."""

    name: str
    kernels: tuple[Kernel, ...]
    pixels: tuple[int, ...]  # rows and columns
    field: tuple[float, float]  # width of the picture by the patient's
    thickness_mm: tuple[float, ...]
    texture_mm: tuple[float, float]
    gravity_hu: tuple[float, float]
    noise: tuple[float, float]  # factor on the kernels' own
    vessels: tuple[float, float]
    edge_mm: tuple[float, float]  # of lesions


MAIN = Habits(
    name="main",
    kernels=(
        Kernel(name="B30f", psf_mm=0.85, noise_hu=11.0, band_px=(1.0, 3.0)),
        Kernel(name="B41f", psf_mm=0.68, noise_hu=16.0, overshoot=0.1, band_px=(0.8, 2.4)),
        Kernel(name="B60f", psf_mm=0.50, noise_hu=30.0, overshoot=0.5, band_px=(0.55, 1.5)),
        Kernel(name="B80f", psf_mm=0.40, noise_hu=46.0, overshoot=0.9, band_px=(0.45, 1.1)),
    ),
    pixels=(320, 384, 448),
    field=(0.98, 1.2),
    thickness_mm=(0.6, 1.0, 1.5, 2.0, 3.0, 5.0),
    texture_mm=(1.3, 2.0),
    gravity_hu=(20.0, 90.0),
    noise=(0.6, 1.5),
    vessels=(0.75, 1.25),
    edge_mm=(2.5, 8.0),
)
SHIFTED = Habits(
    name="shifted",
    kernels=(
        Kernel(name="FC01", psf_mm=1.15, noise_hu=9.0, band_px=(1.5, 4.0)),
        Kernel(name="FC18", psf_mm=0.76, noise_hu=20.0, overshoot=0.25, band_px=(0.7, 3.5)),
        Kernel(name="FC51", psf_mm=0.45, noise_hu=38.0, overshoot=0.7, band_px=(0.65, 0.9)),
    ),
    pixels=(352, 416),
    field=(0.9, 1.35),
    thickness_mm=(0.8, 1.25, 2.5, 4.0, 7.0),
    texture_mm=(2.1, 3.0),
    gravity_hu=(30.0, 110.0),
    noise=(0.8, 1.8),
    vessels=(0.6, 1.4),
    edge_mm=(2.0, 10.0),
)
HABITS = {h.name: h for h in (MAIN, SHIFTED)}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One member of the population: who, with what, and how he is scanned."""

    seed: int
    kind: Kind
    phantom: Phantom
    scan: Scan
    crossed: bool  # drawn by the other pneumonia's rules
    white_lung: bool

    @property
    def label(self) -> Label:
        return LABELS.get(self.kind, Label.OTHER)


def draw(
    seed: int, *, kind: Kind | None = None, habits: Habits = MAIN, slices: int | None = None, all_forms: bool = True
) -> Drawn:
    """The `seed`-th patient of a place. Without `kind` one is drawn by its share; `slices` None: 24 to 32. Without
    `all_forms` nobody has a diaphragm of his own or infected bronchiectasis; all else is equal."""
    whole = np.random.SeedSequence([seed, *map(ord, habits.name)])
    # What a later version adds has a stream of its own: who gets none of it remains who he was, voxel by voxel.
    streams = whole.spawn(7)
    body_rng, kind_rng, disease_rng, scan_rng, form_rng, dome_rng, cyst_rng = (
        np.random.default_rng(s) for s in streams
    )
    if kind is None:
        kind = Kind(kind_rng.choice(list(SHARES), p=list(SHARES.values())))
    expired = bool(body_rng.random() < EXPIRED)
    phantom, room = _person(int(whole.generate_state(1)[0]), body_rng, habits, expired=expired)
    if all_forms:
        phantom, room = _with_domes(phantom, room, dome_rng)
    crossed = kind in (Kind.COVID, Kind.CAP) and bool(disease_rng.random() < CROSSED)
    white = kind in (Kind.COVID, Kind.CAP) and bool(disease_rng.random() < WHITE_LUNG)
    along_bronchi = bool(form_rng.random() < ALONG_BRONCHI)
    rules = covid if (kind is Kind.COVID) != crossed else bronchopneumonia if along_bronchi else cap
    infected = rules is bronchopneumonia and kind in (Kind.COVID, Kind.CAP)
    if form_rng.random() < (WIDE_INFECTED if infected else WIDE_BRONCHI):
        phantom = replace(phantom, bronchi=float(form_rng.uniform(1.3, 2.4)))
    phantom = _ill(phantom, kind, room, disease_rng, habits, rules=rules, white=white)
    if all_forms and kind in (Kind.COVID, Kind.CAP) and rules is not covid and not white:
        phantom = _with_cysts(phantom, room, cyst_rng, along_bronchi=infected)
    scan = _scan(phantom, scan_rng, habits, slices, motion=kind is Kind.MOTION)
    if phantom.body and phantom.body.domes != Body().domes and dome_rng.random() < BREATHING:
        scan = replace(scan, breath_mm=float(dome_rng.uniform(*BREATH_MM)))
    return Drawn(seed=seed, kind=kind, phantom=phantom, scan=scan, crossed=crossed, white_lung=white)


@dataclass(frozen=True, kw_only=True, eq=False)
class Room:
    """Where a patient's lungs are, for placing what is wrong with them: points in mm with what lies there."""

    points: NDArray[np.float64]  # (n, 3)
    depth_mm: NDArray[np.float32]  # (n,) below the pleura, positive
    lobes: tuple[tuple[Lobe, NDArray[np.bool_]], ...]  # (lobe, which points) of the five
    hila: dict[str, Point]

    def choose(self, rng: Rng, weight: NDArray[np.floating[Any]]) -> Point:
        return _point(self.points[rng.choice(len(self.points), p=weight / weight.sum())] + rng.uniform(-2, 2, 3))


def _person(seed: int, rng: Rng, habits: Habits, *, expired: bool) -> tuple[Phantom, Room]:
    """A body whose lungs have a human size each, and the tissue of it."""
    tissue = Parenchyma(
        hu=float(rng.uniform(-780, -740) if expired else rng.uniform(-900, -810)),
        gravity_hu=float(rng.uniform(*habits.gravity_hu)) * (1.4 if expired else 1.0),
        texture_hu=float(rng.uniform(8, 24)),
        texture_mm=float(rng.uniform(*habits.texture_mm)),
        mosaic_hu=float(rng.uniform(3, 22)),
        fissures=bool(rng.random() < 0.8),
        dependent_mm=float(rng.uniform(2, 9)) if rng.random() < 0.35 else 0.0,
        emphysema=float(rng.uniform(0.1, 0.5)) if rng.random() < 0.12 else 0.0,
        emphysema_mm=float(rng.uniform(3.0, 6.0)),
    )
    palette = Palette(
        blood_hu=float(rng.uniform(140, 340) if rng.random() < CONTRAST else rng.uniform(34, 50)),
        muscle_hu=float(rng.uniform(38, 60)),
        fat_hu=float(rng.uniform(-115, -85)),
        bone=float(rng.uniform(0.6, 1.25)),
        air_in_fat=float(rng.uniform(0.2, 0.8)) if rng.random() < 0.03 else 0.0,
    )
    for _ in range(TRIES):
        phantom = Phantom(
            seed=seed,
            body=Body.varied(rng, expiration=expired),
            parenchyma=tissue,
            palette=palette,
            vessels=float(rng.uniform(*habits.vessels)),
        )
        room, smallest, largest = room_of(phantom)
        if LUNG_ML[0] <= smallest and largest <= LUNG_ML[1]:
            break
    return phantom, room


def room_of(phantom: Phantom) -> tuple[Room, float, float]:
    """The room in a patient's lungs, and the volumes of the smaller and the larger in mL."""
    # The chest that `case.Patient` makes from this phantom: same seed, same stream, same warp.
    chest = Chest(phantom.body or Body(), np.random.default_rng(np.random.SeedSequence(phantom.seed).spawn(4)[0]))
    scan = replace(FIT_SCAN, slices=42, rows=42, columns=53, slice_mm=7.0, pixel_mm=(7.0, 7.0))
    grid = replace(scan, centre_lps_mm=(0.0, 0.0, -8.0)).grid()
    lungs = chest.lungs(grid)
    lung = np.minimum(lungs.right, lungs.left)
    inside = lung < -1.0
    index = np.argwhere(inside)
    lobes = [
        (lobe, lobe_distance(lobe, lungs.right, lungs.left, lungs.oblique, lungs.horizontal)[inside] < 0)
        for side in LOBES.values()
        for lobe in side
    ]
    room = Room(
        points=index @ grid.affine_lps[:3, :3].T + grid.affine_lps[:3, 3],
        depth_mm=-lung[inside],
        lobes=tuple((lobe, mask) for lobe, mask in lobes if mask.sum() > 20),
        hila=dict(chest.hilum),
    )
    volumes = [float((side < 0).sum()) * grid.voxel_ml for side in (lungs.right, lungs.left)]
    return room, min(volumes), max(volumes)


def _with_domes(phantom: Phantom, room: Room, rng: Rng) -> tuple[Phantom, Room]:
    """Some with another diaphragm, unless it would leave lungs of no human size. It goes with emphysema, which anybody
    may have, and with no kind of disease."""
    body = phantom.body or Body()
    flat = bool(rng.random() < FLATTENED) and phantom.parenchyma.emphysema > 0
    if not flat and rng.random() >= OTHER_DOMES:
        return phantom, room
    for _ in range(TRIES // 4):
        other = replace(phantom, body=body.with_other_domes(rng, flat=flat))
        there, smallest, largest = room_of(other)
        if LUNG_ML[0] <= smallest and largest <= LUNG_ML[1]:
            return other, there
    return phantom, room


def _with_cysts(phantom: Phantom, room: Room, rng: Rng, *, along_bronchi: bool) -> Phantom:
    """Some pneumonias with one to three lobes in which infected bronchiectasis has run together."""
    if rng.random() >= (CYSTS_ALONG_BRONCHI if along_bronchi else CYSTS_ELSEWHERE):
        return phantom
    share = np.array([CYSTS_IN[lobe] for lobe, _ in room.lobes])
    count = min(int(rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15])), len(room.lobes))
    found: list[Conglomerate] = []
    for index in rng.choice(len(room.lobes), size=count, replace=False, p=share / share.sum()):
        found += [_conglomerate(room, int(index), rng) for _ in range(int(rng.integers(1, 3)))]
    return replace(phantom, conglomerates=tuple(found))


def _conglomerate(room: Room, index: int, rng: Rng) -> Conglomerate:
    lobe, there = room.lobes[index]
    away = np.linalg.norm(room.points - np.asarray(room.hila["right" if lobe.startswith("right") else "left"]), axis=1)
    weight = there * np.exp(-np.abs(away - 50.0) / 15.0) * (room.depth_mm > 8.0)
    if lobe is Lobe.LEFT_UPPER:
        weight = weight * np.exp(-room.points[:, 2] / 15.0)  # the lingula
    return Conglomerate(
        centre_lps_mm=room.choose(rng, weight + 1e-12 * there),
        lobe=lobe,
        reach_mm=float(rng.uniform(14, 34)),
        wall_mm=float(rng.uniform(1.3, 3.2)),
        cystic=float(rng.uniform(0.1, 0.9)),
        plugged=float(rng.uniform(0.05, 0.5)),
        consolidated=float(rng.uniform(0.0, 0.95)),
        fingers=int(rng.integers(0, 13)),
        buds=int(rng.integers(0, 90)) if rng.random() < 0.8 else 0,
        added_hu=float(rng.uniform(150, 420)),
    )


def _ill(
    phantom: Phantom,
    kind: Kind,
    room: Room,
    rng: Rng,
    habits: Habits,
    *,
    rules: Callable[[Room, Rng, Habits], Pathology],
    white: bool,
) -> Phantom:
    """The same person with what is wrong with him; `rules` are for pneumonias."""
    if kind in (Kind.COVID, Kind.CAP):
        pathology = rules(room, rng, habits)
        if white:
            side = "right" if rng.random() < 0.5 else "left"
            pathology = replace(
                pathology,
                consolidation_share=float(rng.uniform(0.4, 0.97)),
                **{side: float(rng.uniform(0.7, 1.0))},  # type: ignore[arg-type]
            )
        return replace(phantom, pathology=pathology)
    return replace(phantom, parenchyma=_other(phantom.parenchyma, kind, room, rng))


def covid(room: Room, rng: Rng, habits: Habits) -> Pathology:
    """Many patches of ground glass at the pleura, behind and below; late ones consolidate."""
    count = 1 + int(rng.poisson(3.9))
    fraction = float(np.clip(rng.lognormal(np.log(0.085), 1.05), 0.004, 0.80))
    _, y, z = room.points.T
    weight = np.exp(-room.depth_mm / 8.0 + y / 55.0 - z / 80.0)
    age = float(rng.random())  # of the disease: consolidation and paving come with time
    one_sided = rng.random() < 0.12
    if one_sided:
        weight = weight * (room.points[:, 0] * rng.choice([-1.0, 1.0]) > 0)
    return Pathology(
        ground_glass_hu=float(rng.uniform(140, 430)),
        consolidation_hu=float(rng.uniform(-90, 55)),
        placed=tuple(_patch(room.choose(rng, weight), rng, habits, age) for _ in range(count)),
        placed_fraction=fraction,
    )


def _patch(centre: Point, rng: Rng, habits: Habits, age: float) -> Lesion:
    size = float(rng.lognormal(0.0, 0.45))
    return Lesion(
        centre_lps_mm=centre,
        radii_mm=_point(size * 22.0 * rng.uniform((0.6, 0.55, 0.7), (1.4, 1.3, 1.9))),
        core=float(rng.uniform(0.35, 0.8)) if rng.random() < 0.25 + 0.45 * age else 0.0,
        added_hu=float(rng.uniform(100, 450)),
        paving=bool(rng.random() < 0.15 + 0.3 * age),
        edge_mm=float(rng.uniform(*habits.edge_mm)),
        ragged_mm=float(rng.uniform(3, 11)),
        pleural_mm=float(rng.uniform(0, 12)),
    )


def cap(room: Room, rng: Rng, habits: Habits) -> Pathology:
    """One or few lesions, lobar or around the hila, half of them consolidated."""
    count = 1 if rng.random() < 0.55 else 2 + int(rng.geometric(0.64)) - 1
    fraction = float(np.clip(rng.lognormal(np.log(0.028), 0.95), 0.003, 0.5))
    lesions = []
    first = rng.integers(len(room.lobes))
    for i in range(count):
        lobe, there = room.lobes[first if i == 0 or rng.random() < 0.4 else rng.integers(len(room.lobes))]
        hilum = np.asarray(room.hila["right" if lobe.startswith("right") else "left"])
        away = np.linalg.norm(room.points - hilum, axis=1)
        lobar = rng.random() < 0.5
        weight = there * (np.exp(-away / 25.0) if not lobar else np.exp(-np.abs(room.depth_mm - 12.0) / 10.0))
        lesions.append(
            Lesion(
                centre_lps_mm=room.choose(rng, weight + 1e-12 * there),
                radii_mm=_point(26.0 * rng.uniform((0.7, 0.7, 0.8), (1.3, 1.3, 1.6))),
                core=float(rng.uniform(0.6, 0.97)) if rng.random() < 0.7 else 0.0,
                added_hu=float(rng.uniform(120, 400)),
                edge_mm=float(rng.uniform(*habits.edge_mm)),
                ragged_mm=float(rng.uniform(2, 9)),
                pleural_mm=float(rng.uniform(0, 10)) if lobar else 0.0,
                lobe=lobe if lobar or rng.random() < 0.5 else None,
            )
        )
    return Pathology(consolidation_hu=float(rng.uniform(-30, 60)), placed=tuple(lesions), placed_fraction=fraction)


def bronchopneumonia(room: Room, rng: Rng, habits: Habits) -> Pathology:
    """Clusters of small patches about the bronchi of one to three lobes, of every density, that run together."""
    count = int(rng.integers(1, 4))
    chosen = rng.choice(len(room.lobes), size=min(count, len(room.lobes)), replace=False)
    lesions: list[Lesion] = []
    for index in chosen:
        lobe, there = room.lobes[index]
        hilum = np.asarray(room.hila["right" if lobe.startswith("right") else "left"])
        away = np.linalg.norm(room.points - hilum, axis=1)
        for _ in range(int(rng.integers(1, 4))):
            centre = np.asarray(room.choose(rng, there * np.exp(-np.abs(away - 45.0) / 25.0) + 1e-12 * there))
            near = there * np.exp(-((np.linalg.norm(room.points - centre, axis=1) / CLUSTER_MM) ** 2))
            lesions += [_small(room.choose(rng, near), rng, habits) for _ in range(int(rng.integers(3, 11)))]
    return Pathology(
        ground_glass_hu=float(rng.uniform(120, 400)),
        consolidation_hu=float(rng.uniform(-60, 60)),
        placed=tuple(lesions),
        placed_fraction=float(np.clip(rng.lognormal(np.log(0.022), 0.8), 0.003, 0.3)),
    )


def _small(centre: Point, rng: Rng, habits: Habits) -> Lesion:
    return Lesion(
        centre_lps_mm=centre,
        radii_mm=_point(float(rng.lognormal(0.0, 0.35)) * 9.0 * rng.uniform(0.7, 1.4, 3)),
        core=float(rng.uniform(0.3, 0.95)) if rng.random() < 0.65 else 0.0,
        added_hu=float(rng.uniform(100, 450)),
        edge_mm=float(rng.uniform(habits.edge_mm[0], 0.5 * sum(habits.edge_mm))),
        ragged_mm=float(rng.uniform(1, 5)),
    )


def _other(tissue: Parenchyma, kind: Kind, room: Room, rng: Rng) -> Parenchyma:
    """What is no pneumonia."""
    if kind is Kind.ATELECTASIS:
        return replace(tissue, dependent_mm=float(rng.uniform(6, 15)), gravity_hu=tissue.gravity_hu + 30.0)
    if kind is Kind.EFFUSION:
        deep = [float(rng.uniform(10, 48)) if rng.random() < 0.7 else 0.0 for _ in range(2)]
        if not any(deep):
            deep[int(rng.integers(2))] = 20.0
        return replace(tissue, effusion_mm=(deep[0], deep[1]), dependent_mm=float(rng.uniform(4, 14)))
    if kind is Kind.NODULES:
        nodules = [_nodule(room, rng, 1.5, 7.0) for _ in range(int(rng.integers(1, 16)))]
        return replace(tissue, nodules=tuple(nodules))
    if kind is Kind.MASS:
        return replace(tissue, nodules=(_nodule(room, rng, 13.0, 34.0),))
    if kind is Kind.FIBROSIS:
        return replace(tissue, fibrosis=float(rng.uniform(0.4, 1.0)))
    if kind is Kind.EMPHYSEMA:
        return replace(tissue, emphysema=float(rng.uniform(0.5, 1.0)), hu=min(tissue.hu, -850.0))
    if kind is Kind.COLLAPSE:
        lobe = room.lobes[rng.integers(len(room.lobes))][0]
        return replace(tissue, collapsed=lobe, collapse_mm=float(rng.uniform(25, 70)))
    return tissue


def _nodule(room: Room, rng: Rng, small: float, large: float) -> Nodule:
    return Nodule(
        centre_lps_mm=room.choose(rng, np.ones(len(room.points))),
        radius_mm=float(rng.uniform(small, large)),
        spikes=int(rng.integers(4, 14)) if rng.random() < 0.4 else 0,
    )


def _scan(phantom: Phantom, rng: Rng, habits: Habits, slices: int | None, *, motion: bool) -> Scan:
    """From above the shoulders' middle to below the recess, so that a quarter of the slices shows no lung."""
    count = slices or int(rng.integers(*SLICES))
    scale = (phantom.body or Body()).scale
    above, below = float(rng.uniform(130, 175)) * scale[2], float(rng.uniform(185, 245)) * scale[2]
    pixels = int(rng.choice(habits.pixels))
    kernel = habits.kernels[rng.integers(len(habits.kernels))]
    body = phantom.body or Body()
    patient_mm = 2.0 * (scale[0] * (body.half_width_mm + WALL_MM + body.fat_mm) + (40.0 if body.arms_down else 0.0))
    wide = float(np.clip(patient_mm * rng.uniform(*habits.field), *FIELD_MM))
    return Scan(
        slices=count,
        rows=pixels,
        columns=pixels,
        slice_mm=(above + below) / count,
        thickness_mm=float(rng.choice(habits.thickness_mm)),
        pixel_mm=(wide / pixels, wide / pixels),
        centre_lps_mm=(float(rng.normal(0, 8)), float(rng.normal(10, 8)), (above - below) / 2),
        tilt_deg=(0.0, 0.0),
        kernel=replace(kernel, noise_hu=kernel.noise_hu * float(rng.uniform(*habits.noise))),
        circle=bool(rng.random() < 0.4),
        padding_declared=bool(rng.random() < 0.5),
        motion_mm=float(rng.uniform(2, 6) if motion else rng.uniform(0.5, 3)) if motion or rng.random() < 0.5 else 0.0,
        streaks_hu=float(rng.uniform(5, 45)) if rng.random() < 0.5 else 0.0,
    )


def _point(p: NDArray[np.float64]) -> Point:
    return float(p[0]), float(p[1]), float(p[2])
