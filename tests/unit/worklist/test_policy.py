"""The three scenarios of the paper, the due-time formula, the rules: numbers worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worklist.house import config_of, findings_of
from triaged.config import PriorityRule
from triaged.records import Findings, Grade, OrderPriority, Place, Tier
from triaged.worklist import policy

RECEIVED = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
RULES = config_of(Path("unused")).worklist
PAST_HIGH = RULES.model_copy(update={"promote_past_high": True})
NAN = float("nan")


def _urgency(name: str, findings: Findings | None, p_from: float = 0.5, s_from: float = 0.05) -> float:
    return policy.urgency(name, findings, identification_threshold=p_from, severity_threshold=s_from)


@pytest.mark.parametrize(
    ("name", "p", "s", "expected"),
    [
        ("identification", 0.9, 0.0, 0.9),
        ("identification", 0.5, 0.8, 0.5),  # the threshold itself counts
        ("identification", 0.49, 0.8, 0.0),
        ("identification", None, 0.8, 0.0),
        ("severity", 0.99, 0.38, 0.38),
        ("severity", 0.99, 0.05, 0.05),
        ("severity", 0.99, 0.049, 0.0),
        ("severity", 0.99, None, 0.0),
        ("joint", 0.9, 0.0, 0.45),  # identified only
        ("joint", 0.0, 0.38, 0.69),  # severe, whatever the cause
        ("joint", 0.9, 0.38, 0.69),
        ("joint", 1.0, 0.05, 0.525),  # the mildest severe case stands before the surest identification
        ("joint", 1.0, 0.0, 0.5),
        ("joint", None, 0.38, 0.69),
        ("joint", 0.9, None, 0.45),
        ("joint", None, None, 0.0),
        ("off", 1.0, 1.0, 0.0),
        ("identification", NAN, 0.8, 0.0),
        ("severity", 0.9, NAN, 0.0),
        ("severity", 0.9, 1.0000001, 1.0),  # a rounding error of a 32-bit quotient
    ],
)
def test_urgency_follows_the_scenario(name: str, p: float | None, s: float | None, expected: float) -> None:
    assert _urgency(name, findings_of(s, p=p)) == pytest.approx(expected)


def test_no_findings_give_no_urgency() -> None:
    assert all(_urgency(name, None) == 0.0 for name in policy.POLICIES)


def test_nothing_affected_is_not_severe_even_from_threshold_zero() -> None:
    assert _urgency("joint", findings_of(0.0, p=0.0), p_from=0.0, s_from=0.0) == 0.0


def test_ct4_counts_as_wholly_affected() -> None:
    critical = findings_of(0.76, grade=Grade.CT4)
    assert _urgency("severity", critical, s_from=0.9) == 1.0
    assert _urgency("joint", critical) == 1.0
    assert _urgency("severity", findings_of(0.75, grade=Grade.CT3)) == 0.75


def test_baseline_due_is_arrival_and_target() -> None:
    hours = {"STAT": 0.5, "HIGH": 1, "ROUTINE": 24, "LOW": 72, "UNKNOWN": 24}
    for priority in OrderPriority:
        place = policy.place(RECEIVED, priority, 0.0, RULES)
        assert place.due == place.baseline_due == RECEIVED + timedelta(hours=hours[priority])
        assert place.tier == place.baseline_tier


def test_promotion_moves_a_routine_study_by_its_urgency() -> None:
    # R = 24 h, C = 0.5 h, u = 0.4: 24 - 0.4 * 23.5 = 14.6 h
    place = policy.place(RECEIVED, OrderPriority.ROUTINE, 0.4, RULES)
    assert place.due - RECEIVED == timedelta(hours=14.6)
    assert policy.place(RECEIVED, OrderPriority.ROUTINE, 1.0, RULES).due - RECEIVED == timedelta(minutes=30)


def test_low_study_is_promoted_as_a_routine_one() -> None:
    assert policy.place(RECEIVED, OrderPriority.LOW, 0.4, RULES).due - RECEIVED == timedelta(hours=14.6)


def test_high_study_is_never_made_later_by_a_small_urgency() -> None:
    assert policy.place(RECEIVED, OrderPriority.HIGH, 0.1, RULES).due - RECEIVED == timedelta(hours=1)
    assert policy.place(RECEIVED, OrderPriority.HIGH, 1.0, RULES).due - RECEIVED == timedelta(minutes=30)


@pytest.mark.parametrize(
    ("priority", "urgency", "allowed", "tier"),
    [
        (OrderPriority.ROUTINE, 0.9, False, Tier.REST),
        (OrderPriority.ROUTINE, 0.9, True, Tier.HIGH),
        (OrderPriority.ROUTINE, 0.0, True, Tier.REST),
        (OrderPriority.LOW, 0.1, True, Tier.HIGH),
        (OrderPriority.UNKNOWN, 0.1, True, Tier.HIGH),
        (OrderPriority.HIGH, 1.0, True, Tier.HIGH),
        (OrderPriority.STAT, 1.0, True, Tier.STAT),
    ],
)
def test_tier_is_raised_only_where_the_site_says_so(
    priority: OrderPriority, urgency: float, allowed: bool, tier: Tier
) -> None:
    assert policy.place(RECEIVED, priority, urgency, PAST_HIGH if allowed else RULES).tier is tier


@pytest.mark.parametrize("urgency", [-0.1, 1.1, NAN])
def test_urgency_out_of_range_is_refused(urgency: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        policy.place(RECEIVED, OrderPriority.ROUTINE, urgency, RULES)


def test_promoted_place_is_never_due_later_than_the_stored_one() -> None:
    stored = policy.place(RECEIVED, OrderPriority.ROUTINE, 0.8, RULES)
    slower = RULES.model_copy(update={"routine_minutes": 48 * 60.0})  # the settings changed over a restart
    for urgency in (0.0, 0.3, 0.8):
        place = policy.promoted(stored, policy.place(RECEIVED, OrderPriority.ROUTINE, urgency, slower))
        assert place.due == stored.due
        assert place.baseline_due == stored.baseline_due


def test_stored_promotion_into_high_ends_with_its_permission() -> None:
    stored = policy.place(RECEIVED, OrderPriority.ROUTINE, 0.8, PAST_HIGH)
    now_asked = policy.place(RECEIVED, OrderPriority.ROUTINE, 0.8, RULES)
    assert (stored.tier, policy.promoted(stored, now_asked).tier) == (Tier.HIGH, Tier.REST)


minutes = st.floats(1, 5000)


@st.composite
def targets(draw: st.DrawFn) -> dict[str, float]:
    ordered = sorted(draw(st.lists(minutes, min_size=4, max_size=4)))
    return dict(zip(("critical_minutes", "high_minutes", "routine_minutes", "low_minutes"), ordered, strict=True))


@given(targets(), st.sampled_from(OrderPriority), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_place_is_never_behind_the_baseline_and_rises_with_urgency(
    site: dict[str, float], priority: OrderPriority, lower: float, upper: float, past_high: bool
) -> None:
    rules = RULES.model_copy(update={**site, "promote_past_high": past_high})
    lower, upper = sorted((lower, upper))
    less, more = (policy.place(RECEIVED, priority, u, rules) for u in (lower, upper))
    assert (more.tier, more.due) <= (less.tier, less.due) <= (less.baseline_tier, less.baseline_due)
    assert more.due >= RECEIVED + timedelta(minutes=rules.critical_minutes)
    assert (more.tier is Tier.STAT) == (priority is OrderPriority.STAT)


def test_overtaking_window_ends_a_critical_target_before_the_due_time() -> None:
    routine = policy.place(RECEIVED, OrderPriority.ROUTINE, 0.0, RULES)
    assert policy.passable_until(routine, RULES) == RECEIVED + timedelta(hours=23.5)
    stat = policy.place(RECEIVED, OrderPriority.STAT, 0.0, RULES)
    assert policy.passable_until(stat, RULES) == RECEIVED


def test_overtaking_has_no_end_behind_a_tier_that_promotions_enter() -> None:
    assert policy.passable_until(policy.place(RECEIVED, OrderPriority.ROUTINE, 0.0, PAST_HIGH), PAST_HIGH) is None
    high = policy.place(RECEIVED, OrderPriority.HIGH, 0.0, PAST_HIGH)
    assert policy.passable_until(high, PAST_HIGH) == RECEIVED + timedelta(minutes=30)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(-3000, 3000), st.sampled_from(OrderPriority))
def test_nothing_received_after_the_window_stands_before(
    u_early: float, u_late: float, minutes_later: int, priority: OrderPriority
) -> None:
    early = policy.place(RECEIVED, priority, u_early, RULES)
    received_late = RECEIVED + timedelta(minutes=minutes_later)
    late = policy.place(received_late, priority, u_late, RULES)
    until = policy.passable_until(early, RULES)
    assert until is not None
    if received_late > until:
        assert _key(early) < _key(late)


def _key(place: Place) -> tuple[Tier, datetime]:
    return place.tier, place.due


# -- order priority ---------------------------------------------------------------------------------------------

STAT_BY_AE = PriorityRule(priority=OrderPriority.STAT, called_ae="STATCT")
HIGH_BY_TEXT = PriorityRule(priority=OrderPriority.HIGH, tag="StudyDescription", contains="notfall")
LOW_BY_BOTH = PriorityRule(priority=OrderPriority.LOW, calling_ae="SCREENING", tag="PatientSex", equals="F")


def _priority(
    rules: list[PriorityRule], called: str = "TRIAGED", calling: str = "PACS", **tags: str
) -> tuple[OrderPriority, str]:
    return policy.order_priority(
        rules, called_ae=called, calling_ae=calling, value_of=lambda keyword: tags.get(keyword, "")
    )


def test_no_rule_leaves_the_priority_unknown() -> None:
    assert _priority([]) == (OrderPriority.UNKNOWN, "")
    assert _priority([STAT_BY_AE, HIGH_BY_TEXT]) == (OrderPriority.UNKNOWN, "")


def test_first_rule_that_matches_decides_and_is_named() -> None:
    both = {"called": "statct ", "StudyDescription": "CT Thorax NOTFALL"}
    assert _priority([STAT_BY_AE, HIGH_BY_TEXT], **both) == (OrderPriority.STAT, "rule 1: called AE is STATCT")
    found = _priority([HIGH_BY_TEXT, STAT_BY_AE], **both)
    assert found == (OrderPriority.HIGH, "rule 1: StudyDescription contains notfall")
    assert _priority([STAT_BY_AE, HIGH_BY_TEXT], StudyDescription="Notfall")[1].startswith("rule 2: ")


def test_everything_a_rule_names_must_hold() -> None:
    for calling, sex in product(("SCREENING", "PACS"), ("F", "M", "")):
        found, source = _priority([LOW_BY_BOTH], calling=calling, PatientSex=sex)
        matches = calling == "SCREENING" and sex == "F"
        assert (found is OrderPriority.LOW) == matches
        assert (source == "rule 1: calling AE is SCREENING and PatientSex is F") == matches


def test_equals_compares_a_whole_value_and_each_of_several() -> None:
    rule = PriorityRule(priority=OrderPriority.STAT, tag="ImageType", equals="stat")
    assert _priority([rule], ImageType="ORIGINAL\\STAT")[0] is OrderPriority.STAT
    assert _priority([rule], ImageType="ORIGINAL\\STATIC")[0] is OrderPriority.UNKNOWN


def test_absent_tag_matches_nothing() -> None:
    assert _priority([HIGH_BY_TEXT])[0] is OrderPriority.UNKNOWN


@given(st.floats(0, 1), targets(), targets())
def test_changed_targets_move_no_study_without_a_finding_and_no_further_than_it_does(
    urgency: float, then: dict[str, float], today: dict[str, float]
) -> None:
    arrived = policy.place(RECEIVED, OrderPriority.ROUTINE, 0.0, RULES.model_copy(update=then))
    rules = RULES.model_copy(update=today)
    proposed = policy.place(RECEIVED, OrderPriority.ROUTINE, urgency, rules, baseline_due=arrived.baseline_due)
    place = policy.promoted(arrived, proposed)
    allowed = urgency * max(arrived.baseline_due - RECEIVED - timedelta(minutes=rules.critical_minutes), timedelta())
    assert arrived.baseline_due - place.due <= allowed + timedelta(milliseconds=1)
