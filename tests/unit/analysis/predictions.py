"""Predictions made by hand: a believable chest, and whatever of it is to be different."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from models.extent import Extent
from models.pipeline import Identity, Prediction
from models.severity import Severity
from models.volume import Volume

SHAPE = (10, 20, 31)

LUNGS = Identity(
    role="lungs", name="classical-lungs", version="1", sha256="", synthetic=False, parameters="air below HU -420"
)
TRIAGE = Identity(role="triage", name="thresholding", version="1", sha256="", synthetic=False, parameters="")

HEALTHY = Extent(
    lung_ml_right=2600.0,
    lung_ml_left=2300.0,
    height_mm=260.0,
    body_share=0.4,
    rib_ring=0.8,
    cavity_share_right=0.74,
    cavity_share_left=0.68,
    base_step_mm=10.0,
    reaches_head_end=False,
    reaches_foot_end=False,
)
SEVERITY = Severity(
    fraction_right=0.30,
    fraction_left=0.10,
    lung_ml_right=2600.0,
    lung_ml_left=2300.0,
    lesion_ml_right=780.0,
    lesion_ml_left=230.0,
    grade="CT-2",
)


def extent(**values: Any) -> Extent:
    return replace(HEALTHY, **values)


def volume(slice_mm: float = 3.0, **values: Any) -> Volume:
    """Slices `slice_mm` apart along a direction that is no axis's."""
    affine = np.eye(4)
    affine[:3, 0] = slice_mm * np.array([0.1, -0.2, 0.974679434])
    affine[:3, 1], affine[:3, 2] = (0.0, 0.8, 0.0), (0.7, 0.0, 0.0)
    return Volume(hu=np.zeros(SHAPE, np.int16), affine_lps=affine, **values)


def prediction(**values: Any) -> Prediction:
    """A prediction that passes every gate and has no flag, unless `values` say otherwise."""
    chosen: dict[str, Any] = {
        "volume": volume(),
        "labels": np.zeros(SHAPE, np.uint8),
        "lesions": np.zeros(SHAPE, np.bool_),
        "probability": None,
        "class_probabilities": None,
        "severity": SEVERITY,
        "extent": HEALTHY,
        "sides_by_size": False,
        "identities": (LUNGS, TRIAGE),
        "seconds": {"lungs": 1.0},
    }
    return Prediction(**{**chosen, **values})
