"""Lesions of COVID-19 and CAP compared: findings 1 to 4 of DeepSC-COVID (Wang et al., IEEE TMI 2021, section III-B).

Count, volume and size, density, and place, from lesion masks that people drew (or a phantom's truth). A lesion is a
component of the mask over 26 neighbours. Where the paper is silent we chose: components below ten voxels are not
counted; the spread of a scan's lesions is the square root of the summed variances of their centres along the three
axes, in mm, and 0 for one lesion. At which thickness its two peripheral ratios hold, the paper does not say; ours
stand for `PLR_MM`, and the whole curve is drawn. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from training.datasets.stored import INDEX, TRAIN, VALIDATION, DataError, StoredLibrary
from training.scores import Score, interval

NAMES = {"covid": "COVID-19", "cap": "CAP"}
SMALLEST_VOXELS = 10
AXES = ("width", "length", "height")  # left to right, front to back, foot to head
HU_EDGES = np.arange(-1030.0, 331.0, 10.0)  # a lesion is neither air alone nor bone
SIGMAS_MM = np.arange(0.0, 36.0, 1.0)  # peripheral thickness: 0 to 35 mm (Fig. 1 i)
PLR_MM = 10.0
LVR_EDGES = np.array([0.0, 0.02, 0.04, 0.06, 0.08, 0.10, 0.12, np.inf])  # holds the paper's 4 to 6 % and its 12 %
LARGE_LVR = 0.12
MANY = 4  # lesions
SIZES_MM: Mapping[str, tuple[tuple[float, float], ...]] = {
    "covid": ((15, 140), (15, 170), (30, 240)),
    "cap": ((35, 105), (42, 105), (85, 160)),
}
LOW_HU, CAP_HU = ((-960.0, -600.0),), ((-970.0, -580.0), (-70.0, 140.0))
# A peak of the distribution of HU: of a curve smoothed by 30 HU, at least a twentieth of the highest above its valleys.
SMOOTHING_HU, PROMINENCE = 30.0, 0.05

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scan:
    """What the lesions of one scan are like. `sizes_mm` and `centres_mm` are (lesion, AXES), of bounding boxes."""

    kind: str
    count: int
    lvr: float  # lesion volume by lung volume
    sizes_mm: Values
    centres_mm: Values
    hu_ml: Values  # volume of lesion by HU_EDGES
    lesion_ml: float
    plr: Values  # share of the lesions within each of SIGMAS_MM of the lungs' border

    @property
    def spread_mm(self) -> float:
        return float(np.sqrt(self.centres_mm.var(axis=0).sum())) if self.count else 0.0


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number of the paper, and how it is computed: over scans, the sum of a numerator by that of a denominator."""

    finding: int
    what: str
    unit: str
    paper: Mapping[str, str]  # by kind, as printed
    part: Callable[[Scan], tuple[float, float]]
    factor: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """Ours beside the paper's, by kind."""

    description: str
    scans: Mapping[str, tuple[Scan, ...]]
    ours: tuple[Mapping[str, Score], ...]  # in the order of FIGURES
    peaks_hu: Mapping[str, tuple[float, ...]]

    def as_json(self) -> dict[str, Any]:
        """Plain values: the figures with both columns, and the curves that are drawn."""
        return {
            "data": self.description,
            "scans": {kind: len(some) for kind, some in self.scans.items()},
            "lesions": {kind: sum(s.count for s in some) for kind, some in self.scans.items()},
            "figures": [
                {
                    "finding": one.finding,
                    "what": one.what,
                    "unit": one.unit,
                    "paper": {kind: one.paper.get(kind) for kind in NAMES},
                    "ours": {kind: asdict(score) for kind, score in ours.items()},
                }
                for one, ours in zip(FIGURES, self.ours, strict=True)
            ],
            "peaks of density, HU": {
                "paper": {"covid": "one", "cap": "two"},
                "ours": {kind: list(peaks) for kind, peaks in self.peaks_hu.items()},
            },
            "curves": {kind: curves(some) for kind, some in self.scans.items() if some},
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Finding, what, then the paper's and our number for each kind, as text."""
        found = []
        for one, ours in zip(FIGURES, self.ours, strict=True):
            cells = [cell for kind in NAMES for cell in (one.paper.get(kind, "–"), _shown(ours[kind]))]
            found.append((str(one.finding), f"{one.what}, {one.unit}" if one.unit else one.what, *cells))
        peaks = [cell for kind, said in zip(NAMES, ("one", "two"), strict=True) for cell in (said, self._peaks(kind))]
        return [*found, ("3", "peaks of density, HU", *peaks)]

    def _peaks(self, kind: str) -> str:
        return ", ".join(f"{hu:.0f}" for hu in self.peaks_hu[kind]) or "–"


def measure(
    kind: str, hu: NDArray[np.int16], lungs: Mask, lesions: Mask, spacing_mm: tuple[float, float, float]
) -> Scan:
    """One scan; arrays (slice, row, column), slices from foot to head, rows to the back. Raises ValueError where there
    are no lungs to compare with."""
    if not lungs.any():
        raise ValueError("a scan without lungs: lesion volume cannot be compared with lung volume")
    labelled, found = ndimage.label(lesions, np.ones((3, 3, 3)))
    sizes = np.bincount(labelled.ravel(), minlength=found + 1)
    kept = [n for n in range(1, found + 1) if sizes[n] >= SMALLEST_VOXELS]
    inside = np.isin(labelled, kept)
    boxes = ndimage.find_objects(labelled)
    ends = np.array([[(part.start, part.stop) for part in boxes[n - 1]] for n in kept], np.float64).reshape(-1, 3, 2)
    ends = ends[:, ::-1] * np.array(spacing_mm[::-1])[:, None]  # (column, row, slice): width, length, height
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    densities = np.clip(hu[inside], HU_EDGES[0], HU_EDGES[-1])
    return Scan(
        kind=kind,
        count=len(kept),
        lvr=float(inside.sum() / lungs.sum()),
        sizes_mm=ends[..., 1] - ends[..., 0],
        centres_mm=ends.mean(axis=2),
        hu_ml=np.histogram(densities, HU_EDGES)[0] * voxel_ml,
        lesion_ml=float(inside.sum()) * voxel_ml,
        plr=peripheral(lungs, inside, spacing_mm),
    )


def peripheral(lungs: Mask, lesions: Mask, spacing_mm: tuple[float, float, float]) -> Values:
    """Peripheral lesion ratio (eq. 1) for each of SIGMAS_MM: lesion that eroding the lungs, slice by slice with a disk
    of that radius, takes away; zeros where there is no lesion."""
    total = int(lesions.sum())
    taken = np.zeros(SIGMAS_MM.size)
    for s in np.flatnonzero((lesions & lungs).any(axis=(1, 2))):
        border = np.pad(lungs[s], 1)  # a lung ends where the picture does
        depth = ndimage.distance_transform_edt(border, spacing_mm[1:])[1:-1, 1:-1][lesions[s] & lungs[s]]
        taken += (depth[:, None] <= SIGMAS_MM).sum(axis=0)
    return taken / max(1, total)


def findings(scans: Sequence[Scan], description: str) -> Findings:
    """Of scans of both kinds; of a kind that is not there every number is nan."""
    by_kind = {kind: tuple(s for s in scans if s.kind == kind) for kind in NAMES}
    return Findings(
        description=description,
        scans=by_kind,
        ours=tuple({kind: score(one, some) for kind, some in by_kind.items()} for one in FIGURES),
        peaks_hu={kind: peaks(density(some)) for kind, some in by_kind.items()},
    )


def score(figure: Figure, scans: Sequence[Scan]) -> Score:
    """With its bootstrap interval over the scans that it is about, which `n` counts."""
    parts = np.array([figure.part(scan) for scan in scans], np.float64).reshape(-1, 2)
    parts = parts[parts[:, 1] > 0]

    def ratio(chosen: NDArray[np.intp]) -> float:
        part, whole = parts[chosen].sum(axis=0)
        return float(figure.factor * part / whole)

    return interval(ratio, len(parts))


def density(scans: Sequence[Scan]) -> Values:
    """Share of the lesions' volume by HU_EDGES, over all scans together; zeros where there is none."""
    total = np.zeros(HU_EDGES.size - 1) if not scans else np.sum([s.hu_ml for s in scans], axis=0)
    return np.asarray(total / max(total.sum(), 1e-12), np.float64)


def peaks(shares: Values) -> tuple[float, ...]:
    """HU of the peaks of a distribution over HU_EDGES."""
    smooth = ndimage.gaussian_filter1d(np.pad(shares, 1), SMOOTHING_HU / float(np.diff(HU_EDGES)[0]), mode="constant")
    if not smooth.any():
        return ()
    found, _ = signal.find_peaks(smooth, prominence=PROMINENCE * smooth.max())
    middles = (HU_EDGES[:-1] + HU_EDGES[1:]) / 2
    return tuple(float(middles[n - 1]) for n in found)


def curves(scans: Sequence[Scan]) -> dict[str, Any]:
    """What is drawn of one kind: counts, LVR, spread and peripheral ratio."""
    lvr = np.array([s.lvr for s in scans])
    binned = np.digitize(lvr, LVR_EDGES) - 1
    spreads = np.array([s.spread_mm for s in scans])
    groups = [spreads[binned == n] for n in range(LVR_EDGES.size - 1)]
    return {
        "lesions per scan": [s.count for s in scans],
        "LVR": lvr,
        "LVR edges": LVR_EDGES,
        "scans by LVR": [g.size for g in groups],
        "mean spread by LVR, mm": [float(g.mean()) if g.size else None for g in groups],
        "peripheral thickness, mm": SIGMAS_MM,
        "mean PLR": np.mean([s.plr for s in scans if s.count], axis=0) if any(s.count for s in scans) else None,
        "HU edges": HU_EDGES,
        "share of lesion volume by HU": density(scans),
    }


def scans_of(folder: Path, progress: Callable[[str], None] = lambda words: None) -> tuple[list[Scan], str]:
    """Every scan of COVID-19 or CAP in a library (or in both parts of one), with what the library says of itself.

    Left out is whose lesions nobody marked, and whose files leave millimetres, HU or lungs open. Raises DataError where
    nothing is left.
    """
    places = [p for p in (folder, folder / TRAIN, folder / VALIDATION) if (p / INDEX).is_file()] or [folder]
    scans, words = [], []
    for place in places:
        library = StoredLibrary(place)
        entries = json.loads((place / INDEX).read_text(encoding="utf-8"))["patients"]
        for number, (kind, entry) in enumerate(zip(library.kinds, entries, strict=True)):
            progress(f"{place.name}: {number + 1} of {len(entries)}")
            if kind not in NAMES or not entry.get("annotated", True) or entry.get("unknown"):
                continue
            patient = library[number]
            if patient.lungs.any():
                scans.append(measure(kind, patient.hu, patient.lungs, patient.lesions, patient.spacing_mm))
        words.append(library.description)
    if not scans:
        raise DataError(f"{folder} has no scan of COVID-19 or CAP whose lesions are marked")
    return scans, "; ".join(words)


def _counted(where: Callable[[Scan], bool]) -> Callable[[Scan], tuple[float, float]]:
    return lambda scan: (float(where(scan)), 1.0)


def _within(axis: int) -> Callable[[Scan], tuple[float, float]]:
    """Lesions of a size that the paper gives for their kind."""

    def part(scan: Scan) -> tuple[float, float]:
        low, high = SIZES_MM[scan.kind][axis]
        sizes = scan.sizes_mm[:, axis]
        return float(((sizes >= low) & (sizes <= high)).sum()), float(scan.count)

    return part


def _between(ranges: Sequence[tuple[float, float]]) -> Callable[[Scan], tuple[float, float]]:
    """Volume of lesion in ranges of HU, whose ends are edges of the histogram."""
    low = HU_EDGES[:-1]
    inside = np.any([(low >= a) & (low < b) for a, b in ranges], axis=0)
    return lambda scan: (float(scan.hu_ml[inside].sum()), scan.lesion_ml)


def _spread(low: float, high: float) -> Callable[[Scan], tuple[float, float]]:
    return lambda scan: (scan.spread_mm, 1.0) if low <= scan.lvr < high else (0.0, 0.0)


def _peripheral(scan: Scan) -> tuple[float, float]:
    return (float(scan.plr[SIGMAS_MM == PLR_MM][0]), 1.0) if scan.count else (0.0, 0.0)


def _size(axis: int) -> str:
    (a, b), (c, d) = SIZES_MM["covid"][axis], SIZES_MM["cap"][axis]
    return f"lesions of {AXES[axis]} {a:g} to {b:g} mm (COVID-19), {c:g} to {d:g} mm (CAP)"


def _shown(score: Score) -> str:
    if np.isnan(score.value):
        return "–"
    return f"{score.value:.1f}" if np.isnan(score.low) else f"{score.value:.1f} ({score.low:.1f} to {score.high:.1f})"


FIGURES: tuple[Figure, ...] = (
    Figure(
        finding=1,
        what="lesions per scan, mean",
        unit="",
        paper={"covid": "4.4", "cap": "1.7"},
        part=lambda scan: (float(scan.count), 1.0),
    ),
    Figure(
        finding=1,
        what="scans with exactly one lesion",
        unit="%",
        factor=100.0,
        paper={"cap": "54.8"},
        part=_counted(lambda scan: scan.count == 1),
    ),
    Figure(
        finding=1,
        what=f"scans with {MANY} lesions or more",
        unit="%",
        factor=100.0,
        paper={"covid": "55.2"},
        part=_counted(lambda scan: scan.count >= MANY),
    ),
    Figure(
        finding=2,
        what="LVR (lesion volume by lung volume), mean",
        unit="%",
        factor=100.0,
        paper={"covid": "14.3", "cap": "4.4"},
        part=lambda scan: (scan.lvr, 1.0),
    ),
    Figure(
        finding=2,
        what="scans with LVR above 12 %",
        unit="%",
        factor=100.0,
        paper={"covid": "above 50", "cap": "5"},
        part=_counted(lambda scan: scan.lvr > LARGE_LVR),
    ),
    *(
        Figure(finding=2, what=_size(axis), unit="%", factor=100.0, paper={"cap": "above 90"}, part=_within(axis))
        for axis in range(len(AXES))
    ),
    Figure(
        finding=3,
        what="lesion volume of -960 to -600 HU",
        unit="%",
        factor=100.0,
        paper={"covid": "above 70"},
        part=_between(LOW_HU),
    ),
    Figure(
        finding=3,
        what="lesion volume of -970 to -580 or -70 to 140 HU",
        unit="%",
        factor=100.0,
        paper={"cap": "above 75"},
        part=_between(CAP_HU),
    ),
    Figure(
        finding=4,
        what="spread of lesion centres, scans with LVR 4 to 6 %, mean",
        unit="mm",
        paper={"covid": "86.0", "cap": "15.6"},
        part=_spread(0.04, 0.06),
    ),
    Figure(
        finding=4,
        what=f"PLR within {PLR_MM:g} mm of the border (paper: thickness not stated), mean",
        unit="%",
        factor=100.0,
        paper={"covid": "62.4", "cap": "24.5"},
        part=_peripheral,
    ),
)
