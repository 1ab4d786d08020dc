"""Parts of a volume that a 3D network is given one after the other, where the whole does not fit."""

from __future__ import annotations

import math
from itertools import product

Tile = tuple[slice, slice, slice]

OVERLAP = 0.25  # of a tile, at least, with the next: what is seen at a border alone is seen badly


def tiles(shape: tuple[int, ...], largest: tuple[int, int, int] | None, overlap: float = OVERLAP) -> list[Tile]:
    """Boxes of at most `largest` voxels per axis that cover (slices, rows, columns), evenly spread; the whole where
    it fits or `largest` is None."""
    runs = [
        _runs(n, n if most is None else most, overlap) for n, most in zip(shape, largest or [None] * 3, strict=True)
    ]
    return [(s, r, c) for s, r, c in product(*runs)]


def _runs(length: int, most: int, overlap: float) -> list[slice]:
    if length <= most:
        return [slice(0, length)]
    step = max(1, math.floor(most * (1.0 - overlap)))
    count = 1 + math.ceil((length - most) / step)
    return [slice(first, first + most) for first in (round(n * (length - most) / (count - 1)) for n in range(count))]
