"""Recipe of model 2, the 2D U-Net of CT triage (Goncharov et al., section 4.3): patients with annotated lesions only.
What it shares with model 3 is in `training.lesions`."""

from __future__ import annotations

from training import lesions
from training.lesions import SlicePlan
from training.recipe import Recipe

SHARES = {"covid": 1.0}  # the paper's 79 annotated series are all of COVID-19
SCALES = lesions.SLICE_SCALES


def recipe(scale: str, plan: SlicePlan) -> Recipe:
    return lesions.of_slices(2, scale, plan, SHARES)
