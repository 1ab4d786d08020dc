"""Model 35: the 375 radiomic features of COVID-MTL from a CT and its lungs.

Bao et al., section 4.1, with what the authors' FeatureExtractor.py and the columns of their table add (MODELS.md 35):
1 mm isotropic, raw values HU + 1024, everything outside the lungs 0, mask = values above 0, bin width 25, the original
image and the eight sub-bands of a coif1 wavelet. They used PyRadiomics, whose 3.0.1 no longer builds without tricks;
fastrad holds whole tensors of every step in memory, and mirp is under the EUPL. So the features are our own code
(`models.textures`), equal to PyRadiomics within rounding where it was asked. Their resampling was a spline of SciPy of
unstated order: here linear, masks by the nearest voxel. A coarser grid takes a fraction of the time and gives other
features: what was fitted at one grid must be shown features of that grid.

The region is cut out before anything is computed, with a border as wide as the wavelet reaches: outside the lungs all
is 0, so no value inside depends on more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.feature_names import GLCM, GLRLM, GLSZM, NAMES, WAVELET_GLCM
from models.textures import Region, along_lines, glszm
from models.volume import Volume

BIN_WIDTH = 25.0
OFFSET_HU = 1024  # raw value of 0 HU
HIGHEST = 4095  # raw; the authors' reader cuts there
GRID_MM = 1.0  # the paper's
# Voxels of the box around the lungs on the grid that are worked on: at 1 mm the authors' volumes have 340 x 390 x 390,
# of which the lungs' own box is less than half. Some 40 bytes are needed for each.
LARGEST = 60_000_000

# The coiflet of order 1 (Daubechies, Ten Lectures on Wavelets, section 8.2) in closed form; the high-pass filter is the
# low-pass one read backwards with every other sign turned.
_R = np.sqrt(7.0)
_LOW = np.array([1 - _R, 5 + _R, 14 + 2 * _R, 14 - 2 * _R, 1 - _R, -3 + _R])[::-1] / (16 * np.sqrt(2.0))
_HIGH = _LOW[::-1] * np.array([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
BORDER = len(_LOW) // 2  # voxels that a sub-band reaches to either side
_FILTERS = {"L": _LOW, "H": _HIGH}

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]
Measure = Callable[[Volume, Mask, float], Mapping[str, float]]  # as `of_volume`


class TooLarge(ValueError):
    """A region that would need more memory than is granted."""


def of_volume(volume: Volume, lungs: Mask, grid_mm: float = GRID_MM) -> dict[str, float]:
    """The 375 features of a series, by name, measured on cubes of `grid_mm`. `lungs` on the volume's grid. Raises
    ValueError where there are no lungs, TooLarge where their box has more voxels than is granted."""
    if grid_mm <= 0:
        raise ValueError(f"a grid of {grid_mm:g} mm")
    if not lungs.any():
        raise ValueError("no lungs to measure")
    raw, mask = _on_grid(volume, lungs, grid_mm)
    return extract(raw, mask & (raw > 0), grid_mm**3)


def extract(raw: NDArray[np.integer], mask: Mask, voxel_mm3: float = 1.0) -> dict[str, float]:
    """The features of `raw` (slice, row, column) inside `mask`, in the order of `NAMES`; outside counts as 0."""
    raw, mask = cropped(np.where(mask, raw, 0), mask)
    whole = Region.of(raw, mask, BIN_WIDTH)
    found = first_order(raw[mask].astype(np.float64), whole, voxel_mm3)
    bands = {b: Region.of(image, mask, BIN_WIDTH, whole.shape) for b, image in sub_bands(raw.astype(np.float64))}
    (pairs, runs), *of_bands = along_lines([whole, *bands.values()])
    found |= _of(pairs, GLCM) | _of(runs, GLRLM) | _of(glszm(whole), GLSZM)  # GLSZM's over GLRLM's
    for band, (pairs, runs) in zip(bands, of_bands, strict=True):
        found |= _of(pairs, WAVELET_GLCM, f"{band}_glcm_") | _of(runs, GLRLM, f"{band}_glrlm_")
    return {name: found[name] for name in NAMES}


def first_order(values: Image, region: Region, voxel_mm3: float) -> dict[str, float]:
    """18 features of the values alone; entropy and uniformity of the binned ones."""
    share = np.bincount(region.level) / values.size
    share = share[share > 0]
    ten, quarter, half, three, ninety = np.percentile(values, [10, 25, 50, 75, 90])
    mean, energy = values.mean(), float((values**2).sum())
    away = values - mean
    variance = (away**2).mean()
    middle = values[(values >= ten) & (values <= ninety)]
    return {
        "10Percentile": float(ten),
        "90Percentile": float(ninety),
        "Energy": energy,
        "Entropy": float(-(share * np.log2(share)).sum()) + 0.0,
        "InterquartileRange": float(three - quarter),
        "Kurtosis": float((away**4).mean() / variance**2) if variance > 0 else 0.0,  # of a normal distribution 3
        "Maximum": float(values.max()),
        "MeanAbsoluteDeviation": float(np.abs(away).mean()),
        "Mean": float(mean),
        "Median": float(half),
        "Minimum": float(values.min()),
        "Range": float(values.max() - values.min()),
        "RobustMeanAbsoluteDeviation": float(np.abs(middle - middle.mean()).mean()),
        "RootMeanSquared": float(np.sqrt(energy / values.size)),
        "Skewness": float((away**3).mean() / variance**1.5) if variance > 0 else 0.0,
        "TotalEnergy": energy * voxel_mm3,
        "Uniformity": float((share**2).sum()),
        "Variance": float(variance),
    }


def sub_bands(image: Image) -> Iterator[tuple[str, Image]]:
    """The eight sub-bands of an undecimated coif1 transform, one at a time. The first letter of a name is the filter
    along columns, the last along slices; the image is taken as repeating itself."""
    for first in "LH":
        along_columns = _filtered(image, first, axis=2)
        for second in "LH":
            along_rows = _filtered(along_columns, second, axis=1)
            for third in "LH":
                yield first + second + third, _filtered(along_rows, third, axis=0)


def _filtered(image: Image, letter: str, axis: int) -> Image:
    return np.asarray(ndimage.convolve1d(image, _FILTERS[letter], axis=axis, mode="wrap"), np.float64)


def cropped(raw: NDArray[np.integer], mask: Mask) -> tuple[NDArray[np.integer], Mask]:
    """The box of the mask with a border of zeros that no wavelet reaches across. Raises ValueError, TooLarge."""
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        raise ValueError("the region has no voxels")
    _require_room(int(np.prod([s.stop - s.start + 2 * BORDER for s in boxes[0]])))
    return np.pad(raw[boxes[0]], BORDER), np.pad(mask[boxes[0]], BORDER)


def _require_room(voxels: int) -> None:
    if voxels > LARGEST:
        raise TooLarge(f"{voxels:,} voxels around the lungs, more than {LARGEST:,}")


def _on_grid(volume: Volume, lungs: Mask, grid_mm: float) -> tuple[NDArray[np.int16], Mask]:
    """Raw values and lungs on cubes of `grid_mm`, of the lungs' box alone."""
    box = ndimage.find_objects(lungs.astype(np.uint8))[0]
    part, inside = volume.hu[box], lungs[box]
    shape = [max(1, round(n * mm / grid_mm)) for n, mm in zip(part.shape, volume.spacing_mm, strict=True)]
    _require_room(int(np.prod(shape)))
    factors = [new / old for new, old in zip(shape, part.shape, strict=True)]
    raw = np.clip(part.astype(np.float32) + OFFSET_HU, 0, HIGHEST)
    zoomed = ndimage.zoom(raw, factors, order=1, mode="nearest", grid_mode=True)
    mask = ndimage.zoom(inside.astype(np.uint8), factors, order=0, mode="nearest", grid_mode=True)
    return np.rint(zoomed).astype(np.int16), mask.astype(np.bool_)


def _of(found: dict[str, float], names: tuple[str, ...], prefix: str = "") -> dict[str, float]:
    return {prefix + name: found[name] for name in names}
