"""Findings -> urgency -> place in the reading order. Pure: no clock, no store, every number an argument.

The order is a stored key (DESIGN section 4), so that nothing has to be recomputed as time passes:

    key          = (tier, due, arrival_seq)
    baseline_due = received_at + target[order priority]
    due          = baseline_due                                        where u = 0
                 = min(baseline_due, received_at + R - u (R - C))      where u in (0, 1]

R is the routine target and C the critical one. AI only ever moves a study forward: `place` never returns a due time
later than the baseline's, nor a tier behind it.

The policies are the scenarios of "CT-based COVID-19 Triage" (section 1; MODELS 36): an out-patient clinic with few
infected patients isolates by identification; an infectious-disease hospital routes by severity; an out-patient
clinic in an outbreak does both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from triaged.config import PriorityRule, Worklist
from triaged.records import Findings, Grade, OrderPriority, Place, Tier

TIERS: Mapping[OrderPriority, Tier] = {
    OrderPriority.STAT: Tier.STAT,
    OrderPriority.HIGH: Tier.HIGH,
    OrderPriority.ROUTINE: Tier.REST,
    OrderPriority.LOW: Tier.REST,
    OrderPriority.UNKNOWN: Tier.REST,  # shown as unknown, ranks as ROUTINE
}


# -- urgency ----------------------------------------------------------------------------------------------------


def _identified(findings: Findings, threshold: float) -> float:
    """p, the probability of COVID-19, where it reaches its threshold; else 0."""
    p = findings.covid_probability
    return min(p, 1.0) if p is not None and p >= threshold else 0.0


def _severe(findings: Findings, threshold: float) -> float:
    """s, the affected fraction of the worse lung, where it reaches its threshold; else 0. CT-4 counts as 1."""
    s = 1.0 if findings.ct_grade is Grade.CT4 else findings.affected_fraction
    return min(s, 1.0) if s is not None and s >= threshold else 0.0


def _joint(p: float, s: float) -> float:
    """The larger of 0.5 p (identified) and 0.5 + 0.5 s (severe, whatever the cause).

    Every severe study stands before every one that is only identified: a threatened life before an isolation.
    """
    return max(0.5 * p, 0.5 + 0.5 * s if s > 0 else 0.0)


POLICIES: Mapping[str, Callable[[float, float], float]] = {
    "identification": lambda p, s: p,
    "severity": lambda p, s: s,
    "joint": _joint,
    "off": lambda p, s: 0.0,
}


def urgency(
    policy: str, findings: Findings | None, *, identification_threshold: float, severity_threshold: float
) -> float:
    """How urgent the findings are, in [0, 1], under one of `POLICIES`; 0 is "not promoted".

    identification  u = p                               out-patient clinic, few infected
    severity        u = s                               infectious-disease hospital
    joint           u = max(0.5 p, 0.5 + 0.5 s)         out-patient clinic in an outbreak
    off             u = 0

    p counts from `identification_threshold`, s from `severity_threshold` (both fractions, the threshold included). A
    value that is missing gives no urgency, and neither does a value of 0, whatever its threshold.
    """
    if findings is None:
        return 0.0
    p = _identified(findings, identification_threshold)
    s = _severe(findings, severity_threshold)
    return POLICIES[policy](p, s)


# -- place ------------------------------------------------------------------------------------------------------


def target(priority: OrderPriority, rules: Worklist) -> timedelta:
    """How long a study of this order priority may wait; UNKNOWN as ROUTINE.

    The site states no target for STAT, since nothing but the order of arrival ranks STAT studies: they get the
    critical one, the shortest there is, so that the board can show one that is overdue.
    """
    minutes = {
        OrderPriority.STAT: rules.critical_minutes,
        OrderPriority.HIGH: rules.high_minutes,
        OrderPriority.LOW: rules.low_minutes,
    }.get(priority, rules.routine_minutes)
    return timedelta(minutes=minutes)


def place(
    received_at: datetime,
    priority: OrderPriority,
    urgency: float,
    rules: Worklist,
    *,
    baseline_due: datetime | None = None,
) -> Place:
    """Where a study stands, with AI and without. Raises ValueError for an urgency outside [0, 1].

    `baseline_due` is what the study was given when it arrived. Where the site has changed its targets since, a routine
    study is still promoted from there, so that the finding alone moves it and not the change.
    """
    if not 0.0 <= urgency <= 1.0:
        raise ValueError(f"urgency {urgency} is outside [0, 1]")
    baseline_tier = TIERS[priority]
    routine, critical = timedelta(minutes=rules.routine_minutes), timedelta(minutes=rules.critical_minutes)
    if baseline_due is None:
        baseline_due = received_at + target(priority, rules)
    elif priority in {OrderPriority.ROUTINE, OrderPriority.UNKNOWN}:
        routine = baseline_due - received_at
    tier, due = baseline_tier, baseline_due
    if urgency > 0:
        due = min(baseline_due, received_at + routine - urgency * (routine - critical))
        if rules.promote_past_high:
            tier = min(baseline_tier, Tier.HIGH)
    return Place(tier=tier, due=due, baseline_tier=baseline_tier, baseline_due=baseline_due)


def promoted(stored: Place, proposed: Place) -> Place:
    """`proposed`, but never due later than what is stored: AI makes no due time later, even under changed settings.

    The baseline stays as stored; it changes with the order priority alone, by a person or a rule. The tier is the
    proposed one: a site that no longer lets promotions into HIGH means the promoted ones, too.
    """
    return Place(
        tier=min(stored.baseline_tier, proposed.tier),
        due=min(stored.due, proposed.due),
        baseline_tier=stored.baseline_tier,
        baseline_due=stored.baseline_due,
    )


def passable_until(place: Place, rules: Worklist) -> datetime | None:
    """The overtaking window: studies received from then on cannot pass this one by AI within its tier.

    A promoted study is due C after its arrival at the earliest, so it stands behind whatever is due before that:
    Y passes X only if received(Y) < baseline_due(X) - C; and once X is promoted itself, only if received(Y) <
    due(X) - C. None where there is no such time: behind the HIGH tier, where a site lets promotions enter that tier.
    """
    if rules.promote_past_high and place.tier is Tier.REST:
        return None
    return place.due - timedelta(minutes=rules.critical_minutes)


# -- order priority ---------------------------------------------------------------------------------------------


def order_priority(
    rules: Sequence[PriorityRule], *, called_ae: str, calling_ae: str, value_of: Callable[[str], str]
) -> tuple[OrderPriority, str]:
    """Priority that the first matching rule gives, and which rule that was, in words; UNKNOWN and "" where none does.

    `value_of` returns the study's value of a DICOM keyword, "" where it is absent, several values joined by a
    backslash. All comparisons ignore case and surrounding spaces; everything that a rule names must hold.
    """
    for number, rule in enumerate(rules, start=1):
        words = _match(rule, called_ae=called_ae, calling_ae=calling_ae, value_of=value_of)
        if words is not None:
            return rule.priority, f"rule {number}: {words}"
    return OrderPriority.UNKNOWN, ""


def _match(rule: PriorityRule, *, called_ae: str, calling_ae: str, value_of: Callable[[str], str]) -> str | None:
    """Why the rule matches, in words; None where it does not."""
    words: list[str] = []
    for name, wanted, actual in (
        ("called AE", rule.called_ae, called_ae),
        ("calling AE", rule.calling_ae, calling_ae),
    ):
        if wanted is not None:
            if _folded(actual) != _folded(wanted):
                return None
            words.append(f"{name} is {wanted}")
    if rule.tag is not None:
        value = _folded(value_of(rule.tag))
        if rule.equals is not None:
            if _folded(rule.equals) not in {value, *map(_folded, value.split("\\"))}:
                return None
            words.append(f"{rule.tag} is {rule.equals}")
        if rule.contains is not None:
            if _folded(rule.contains) not in value:
                return None
            words.append(f"{rule.tag} contains {rule.contains}")
    return " and ".join(words) or None


def _folded(text: str) -> str:
    return text.strip().casefold()
