"""May this result be believed? Pure gates over what the pipeline measured: a named reason, or flags.

The worst silent failure is the white lung: a lung model that misses a consolidated lung reports a *low* severity for
the sickest patient. So a missing or shrunken lung ends in `not_analysed`, loudly, and never in a quiet small number.
"""

from __future__ import annotations

from dataclasses import dataclass

from models import crosscheck
from models.extent import Extent
from models.pipeline import Prediction
from triaged.records import Flag, Reason

# Total lung capacity of adults is 4 to 9 L; a scan in expiration of a small patient comes near 1.2 L, and 9.5 L is
# the largest emphysematous chest one expects. Outside, the mask is wrong, whatever it says.
LUNG_ML = (1000.0, 9500.0)
# The right lung is 5 to 25 % larger. Beyond a factor of two either side, one lung is collapsed, opaque or was lost.
RIGHT_LEFT = (0.5, 2.2)
# Of a side's rib cage at mid-chest, how much is lung. Five real chests: 0.56 to 0.86; with the lower 60 % of one lung
# painted white 0.39 to 0.49. What falls between keeps its baseline place, which is the safe side to err on.
LEAST_CAVITY_SHARE = 0.50
# Five real chests: 246 to 312 mm; painted white from the base up, 90 to 140 mm. Less than this of lungs that the scan
# cut off is a part, not a chest: a percentage of it says nothing of the whole.
LEAST_HEIGHT_MM = 170.0
# The grey zone: dense bases that the mask lost leave a small, quiet number, and one threshold does not part them from
# small lungs. So each sign is a flag well before it is a gate. Five real studies and a marked volume, nothing missing:
# right to left 0.91 to 1.36, share 0.56 to 0.94, height 265 to 312 mm (phantoms from 215 mm), bases 0 to 10 mm apart
# (36 mm in one). A quarter of one lung, painted white from its base: 60 mm and more; 15 % of both: 175 to 207 mm high.
USUAL_RIGHT_LEFT = (0.8, 1.6)
USUAL_CAVITY_SHARE = 0.55
USUAL_HEIGHT_MM = 210.0
USUAL_BASE_STEP_MM = 30.0  # the right dome stands 10 to 20 mm above the left one, and the recesses reach about level
# Dense lung that no model called a lesion. In the true lungs of phantoms it is vessels, at most 2 % of a side; a
# collapsed lobe, which is no lesion, 8 to 19 %. A sixth of a lung is a segment that the number may lack; beyond three
# tenths the number says nothing of that lung.
USUAL_UNEXPLAINED = 0.15
MOST_UNEXPLAINED = 0.30
# Above 5 mm, small lesions are averaged away with what surrounds them. Positions come rounded, to a micrometre or to a
# hundredth of a millimetre, and a spacing computed from them is never quite 5.
THICK_MM = 5.05


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`reason_code` and `words` where the study is not analysed; otherwise what its reader should know: flags, and in
    `remarks` the particulars that belong to them."""

    reason_code: Reason | None = None
    words: str = ""
    flags: tuple[Flag, ...] = ()
    remarks: tuple[str, ...] = ()


def judge(prediction: Prediction, *, partial: bool, lossy: bool, contrast: bool) -> Verdict:
    """The first gate that closes decides; where none does, every flag is collected."""
    for gate in (_opaque, _unexplained, _unconfirmed, _unfamiliar, _volume, _coverage):
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
        Flag.LUNGS_DISAGREE: prediction.crosscheck is not None and bool(prediction.crosscheck.words),
        Flag.LUNG_MAY_BE_MISSING: _is_unusual(extent) or max(prediction.unexplained) > USUAL_UNEXPLAINED,
        Flag.UNFAMILIAR: bool(prediction.unfamiliar),
    }
    return Verdict(flags=tuple(flag for flag, is_set in flags.items() if is_set), remarks=_remarks(prediction))


def _remarks(prediction: Prediction) -> tuple[str, ...]:
    said = []
    check = prediction.crosscheck
    if check is not None and check.words:
        stood_in = check.verdict is crosscheck.Verdict.FAILED
        said.append(check.words + (": the classical lungs stand in" if stood_in else ""))
    if max(prediction.unexplained) > USUAL_UNEXPLAINED:
        said.append(_dense(prediction))
    if prediction.unfamiliar:
        said.append("unfamiliar: " + "; ".join(each.words for each in prediction.unfamiliar))
    return tuple(said)


def _dense(prediction: Prediction) -> str:
    right, left = prediction.unexplained
    side = "right" if right >= left else "left"
    return f"{100 * max(right, left):.0f} % of the {side} lung is dense without having been called a lesion"


def _is_unusual(extent: Extent) -> bool:
    """Whether some sign of missing lung shows, or cannot be looked for."""
    low, high = USUAL_RIGHT_LEFT
    is_whole = not (extent.reaches_head_end or extent.reaches_foot_end)
    share, step_mm = extent.smaller_cavity_share, extent.base_step_mm
    return (
        not low <= extent.right_left_ratio <= high
        or share is None
        or share < USUAL_CAVITY_SHARE
        or (is_whole and extent.height_mm < USUAL_HEIGHT_MM)
        or step_mm is None
        or step_mm > USUAL_BASE_STEP_MM
    )


def _opaque(prediction: Prediction) -> Verdict | None:
    """Three signs of lung that the mask does not hold: one side small, little of the rib cage filled, no bases."""
    extent = prediction.extent
    low, high = RIGHT_LEFT
    if not low <= extent.right_left_ratio <= high:
        side = "left" if extent.right_left_ratio > high else "right"
        sizes = f"right {extent.lung_ml_right:.0f} mL, left {extent.lung_ml_left:.0f} mL"
        return Verdict(reason_code=Reason.LUNG_OPAQUE, words=f"the {side} lung may be opaque or collapsed ({sizes})")
    share = extent.smaller_cavity_share
    if share is not None and share < LEAST_CAVITY_SHARE:
        side = "right" if share == extent.cavity_share_right else "left"
        words = f"the {side} lung may be opaque: it fills {100 * share:.0f} % of its side of the rib cage"
        return Verdict(reason_code=Reason.LUNG_OPAQUE, words=words)
    is_whole = not (extent.reaches_head_end or extent.reaches_foot_end)
    if is_whole and extent.height_mm < LEAST_HEIGHT_MM:
        words = f"the lungs found are {extent.height_mm:.0f} mm high: their bases may be opaque"
        return Verdict(reason_code=Reason.LUNG_OPAQUE, words=words)
    return None


def _unexplained(prediction: Prediction) -> Verdict | None:
    """A white lung that was taken in and called healthy is as quiet as one that was lost."""
    if max(prediction.unexplained) <= MOST_UNEXPLAINED:
        return None
    return Verdict(reason_code=Reason.LUNG_OPAQUE, words=f"a lung may be opaque: {_dense(prediction)}")


def _unconfirmed(prediction: Prediction) -> Verdict | None:
    check = prediction.crosscheck
    if check is None or check.verdict is not crosscheck.Verdict.UNCONFIRMED:
        return None
    return Verdict(reason_code=Reason.LUNG_OPAQUE, words=f"both lungs may be opaque, or it is no chest: {check.words}")


def _unfamiliar(prediction: Prediction) -> Verdict | None:
    far = [each.words for each in prediction.unfamiliar if each.far]
    if not far:
        return None
    return Verdict(reason_code=Reason.UNFAMILIAR, words="unfamiliar input: " + "; ".join(far))


def _volume(prediction: Prediction) -> Verdict | None:
    low, high = LUNG_ML
    found = prediction.extent.lung_ml
    if low <= found <= high:
        return None
    litres = f"{found / 1000:.1f} L of lung, expected {low / 1000:.1f} to {high / 1000:.1f} L"
    return Verdict(reason_code=Reason.LUNG_VOLUME, words=litres)


def _coverage(prediction: Prediction) -> Verdict | None:
    extent = prediction.extent
    covered_mm = prediction.volume.shape[0] * prediction.volume.spacing_mm[0]
    if extent.reaches_head_end and extent.reaches_foot_end:
        words = f"the lungs are cut off at both ends of the {covered_mm:.0f} mm that were scanned"
        return Verdict(reason_code=Reason.SHORT_COVERAGE, words=words)
    if (extent.reaches_head_end or extent.reaches_foot_end) and extent.height_mm < LEAST_HEIGHT_MM:
        end = "head" if extent.reaches_head_end else "foot"
        words = f"the lungs are cut off at the {end} end: only {extent.height_mm:.0f} mm of them were scanned"
        return Verdict(reason_code=Reason.SHORT_COVERAGE, words=words)
    return None
