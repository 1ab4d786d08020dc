"""What two masks score beside Dice, by name (MODELS.md section 6)."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from training.scores import Confusion, dice, jaccard
from training.surfaces import surfaces as distances

OVERLAP = ("jaccard",)
SLICES = ("slice_dice", "slice_jaccard", "slice_mcc", "slice_precision")  # COVID-MTL, table 2
VOXELS = ("sensitivity", "specificity", "precision", "accuracy", "mcc")
DISTANCES = ("nsd_1mm", "nsd_3mm", "rmsd_mm")

Mask = NDArray[np.bool_]


def overlap(
    what: str,
    found: Mask,
    truth: Mask,
    spacing_mm: tuple[float, float, float],
    *,
    inside: Mask | None = None,
    surfaces: bool = False,
) -> dict[str, float]:
    """Name to value, each name beginning with `what`, of one study's masks (slice, row, column).

    With `inside`, the true lungs, the rates of voxels are counted there alone: outside, nearly everything is truly
    negative and a specificity says nothing. With `surfaces`, the distances of training.surfaces, which need MONAI.
    """
    scored = {"jaccard": jaccard(found, truth)}
    if inside is not None:
        counts = Confusion.of(found[inside], truth[inside])
        scored |= {name: float(getattr(counts, name)) for name in VOXELS}
    if surfaces:
        scored |= asdict(distances(found, truth, spacing_mm))
    return {f"{what}_{name}": value for name, value in scored.items()}


def slice_wise(what: str, found: Mask, truth: Mask) -> dict[str, float]:
    """COVID-MTL's four scores of lungs, SLICES: each slice by itself, then the mean (the paper scores slices that were
    drawn by hand). Slices are those that truly show it; where nothing is found there, precision and MCC count as 0."""
    shown = np.flatnonzero(truth.any(axis=(1, 2)))
    if not shown.size:
        return {}
    each = []
    for s in shown:
        counts = Confusion.of(found[s], truth[s])
        rates = (counts.mcc, counts.precision) if found[s].any() else (0.0, 0.0)
        each.append((dice(found[s], truth[s]), jaccard(found[s], truth[s]), *rates))
    # MCC is nan where a slice is lung altogether: it says nothing there.
    means = [float(np.nanmean(values)) if not np.isnan(values).all() else float("nan") for values in np.array(each).T]
    return {f"{what}_{name}": value for name, value in zip(SLICES, means, strict=True)}
