"""The sentence of a row: what is known, what put it here, and nothing that reassures."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.unit.worklist.house import START, House, analysed, failed, findings_of, not_analysed
from triaged.records import Findings, Flag, Grade, OrderPriority
from triaged.worklist.why import finding_words

UID = "1.2.3"


def _why(house: House) -> str:
    return house.item(UID).why


def test_promoted_study_says_what_and_how_far(house: House) -> None:
    house.ready(UID)
    house.finish_next(analysed(findings_of(left=0.38, right=0.1)))
    assert _why(house) == "38 % of the left lung; promoted 8 h 55 min"  # 0.38 * 23.5 h


def test_study_without_findings_is_called_nothing_better(house: House) -> None:
    house.ready(UID)
    house.finish_next(analysed(findings_of(left=0.002, right=0.001, grade=Grade.CT0)))
    assert _why(house) == "nothing measured above the floor of CT-1; at its baseline place"


def test_nothing_measured_not_analysed_and_failed_are_three_sentences(house: House) -> None:
    said = set()
    for uid, outcome in (("1.1", analysed(findings_of(0.0))), ("1.2", not_analysed()), ("1.3", failed())):
        house.ready(uid)
        house.finish_next(outcome)
        said.add(house.item(uid).why)
    assert said == {
        "nothing measured above the floor of CT-1; at its baseline place",
        "not analysed: gap of 10 mm; at its baseline place",
        "analysis failed: out of memory; at its baseline place",
    }


def test_states_before_an_outcome_are_said(house: House) -> None:
    house.arrive(UID)
    assert _why(house) == "waiting for images"
    house.settle()
    assert _why(house) == "waiting for analysis"
    house.store.queue.claim("w", START)
    assert _why(house) == "being analysed"


def test_stat_names_its_rule_first(house: House) -> None:
    house.ready(UID, priority=OrderPriority.STAT)
    house.finish_next(analysed(findings_of(0.6)))
    assert _why(house) == "STAT by rule 1: called AE is TRIAGED; 60 % of the right lung"


def test_pin_names_the_person_and_the_reason(house: House) -> None:
    house.ready(UID)
    house.store.reading.pin(UID, by="Dr. A", reason="ward round", now=START)
    assert _why(house) == "pinned by Dr. A: ward round; waiting for analysis"


def test_shadow_mode_says_what_ai_would_do(house: House) -> None:
    house.ready(UID)
    house.finish_next(analysed(findings_of(0.4)))
    house.config = house.config.model_copy(update={"mode": "shadow"})
    assert _why(house) == "40 % of the right lung; AI would have it promoted 9 h 24 min"


def test_promotion_that_a_revision_no_longer_supports_says_so(house: House) -> None:
    house.ready(UID)
    house.finish_next(analysed(findings_of(0.4)))
    house.arrive(UID, START.later(600))
    house.settle(START.later(610))
    house.finish_next(analysed(findings_of(0.1), digest="d2"), START.later(620))
    assert _why(house) == "10 % of the right lung; promoted 9 h 24 min by an earlier result"


def test_promotion_into_high_is_said(house: House) -> None:
    worklist = house.config.worklist.model_copy(update={"promote_past_high": True})
    house.config = house.config.model_copy(update={"worklist": worklist})
    house.ready(UID)
    house.finish_next(analysed(findings_of(0.4)))
    assert _why(house) == "40 % of the right lung; promoted 9 h 24 min to HIGH"


def test_uncalibrated_score_is_a_score_and_no_percentage(house: House) -> None:
    rules = house.config.worklist
    findings = findings_of(p=0.83)
    assert finding_words(findings, rules) == "COVID-19 83 %"
    assert finding_words(replace(findings, flags=(Flag.UNCALIBRATED,)), rules) == "COVID-19 score 0.83"


def test_model_that_says_nothing_is_not_a_model_that_finds_nothing(house: House) -> None:
    assert finding_words(findings_of(), house.config.worklist) == "analysed, but the model gave no value"


def test_a_score_below_its_threshold_is_called_that(house: House) -> None:
    assert finding_words(findings_of(p=0.01), house.config.worklist) == "score below its threshold"


@pytest.mark.parametrize("findings", [findings_of(0.0), findings_of(0.004, grade=Grade.CT0), findings_of(0.0, p=0.01)])
def test_no_sentence_claims_that_there_is_nothing(house: House, findings: Findings) -> None:
    """An embolus or a nodule is not looked for: "no finding" beside it would be wrong."""
    words = finding_words(findings, house.config.worklist)
    assert "measured" in words
    assert not re.search(r"no finding|normal|healthy|clear|negative", words)


def test_lung_that_may_be_missing_is_said_with_and_without_a_number(house: House) -> None:
    rules, flags = house.config.worklist, (Flag.LUNG_MAY_BE_MISSING,)
    quiet = replace(findings_of(0.002, grade=Grade.CT0), flags=flags)
    assert finding_words(quiet, rules) == "lung may be missing from the measurement"
    loud = replace(findings_of(0.38), flags=flags)
    assert finding_words(loud, rules) == "38 % of the right lung, lung may be missing from the measurement"


def test_equal_sides_and_unknown_sides_are_not_called_left_or_right(house: House) -> None:
    rules = house.config.worklist
    assert finding_words(findings_of(left=0.2, right=0.2), rules) == "20 % of each lung"
    only_worst = replace(findings_of(0.2), affected_fraction_left=None, affected_fraction_right=None)
    assert finding_words(only_worst, rules) == "20 % of the worse lung"
