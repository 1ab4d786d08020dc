"""What two masks score beside Dice, by name (MODELS.md section 6)."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from training.scores import Confusion, jaccard
from training.surfaces import surfaces as distances

OVERLAP = ("jaccard",)
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
