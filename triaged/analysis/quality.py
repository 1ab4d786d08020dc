"""May this result be believed? Pure gates over what the pipeline measured: a named reason, or flags.

The worst silent failure is the white lung: a lung model that misses a consolidated lung reports a *low* severity for
the sickest patient. So a missing or shrunken lung ends in `not_analysed`, loudly, and never in a quiet small number.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.pipeline import Prediction
from triaged.records import Flag, Reason

# Total lung capacity of adults is 4 to 9 L; a scan in expiration of a small patient comes near 1.2 L, and 9.5 L is
# the largest emphysematous chest one expects. Outside, the mask is wrong, whatever it says.
LUNG_ML = (1000.0, 9500.0)
# The right lung is 5 to 25 % larger. Beyond a factor of two either side, one lung is collapsed, opaque or was lost.
RIGHT_LEFT = (0.5, 2.2)
THICK_MM = 5.0  # above, small lesions are averaged away with what surrounds them


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`reason_code` and `words` where the study is not analysed; otherwise what its reader should know."""

    reason_code: Reason | None = None
    words: str = ""
    flags: tuple[Flag, ...] = ()


def judge(prediction: Prediction, *, partial: bool, lossy: bool, contrast: bool) -> Verdict:
    """The first gate that closes decides; where none does, every flag is collected."""
    for gate in (_opaque, _volume, _coverage):
        verdict = gate(prediction)
        if verdict is not None:
            return verdict
    extent = prediction.extent
    flags = {
        Flag.PARTIAL: partial,
        Flag.LOSSY: lossy,
        Flag.CONTRAST: contrast,
        Flag.RESEARCH_WEIGHTS: any(i.synthetic for i in prediction.identities),
        Flag.UNCALIBRATED: prediction.probability is not None,
        Flag.SIDES_BY_SIZE: prediction.sides_by_size,
        Flag.THICK_SLICES: prediction.volume.spacing_mm[0] > THICK_MM,
        Flag.LUNG_CUT_OFF: extent.reaches_head_end or extent.reaches_foot_end,
    }
    return Verdict(flags=tuple(flag for flag, is_set in flags.items() if is_set))


def _opaque(prediction: Prediction) -> Verdict | None:
    extent = prediction.extent
    low, high = RIGHT_LEFT
    if low <= extent.right_left_ratio <= high:
        return None
    side = "left" if extent.right_left_ratio > high else "right"
    sizes = f"right {extent.lung_ml_right:.0f} mL, left {extent.lung_ml_left:.0f} mL"
    return Verdict(reason_code=Reason.LUNG_OPAQUE, words=f"the {side} lung may be opaque or collapsed ({sizes})")


def _volume(prediction: Prediction) -> Verdict | None:
    low, high = LUNG_ML
    found = prediction.extent.lung_ml
    if low <= found <= high:
        return None
    litres = f"{found / 1000:.1f} L of lung, expected {low / 1000:.1f} to {high / 1000:.1f} L"
    return Verdict(reason_code=Reason.LUNG_VOLUME, words=litres)


def _coverage(prediction: Prediction) -> Verdict | None:
    extent = prediction.extent
    if not (extent.reaches_head_end and extent.reaches_foot_end):
        return None
    covered_mm = prediction.volume.shape[0] * prediction.volume.spacing_mm[0]
    words = f"the lungs are cut off at both ends of the {covered_mm:.0f} mm that were scanned"
    return Verdict(reason_code=Reason.SHORT_COVERAGE, words=words)
