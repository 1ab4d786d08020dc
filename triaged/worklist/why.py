"""Why a study stands where it stands: one sentence for the board. Pure.

Never reassuring (the board's first rule): what was measured, "not analysed" and "failed" are different words. Where
little was measured the sentence says just that: dense lung is all that is looked for, so an embolus, a nodule or a
pneumothorax stands there too. A score that no site has calibrated is a number from 0 to 1 with the word score.
"""

from __future__ import annotations

from typing import Literal

from triaged.config import Worklist
from triaged.records import Findings, Flag, Grade, OrderPriority, Study, StudyState, Tier
from triaged.wording import duration, percent
from triaged.worklist.policy import urgency

Held = Literal["", "shadow", "switch", "off"]  # why the order in force is the baseline's; "": it is not

BASELINE_WORDS: dict[Held, str] = {
    "": "at its baseline place",
    "shadow": "at its baseline place",  # every page is marked as shadow mode already
    "switch": "at its baseline place (AI order switched off)",
    "off": "at its baseline place",
}


NOTHING_MEASURED = "nothing measured above the floor of CT-1"
LUNG_MAY_BE_MISSING = "lung may be missing from the measurement"


def sentence(study: Study, rules: Worklist, held: Held) -> str:
    """What the study shows and what put it here; what a person or an order decided comes first."""
    decided = _decided(study)
    content = _content(study, rules)
    if study.other_versions:
        content += f", {study.other_versions} of its images came again with other content"
    if decided:
        return f"{decided}; {content}"
    moved = _promotion(study, rules)
    if held and moved:
        place = "" if held == "shadow" else f"{BASELINE_WORDS[held]}, "
        return f"{content}; {place}AI would have it {moved}"
    if moved:
        return f"{content}; {moved}"
    waiting = study.state in {StudyState.RECEIVING, StudyState.READY, StudyState.ANALYSING}
    return content if waiting else f"{content}; {BASELINE_WORDS[held]}"


def _decided(study: Study) -> str:
    """The hand or the order that placed the study before any finding did."""
    if study.pinned_at is not None:
        return f"pinned by {study.pinned_by}: {study.pin_reason}"
    if study.order_priority in {OrderPriority.STAT, OrderPriority.HIGH, OrderPriority.LOW}:
        source = f" by {study.priority_source}" if study.priority_source else ""
        stands_by_order = study.place.tier is study.place.baseline_tier and study.place.due == study.place.baseline_due
        return f"{study.order_priority}{source}" if stands_by_order else ""
    return ""


def _content(study: Study, rules: Worklist) -> str:
    match study.state:
        case StudyState.RECEIVING:
            return "waiting for images"
        case StudyState.READY:
            return "waiting for analysis" if study.revision == 0 else "waiting to be analysed again"
        case StudyState.ANALYSING:
            return "being analysed" if study.revision == 0 else "being analysed again"
        case StudyState.NOT_ANALYSED:
            return f"not analysed: {study.reason}"
        case StudyState.FAILED:
            return f"analysis failed: {study.reason}"
        case StudyState.WITHDRAWN:
            return f"withdrawn: {study.reason}"
        case StudyState.ANALYSED:
            assert study.findings is not None
            words = finding_words(study.findings, rules)
            remarks = ["images missing"] if study.partial else []
            remarks += [study.reason] if study.reason else []
            return f"{words} ({', '.join(remarks)})" if remarks else words


def finding_words(findings: Findings, rules: Worklist) -> str:
    """What an analysed study shows, in words: "score 0.83, 38 % of the left lung"; else what was looked for in vain."""
    doubt = LUNG_MAY_BE_MISSING if Flag.LUNG_MAY_BE_MISSING in findings.flags else ""
    parts = [_score_words(findings, rules), _affected_words(findings), doubt]
    return ", ".join(part for part in parts if part) or _nothing_words(findings)


def _nothing_words(findings: Findings) -> str:
    if findings.affected_fraction is not None:
        return NOTHING_MEASURED
    is_silent = findings.covid_probability is None
    return "analysed, but the model gave no value" if is_silent else "score below its threshold"


def _score_words(findings: Findings, rules: Worklist) -> str:
    p = findings.covid_probability
    if p is None or p < rules.identification_threshold:
        return ""
    return f"COVID-19 score {p:.2f}" if Flag.UNCALIBRATED in findings.flags else f"COVID-19 {percent(p)}"


def _affected_words(findings: Findings) -> str:
    """ "38 % of the left lung"; nothing below the floor of CT-1, where a number would pass noise for a finding."""
    worst, left, right = findings.affected_fraction, findings.affected_fraction_left, findings.affected_fraction_right
    if not worst or findings.ct_grade is Grade.CT0:
        return ""
    if left is None or right is None:
        side = "the worse lung"
    elif left == right:
        side = "each lung"
    else:
        side = "the left lung" if left > right else "the right lung"
    return f"{percent(worst)} of {side}"


def _promotion(study: Study, rules: Worklist) -> str:
    """ "promoted 5 h 10 min": how much earlier than the baseline the study is due; "" where AI did not move it."""
    place = study.place
    parts = []
    if place.due < place.baseline_due:
        parts.append(f"promoted {duration((place.baseline_due - place.due).total_seconds())}")
    if place.tier < place.baseline_tier:
        parts.append(f"promoted to {Tier(place.tier).name}" if not parts else f"to {Tier(place.tier).name}")
    if not parts:
        return ""
    now_asks = urgency(
        rules.policy,
        study.findings,
        identification_threshold=rules.identification_threshold,
        severity_threshold=rules.severity_threshold,
    )
    if study.revision > 1 and now_asks < study.urgency:
        parts.append("by an earlier result")  # AI only raises the urgency; what a revision lowers stays raised
    return " ".join(parts)
