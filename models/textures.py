"""Texture matrices of a region of grey levels, and what radiomics reads off them: GLCM, GLRLM and GLSZM.

Own code, after the definitions of the Image Biomarker Standardisation Initiative (IBSI; Zwanenburg et al., Radiology
2020, 295:328) with the names and the conventions of PyRadiomics 3: distance 1 in the 13 directions of 26 neighbours,
symmetric co-occurrence, one matrix per direction whose features are averaged. Checked on IBSI's digital phantom and
against PyRadiomics. Work and memory grow with the voxels inside the region, not with the box around it. Voxels are put
in order along a direction once for all images of a region: neighbours and runs are then what follows each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

Counts = NDArray[np.float64]
DIRECTIONS = tuple(d for d in product((-1, 0, 1), repeat=3) if d > (0, 0, 0))  # of each pair of opposites, one


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """Where a region's voxels are: a mask (slice, row, column) with a border of nothing all round."""

    mask: NDArray[np.bool_]
    thick: tuple[bool, ...]  # by axis: whether the region has more than one voxel along it

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Shape:
        places = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        return cls(mask=np.pad(mask, 1), thick=tuple(bool(place[-1] > place[0]) for place in places))

    def steps(self) -> Iterator[int]:
        """The 13 directions as distances in the flattened mask; a region one voxel thick has fewer."""
        _, rows, columns = self.mask.shape
        for direction in DIRECTIONS:
            if all(is_thick or d == 0 for d, is_thick in zip(direction, self.thick, strict=True)):
                yield (direction[0] * rows + direction[1]) * columns + direction[2]

    def lines(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.bool_]]]:
        """By direction: the numbers of the region's voxels (n,) line after line, and which of them (n - 1,) has the
        next one as its neighbour. In rows as long as the step, a direction's lines are the columns."""
        flat = self.mask.ravel()
        number = np.cumsum(flat, dtype=np.int32) - 1
        for step in self.steps():
            rows = -(-flat.size // step)
            padded = np.zeros(rows * step, np.bool_)
            padded[: flat.size] = flat
            column, row = np.divmod(np.flatnonzero(padded.reshape(rows, step).T), rows)
            at = row * step + column
            yield number[at], np.diff(at) == step


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """Grey levels of the voxels of a shape, in the order of the mask, from 1 on."""

    shape: Shape
    level: NDArray[np.int32]  # (voxel,)
    levels: int

    @classmethod
    def of(
        cls,
        values: NDArray[np.floating | np.integer],
        mask: NDArray[np.bool_],
        width: float,
        shape: Shape | None = None,
    ) -> Region:
        """`values` in bins of `width`, whose edges are multiples of it; the lowest inside the mask is level 1. `shape`:
        that of the mask, where it is there already."""
        bins = np.floor(values[mask] / width).astype(np.int64)
        bins -= bins.min() - 1
        return cls(shape=shape or Shape.of(mask), level=bins.astype(np.int32), levels=int(bins.max()))


def glcm(region: Region) -> dict[str, float]:
    """24 features of neighbouring levels, averaged over the directions that have neighbours."""
    return along_lines([region])[0][0]


def glrlm(region: Region) -> dict[str, float]:
    """16 features of runs of equal levels, averaged over the directions."""
    return along_lines([region])[0][1]


def along_lines(regions: Sequence[Region]) -> list[tuple[dict[str, float], dict[str, float]]]:
    """GLCM and GLRLM of images of the same shape."""
    pairs: list[list[dict[str, float]]] = [[] for _ in regions]
    runs: list[list[dict[str, float]]] = [[] for _ in regions]
    for order, joined in regions[0].shape.lines():
        for region, of_pairs, of_runs in zip(regions, pairs, runs, strict=True):
            level = region.level[order]
            if joined.any():
                of_pairs.append(_co_occurrence(_neighbours(level, joined, region.levels)))
            of_runs.append(_sized(*_runs(level, joined, region.levels)))
    names = dict(zip(_SIZED, _RUNS, strict=True))
    # A single voxel has no neighbour and no direction: as a flat region, which a pair of equals would be; one run.
    return [
        (
            _mean(of_pairs or [_co_occurrence(np.ones((1, 1)))]),
            {names[name]: value for name, value in _mean(of_runs or [_sized(*np.ones((3, 1)))]).items()},
        )
        for of_pairs, of_runs in zip(pairs, runs, strict=True)
    ]


def _neighbours(level: NDArray[np.int32], joined: NDArray[np.bool_], levels: int) -> Counts:
    """Symmetric probabilities (level, level) of what stands beside what."""
    pairs = ((level[:-1].astype(np.int64) - 1) * levels + (level[1:] - 1))[joined]
    counts = np.bincount(pairs, minlength=levels**2).reshape(levels, levels)
    return np.asarray((counts + counts.T) / (2.0 * pairs.size))


def _runs(level: NDArray[np.int32], joined: NDArray[np.bool_], levels: int) -> tuple[Counts, Counts, Counts]:
    """Level, length and number of the runs of voxels in order."""
    ends = np.flatnonzero(~joined | (level[1:] != level[:-1]))
    starts = np.concatenate([[0], ends + 1])
    length = np.diff(np.append(starts, level.size))
    longest = int(length.max())
    table = np.bincount(level[starts] * longest + (length - 1), minlength=(levels + 1) * longest)
    table = table.reshape(levels + 1, longest)  # (level, length - 1)
    of_level, of_length = np.nonzero(table)
    return (
        of_level.astype(np.float64),
        of_length.astype(np.float64) + 1.0,
        table[of_level, of_length].astype(np.float64),
    )


def _co_occurrence(p: Counts) -> dict[str, float]:
    """Of a symmetric matrix of probabilities (level, level)."""
    levels = len(p)
    i, j = np.ogrid[1 : levels + 1, 1 : levels + 1]
    alone = p.sum(axis=1)
    level = np.arange(1.0, levels + 1)
    mean = float(alone @ level)
    variance = float(alone @ (level - mean) ** 2)
    difference = _summed(np.abs(i - j), p)
    total = _summed(i + j, p)
    k = np.arange(levels, dtype=np.float64)
    s = np.arange(total.size) - 2.0 * mean
    average = float(difference @ k)
    apart = np.outer(alone, alone)
    entropy, entropy_alone = _entropy(p), _entropy(alone)
    crossed = float(-(p * np.log2(apart, out=np.zeros_like(apart), where=apart > 0)).sum())
    return {
        "Autocorrelation": float((p * (i * j)).sum()),
        "ClusterProminence": float(total @ s**4),
        "ClusterShade": float(total @ s**3),
        "ClusterTendency": float(total @ s**2),
        "Contrast": float(difference @ k**2),
        "Correlation": float((p * ((i - mean) * (j - mean))).sum()) / variance if variance > 0 else 1.0,
        "DifferenceAverage": average,
        "DifferenceEntropy": _entropy(difference),
        "DifferenceVariance": float(difference @ (k - average) ** 2),
        "Id": float((difference / (1 + k)).sum()),
        "Idm": float((difference / (1 + k**2)).sum()),
        "Idmn": float((difference / (1 + (k / levels) ** 2)).sum()),
        "Idn": float((difference / (1 + k / levels)).sum()),
        "Imc1": (entropy - crossed) / entropy_alone if entropy_alone > 0 else 0.0,
        # log2 within and e outside, as IBSI has it; rounding may leave independence a hair above itself
        "Imc2": float(np.sqrt(max(0.0, 1 - np.exp(-2 * (_entropy(apart) - entropy))))),
        "InverseVariance": float((difference[1:] / k[1:] ** 2).sum()),
        "JointAverage": mean,
        "JointEnergy": float((p**2).sum()),
        "JointEntropy": entropy,
        "MCC": _maximal_correlation(p, alone),
        "MaximumProbability": float(p.max()),
        "SumAverage": 2 * mean,
        "SumEntropy": _entropy(total),
        "SumSquares": variance,
    }


def _maximal_correlation(p: Counts, alone: Counts) -> float:
    """Second singular value of P scaled by its margins. P is symmetric, so these are its eigenvalues without sign."""
    there = alone > 0
    if there.sum() < 2:
        return 1.0
    root = np.sqrt(alone[there])
    values = np.abs(np.linalg.eigvalsh(p[np.ix_(there, there)] / np.outer(root, root)))
    return float(np.sort(values)[-2])


def glszm(region: Region) -> dict[str, float]:
    """16 features of zones: connected voxels (26 neighbours) of equal level."""
    grid = np.zeros(region.shape.mask.shape, np.int32)
    grid[region.shape.mask] = region.level
    zones: NDArray[np.intp] = label(grid, background=0, connectivity=3)  # type: ignore[no-untyped-call]
    numbers = zones[region.shape.mask]
    size = np.bincount(numbers)[1:]
    level = np.zeros(size.size, np.int64)
    level[numbers - 1] = region.level
    kinds, count = np.unique(np.stack([level, size]), axis=1, return_counts=True)
    found = _sized(kinds[0].astype(np.float64), kinds[1].astype(np.float64), count.astype(np.float64))
    names = dict(zip(_SIZED, _ZONES, strict=True))
    return {names[name]: value for name, value in found.items()}


# What runs and zones have in common, and what each calls it.
_SIZED = (
    *("level non-uniformity", "normalised level non-uniformity", "level variance", "high", "low"),
    *("large", "large high", "large low", "small", "small high", "small low"),
    *("size non-uniformity", "normalised size non-uniformity", "size variance", "percentage", "entropy"),
)
_RUNS = (
    *("GrayLevelNonUniformity", "GrayLevelNonUniformityNormalized", "GrayLevelVariance"),
    *("HighGrayLevelRunEmphasis", "LowGrayLevelRunEmphasis"),
    *("LongRunEmphasis", "LongRunHighGrayLevelEmphasis", "LongRunLowGrayLevelEmphasis"),
    *("ShortRunEmphasis", "ShortRunHighGrayLevelEmphasis", "ShortRunLowGrayLevelEmphasis"),
    *("RunLengthNonUniformity", "RunLengthNonUniformityNormalized", "RunVariance", "RunPercentage", "RunEntropy"),
)
_ZONES = (
    *("GrayLevelNonUniformity", "GrayLevelNonUniformityNormalized", "GrayLevelVariance"),
    *("HighGrayLevelZoneEmphasis", "LowGrayLevelZoneEmphasis"),
    *("LargeAreaEmphasis", "LargeAreaHighGrayLevelEmphasis", "LargeAreaLowGrayLevelEmphasis"),
    *("SmallAreaEmphasis", "SmallAreaHighGrayLevelEmphasis", "SmallAreaLowGrayLevelEmphasis"),
    *("SizeZoneNonUniformity", "SizeZoneNonUniformityNormalized", "ZoneVariance", "ZonePercentage", "ZoneEntropy"),
)


def _sized(level: Counts, size: Counts, count: Counts) -> dict[str, float]:
    """Of `count` runs or zones of each `level` and `size`; a pair occurs once."""
    number = count.sum()
    share = count / number
    of_level = np.bincount(level.astype(np.int64), count)
    _, which = np.unique(size, return_inverse=True)  # zones have sizes up to millions
    of_size = np.bincount(which, count)
    high, large = level**2, size**2
    return {
        "level non-uniformity": float((of_level**2).sum() / number),
        "normalised level non-uniformity": float((of_level**2).sum() / number**2),
        "level variance": float(share @ (level - share @ level) ** 2),
        "high": float(share @ high),
        "low": float(share @ (1 / high)),
        "large": float(share @ large),
        "large high": float(share @ (large * high)),
        "large low": float(share @ (large / high)),
        "small": float(share @ (1 / large)),
        "small high": float(share @ (high / large)),
        "small low": float(share @ (1 / (large * high))),
        "size non-uniformity": float((of_size**2).sum() / number),
        "normalised size non-uniformity": float((of_size**2).sum() / number**2),
        "size variance": float(share @ (size - share @ size) ** 2),
        "percentage": float(number / (count @ size)),
        "entropy": _entropy(share),
    }


def _summed(where: NDArray[np.intp], p: Counts) -> Counts:
    """The weights `p` added up by what stands in `where`, from 0 to its largest."""
    return np.bincount(where.ravel(), p.ravel()).astype(np.float64)


def _entropy(p: Counts) -> float:
    """In bits; what never happens adds nothing."""
    some = p[p > 0]
    return float(-(some * np.log2(some)).sum()) + 0.0


def _mean(found: list[dict[str, float]]) -> dict[str, float]:
    names: Mapping[str, float] = found[0]
    return {name: float(np.mean([one[name] for one in found])) for name in names}
