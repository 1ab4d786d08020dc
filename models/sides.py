"""Model 31: which lung voxels are right and which are left.

CT triage (Goncharov et al.), section 2.1.1: k-means with k = 2 on the coordinates of lung voxels. Coordinates are in
mm here (the paper says Euclidean; voxels are not cubes). Sides are named by the patient's orientation; the paper's
rule, the bigger cluster is the right lung, holds only where the orientation is unknown.

Two clusters are always found, also in one lung when the other is white, and then everything looks even and healthy.
So clusters that do not lie side by side, one on each side of the body's middle, are replaced by the two sides of that
middle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans  # scikit-learn's makes every worker start a CPU second later

from models.morphology import components
from models.severity import LEFT, RIGHT

EVERY = 30  # the published code fits on every 30th voxel, on all of them below 60
SEED = 42  # the published code's
BEGINNINGS = 4  # the one that ends best counts
# A component nearly all in one cluster is one lung: the dividing plane cuts tips off lungs of unequal size.
WHOLE = 0.8
# Lungs lie 120-170 mm apart, centre to centre, and nearly level; the halves of one lung lie above each other.
SIDE_BY_SIDE = 0.8  # of the distance between the centres is left to right
BESIDE_MIDDLE_MM = 20.0  # each centre is at least so far from the middle


def split(
    lungs: NDArray[np.bool_], affine_lps: NDArray[np.float64], *, oriented: bool, middle_mm: float
) -> NDArray[np.uint8]:
    """Labels RIGHT and LEFT (0 elsewhere) of a lung mask, (slice, row, column). `middle_mm` is the x (LPS) of the
    body's middle; where the orientation is unknown, of the affine that was guessed."""
    voxels = np.flatnonzero(lungs)
    if voxels.size < 2:
        return np.where(lungs, np.uint8(RIGHT), np.uint8(0))
    sample = voxels[::EVERY] if voxels.size >= 60 else voxels
    index = np.stack(np.unravel_index(sample, lungs.shape), axis=1)
    mm = index @ affine_lps[:3, :3].T + affine_lps[:3, 3]
    centres, _ = kmeans(mm, 2, iter=BEGINNINGS, seed=SEED)
    if not _side_by_side(centres, middle_mm):
        y, z = mm[:, 1].mean(), mm[:, 2].mean()
        centres = np.array([[middle_mm - 1.0, y, z], [middle_mm + 1.0, y, z]])
    second = _whole_components(lungs, _nearer_to_second(lungs, affine_lps, centres))
    by_orientation = bool(centres[1, 0] < centres[0, 0])  # LPS: x grows towards the patient's left
    second_is_right = by_orientation if oriented else 2 * int(second.sum()) > voxels.size
    right = second if second_is_right else lungs & ~second
    return np.where(lungs, np.where(right, np.uint8(RIGHT), np.uint8(LEFT)), np.uint8(0))


def _side_by_side(centres: NDArray[np.float64], middle_mm: float) -> bool:
    apart = np.abs(centres[1] - centres[0])
    near, far = sorted(centres[:, 0] - middle_mm)
    return bool(apart[0] >= SIDE_BY_SIDE * np.linalg.norm(apart) and near < -BESIDE_MIDDLE_MM < BESIDE_MIDDLE_MM < far)


def middle_of(body: NDArray[np.bool_], affine_lps: NDArray[np.float64]) -> float:
    """The x (LPS mm) of the middle of a body mask (slice, row, column)."""
    counts = [body.sum(axis=others) for others in ((1, 2), (0, 2), (0, 1))]
    total = max(1, int(counts[0].sum()))
    centre = np.array([float(count @ np.arange(count.size)) / total for count in counts])
    return float(affine_lps[0, :3] @ centre + affine_lps[0, 3])


def _nearer_to_second(
    lungs: NDArray[np.bool_], affine_lps: NDArray[np.float64], centres: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """The half of the mask beyond the plane halfway between the centres, slice by slice to keep memory small."""
    towards = centres[1] - centres[0]
    normal = towards @ affine_lps[:3, :3]
    level = float(towards @ ((centres[0] + centres[1]) / 2.0 - affine_lps[:3, 3]))
    in_slice = normal[1] * np.arange(lungs.shape[1])[:, None] + normal[2] * np.arange(lungs.shape[2])[None, :]
    result = np.zeros_like(lungs)
    for s in range(lungs.shape[0]):
        result[s] = lungs[s] & (in_slice + normal[0] * s > level)
    return result


def _whole_components(lungs: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The clusters after giving every component that lies mostly in one cluster wholly to it."""
    labelled = components(lungs)
    whole, part = np.bincount(labelled.ravel()), np.bincount(labelled[second], minlength=labelled.max() + 1)
    share = part / np.maximum(1, whole)
    share[0] = 0.0
    of_voxel = share.astype(np.float32)[labelled]
    result: NDArray[np.bool_] = (of_voxel >= WHOLE) | (second & (of_voxel > 1.0 - WHOLE))
    return result
