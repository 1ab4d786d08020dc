"""Is this input like what a network was trained on? A few plain numbers, held against the ranges in its card.

A network answers whatever it is shown. The papers do not say when it should not be asked; ours says so where a number
leaves the range it had over the patients of training and choosing. A card without ranges says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.cards import Card
from models.grid import in_plane_shape, resample_hu, resample_mask
from models.volume import Volume

GRID_MM = 2.0  # the networks' own: noise is what is left of it there
MOST_SLICES = 40  # evenly spread; more tell nothing new
AERATED_PERCENTILE = 5.0  # even a lung that is nine tenths white has so much air
SOFT_HU = (0.0, 100.0)  # muscle, heart and liver, with some contrast
SMOOTH_PX = 5  # soft tissue is told by its surroundings, or noise would cut off its own tails
LEAST_SOFT_PX = 2000  # fewer pairs of pixels measure no noise
UNDECIDED = (0.1, 0.9)  # a probability between is no answer
# The ends of a range are two of some forty patients; the next patient of the same kind lies beyond them easily.
MARGIN = 0.25  # of the width, at each end
FAR = 1.0  # widths beyond the range: another kind of image, no answer is better than any


@dataclass(frozen=True, kw_only=True)
class _Feature:
    words: str
    unit: str
    least: float  # width of a range: patients who are all alike do not make the next one strange
    factor: float = 1.0
    one_sided: bool = False  # less is never worse


FEATURES = {
    "aerated_hu": _Feature(words="aerated lung", unit="HU", least=100.0),
    "noise_hu": _Feature(words="noise in soft tissue", unit="HU", least=20.0, one_sided=True),
    "undecided": _Feature(words="undecided pixels", unit="%", least=0.05, factor=100.0, one_sided=True),
}


@dataclass(frozen=True, kw_only=True)
class Unfamiliar:
    """One number outside its range; `far` where it is so by more than the range's own width."""

    words: str  # "noise in soft tissue 95 HU, trained on 0 to 40 HU (lungs-unet)"
    far: bool


def features(volume: Volume, lungs: NDArray[np.bool_]) -> dict[str, float]:
    """What can be measured of a volume and its lungs, (slice, row, column), by the names of FEATURES."""
    used = np.flatnonzero(lungs.any(axis=(1, 2)))
    if not used.size:
        return {}
    kept = used[:: max(1, -(-used.size // MOST_SLICES))]
    shape = in_plane_shape((kept.size, *volume.shape[1:]), volume.spacing_mm[1:], GRID_MM)
    hu, inside = resample_hu(volume.hu[kept], shape), resample_mask(lungs[kept], shape)
    found = {}
    if inside.any():
        found["aerated_hu"] = float(np.percentile(hu[inside], AERATED_PERCENTILE))
    noise = _noise_hu(hu.astype(np.float32), inside)
    return found if noise is None else found | {"noise_hu": noise}


def undecided(probabilities: NDArray[np.float32], inside: NDArray[np.bool_] | None = None) -> int:
    """How many pixels have no answer: all of them, or those `inside`."""
    low, high = UNDECIDED
    between = (probabilities > low) & (probabilities < high)
    return int(np.count_nonzero(between if inside is None else between & inside))


def ranges(found: Iterable[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """What is familiar after these patients, for a card. Empty where nothing was measured."""
    values: dict[str, list[float]] = {}
    for patient in found:
        for name, value in patient.items():
            values.setdefault(name, []).append(value)
    result = {}
    for name, known in sorted(values.items()):
        width = max(known) - min(known)
        margin = max(MARGIN * width, (FEATURES[name].least - width) / 2)
        low = 0.0 if FEATURES[name].one_sided else min(known) - margin
        result[name] = (float(f"{low:.4g}"), float(f"{max(known) + margin:.4g}"))
    return result


def unfamiliar(found: Mapping[str, float], card: Card) -> tuple[Unfamiliar, ...]:
    """What is unlike the training of the model of this card; nothing where it names no ranges."""
    strange = []
    for name, (low, high) in card.familiar.items():
        feature, value = FEATURES.get(name), found.get(name)
        if feature is None or value is None or low <= value <= high:
            continue
        beyond = max(low - value, value - high)
        shown, first, last = (f"{feature.factor * number:.3g}" for number in (value, low, high))
        words = f"{feature.words} {shown} {feature.unit}, trained on {first} to {last} {feature.unit} ({card.name})"
        strange.append(Unfamiliar(words=words, far=beyond > FAR * (high - low)))
    return tuple(strange)


def _noise_hu(hu: NDArray[np.float32], lungs: NDArray[np.bool_]) -> float | None:
    """Standard deviation of one pixel in soft tissue, from differences of neighbours in a row."""
    low, high = SOFT_HU
    smooth = ndimage.uniform_filter(hu, size=(1, SMOOTH_PX, SMOOTH_PX))
    soft = (smooth > low) & (smooth < high) & ~lungs
    pairs = soft[..., 1:] & soft[..., :-1]
    if np.count_nonzero(pairs) < LEAST_SOFT_PX:
        return None
    difference = np.abs(hu[..., 1:] - hu[..., :-1])[pairs]
    # 0.6745: the median of |x| of a normal distribution in its deviations; sqrt 2: two pixels make the difference.
    return float(np.median(difference) / (0.6745 * np.sqrt(2.0)))
