"""Recipe of model 3, the 2D U-Net+ of CT triage (Goncharov et al., section 4.3): patients without COVID-19 too, with
empty masks. What it shares with model 2 is in `training.lesions`."""

from __future__ import annotations

from training import lesions
from training.lesions import SlicePlan
from training.recipe import Recipe

# The paper adds LUNA16, NSCLC and the CT-0 scans of Mosmed, and does not say how often they are drawn: half, we chose.
SHARES = {"covid": 0.5, "normal": 0.25, "other": 0.25}
SCALES = lesions.SLICE_SCALES


def recipe(scale: str, plan: SlicePlan) -> Recipe:
    return lesions.of_slices(3, scale, plan, SHARES)
