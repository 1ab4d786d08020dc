"""The trachea and main bronchi, to be taken out of the air that becomes lung.

No paper of ours describes it (the kernel of model 33 leaves the airways in); our choice: follow the lumen slice by
slice from the neck, and stop where a branch can no longer be told from lung.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Lumen of an adult trachea in an axial slice: 13-25 mm across (Breatnach 1984); down to a child's 7 mm, up to the
# oblique cut at the carina.
SEED_AREA_MM2 = (40.0, 700.0)
BRANCH_AREA_MM2 = 900.0  # both main bronchi at the carina, in one piece
# The wall is 1-3 mm and vanishes beside lung in thick slices: stricter levels part the lumen from lung again.
LEVELS_HU = (-420, -600, -750, -850, -900, -950)
WALL_MM = 2.0
# Under a stricter level a piece of emphysema looks like a lumen; a lumen has a wall, lung around lung has none.
RING_MM = 3.0
RING_HU = -600.0
GROWTH = 2.5  # from one slice to the next: a trachea becomes the carina, not a lung
SMALL_MM2 = 120.0  # below this, growth says nothing
MAIN_BRONCHI_MM = 60.0  # how far the bronchi are followed beyond the carina; the left main bronchus is 50 mm long
SEED_REACH_MM = 50.0  # from the middle of the body; a scoliotic trachea is still inside
LONGEST_SKIP = 1  # slices in which a branch may be lost
SEARCH_PIXELS = 40  # around the last slice's lumen, on a grid of 1 mm
CHAIN_MM = 15.0  # a lumen must go on for so long to be a trachea and not a lung apex or a fold of skin
SEARCH_MM = 120.0  # the trachea shows itself within so much of the head end of the lungs


def airways(
    hu: NDArray[np.int16],
    air: NDArray[np.bool_],
    body: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    *,
    head_first: bool,
) -> NDArray[np.bool_]:
    """Mask of trachea and main bronchi with their wall, (slice, row, column); empty where no trachea is found.

    `hu` is on a grid of about 1 mm in-plane, `air` the air inside the body, `head_first` whether slice 0 is at the
    head end.
    """
    order = list(range(hu.shape[0])) if head_first else list(range(hu.shape[0]))[::-1]
    found = np.zeros_like(air)
    start = _seed(air, body, spacing_mm, order)
    if start is None:
        return found
    at, lumen = start
    found[order[at]] = lumen
    slices_beyond_carina = max(1, round(MAIN_BRONCHI_MM / spacing_mm[0]))
    _follow(hu, air, found, order[at:], lumen, spacing_mm, slices_beyond_carina)
    _follow(hu, air, found, order[at::-1], lumen, spacing_mm, slices_beyond_carina)
    for s in np.flatnonzero(found.any(axis=(1, 2))):
        found[s] = ndimage.binary_dilation(found[s], _disk(WALL_MM, spacing_mm))
    return found


def _disk(radius_mm: float, spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    reach = [max(1, round(radius_mm / mm)) for mm in spacing_mm[1:]]
    y, x = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    disk: NDArray[np.bool_] = (y / reach[0]) ** 2 + (x / reach[1]) ** 2 <= 1.0
    return disk


def _seed(
    air: NDArray[np.bool_], body: NDArray[np.bool_], spacing_mm: tuple[float, float, float], order: list[int]
) -> tuple[int, NDArray[np.bool_]] | None:
    """Where a round lumen near the body's middle first goes on for CHAIN_MM: (position in order, its mask)."""
    need = max(2, round(CHAIN_MM / spacing_mm[0]))
    limit = len(order)
    chains: list[tuple[int, NDArray[np.bool_]]] = []  # (length, lumen in the last slice)
    for at, s in enumerate(order):
        if air[s].any() and limit == len(order):
            limit = min(limit, at + max(need + 1, round(SEARCH_MM / spacing_mm[0])))
        if at >= limit:
            return None
        grown = []
        for lumen in _round_lumens(air[s], body[s], spacing_mm):
            length = 1 + max((n for n, last in chains if (last & lumen).any()), default=0)
            if length >= need:
                return at, lumen
            grown.append((length, lumen))
        chains = grown
    return None


def _round_lumens(
    air: NDArray[np.bool_], body: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> list[NDArray[np.bool_]]:
    """The 2-D air components of one slice that look like a trachea."""
    labelled, count = ndimage.label(air)
    if count == 0:
        return []
    columns = np.flatnonzero(body.any(axis=0))
    middle = float(columns[0] + columns[-1]) / 2.0 if columns.size else air.shape[1] / 2.0
    pixel = spacing_mm[1] * spacing_mm[2]
    lumens = []
    for label, box in enumerate(ndimage.find_objects(labelled), start=1):
        part = labelled[box] == label
        area = float(part.sum()) * pixel
        height, width = part.shape[0] * spacing_mm[1], part.shape[1] * spacing_mm[2]
        off_centre = abs((box[1].start + box[1].stop) / 2.0 - middle) * spacing_mm[2]
        is_round = max(height, width) < 2.2 * min(height, width) and area > 0.45 * height * width
        if SEED_AREA_MM2[0] <= area <= SEED_AREA_MM2[1] and is_round and off_centre < SEED_REACH_MM:
            lumens.append(labelled == label)
    return lumens


def _follow(
    hu: NDArray[np.int16],
    air: NDArray[np.bool_],
    found: NDArray[np.bool_],
    order: list[int],
    lumen: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    slices_beyond_carina: int,
) -> None:
    """Mark the lumen in `found` along `order`, whose first slice is known."""
    last, lost, beyond = lumen, 0, 0
    for s in order[1:]:
        here = _continuation(hu[s], air[s], last, spacing_mm)
        if here is None:
            lost += 1
            if lost > LONGEST_SKIP:
                return
            continue
        found[s] |= here
        last, lost = here, 0
        if beyond or ndimage.label(here)[1] > 1:
            beyond += 1
        if beyond > slices_beyond_carina:
            return


def _continuation(
    hu: NDArray[np.int16], air: NDArray[np.bool_], last: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.bool_] | None:
    """The components of this slice that go on from `last` and are airway: small enough, and inside a wall."""
    box = _around(last, SEARCH_PIXELS)
    branches, count = ndimage.label(last[box])
    result = np.zeros_like(branches, dtype=np.bool_)
    for branch in range(1, count + 1):
        piece = _branch_continuation(hu[box], air[box], branches == branch, spacing_mm)
        if piece is not None:
            result |= piece
    if not result.any():
        return None
    whole = np.zeros_like(air)
    whole[box] = result
    return whole


def _branch_continuation(
    hu: NDArray[np.int16], air: NDArray[np.bool_], branch: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.bool_] | None:
    """The widest of the nested components under falling levels that can still be airway."""
    pixel_mm2 = spacing_mm[1] * spacing_mm[2]
    limit = min(BRANCH_AREA_MM2, max(SMALL_MM2, GROWTH * float(branch.sum()) * pixel_mm2)) / pixel_mm2
    for level in LEVELS_HU:
        labelled, _ = ndimage.label(air & (hu < level))
        touched = np.unique(labelled[branch])
        result = np.zeros_like(air)
        for label in touched[touched > 0]:
            part = labelled == label
            if part.sum() <= limit and (level == LEVELS_HU[0] or _has_wall(hu, part, spacing_mm)):
                result |= part
        if result.any():
            return result
    return None


def _has_wall(hu: NDArray[np.int16], part: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> bool:
    ring = ndimage.binary_dilation(part, _disk(RING_MM, spacing_mm)) & ~part
    return float(hu[ring].mean()) > RING_HU


def _around(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )
