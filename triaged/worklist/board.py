"""The reading list: who stands where in the order in force, and why; and the commit that moves a study forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from triaged.clock import Now
from triaged.config import Config
from triaged.records import Claim, OrderPriority, Outcome, PlannedDelivery, Reading, Study, StudyState, Tier
from triaged.store import Store
from triaged.store.reading import Order, Tab
from triaged.wording import duration
from triaged.worklist import policy
from triaged.worklist.why import Held, sentence


class Group(StrEnum):
    """Where the order changes kind: the board draws a thin line between these."""

    PINNED = "pinned"
    STAT = "STAT"
    HIGH = "HIGH"
    OVERDUE = "overdue"
    WITHIN_THE_HOUR = "within the hour"
    TODAY = "today"
    LATER = "later"


@dataclass(frozen=True, kw_only=True)
class BoardItem:
    """One study on the list. Positions count from 1; `tier` and `due` are those of the order in force."""

    study: Study
    position: int
    baseline_position: int  # in the order without AI; pins are a person's and stand in both
    would_be_position: int  # in the order with AI: the position itself in live mode, hypothetical otherwise
    tier: Tier
    due: datetime
    group: Group
    reading: Reading  # a claim whose time is over shows as unread
    reader: str
    why: str
    waiting_s: float
    due_in_s: float  # negative: overdue
    passable_until: datetime | None  # only studies received before may still pass by AI; None: see `passing`
    passing: str  # the same in words

    @property
    def rank_change(self) -> int:
        """How many places AI moved the study up (▲, positive) or others moved it down (▼, negative)."""
        return self.baseline_position - self.position


@dataclass(frozen=True, kw_only=True)
class Board:
    """The list as it stands at `made_at`, in the order in force."""

    made_at: datetime
    order: Order
    held: Held  # why the order in force is the baseline's: "shadow", "switch", "off"; "" where it is not
    is_switched: bool  # a person has set the list back to the baseline
    items: tuple[BoardItem, ...]
    tab_counts: dict[Tab, int]
    changed: int  # studies with a new result since they were read
    latest_changed: Study | None
    queue_depth: int
    last_received_at: datetime | None
    last_result_at: datetime | None


def held_by(config: Config, *, is_switched: bool) -> Held:
    """What keeps AI from ordering the list; "" where nothing does."""
    if is_switched:
        return "switch"
    if config.mode == "shadow":
        return "shadow"
    return "" if config.promotes else "off"


def read_board(store: Store, config: Config, now: Now) -> Board:
    """Everything that is to be read, in the order in force, each with where it stands and why."""
    is_switched = store.baseline_switch
    held = held_by(config, is_switched=is_switched)
    order: Order = "baseline" if held else "ai"
    studies = store.reading.ordered(order)
    in_force = {study.study_uid: n for n, study in enumerate(studies, start=1)}
    other = {study.study_uid: n for n, study in enumerate(_sorted(studies, held), start=1)}
    items = tuple(
        _item(
            study,
            config,
            now,
            held,
            baseline_position=(in_force if held else other)[study.study_uid],
            would_be_position=(other if held else in_force)[study.study_uid],
        )
        for study in studies
    )
    last_received_at, last_result_at = store.studies.last_times()
    changed, latest_changed = store.reading.changed()
    return Board(
        made_at=now.utc,
        order=order,
        held=held,
        is_switched=is_switched,
        items=items,
        tab_counts=store.reading.tab_counts(),
        changed=changed,
        latest_changed=latest_changed,
        queue_depth=store.queue.depth(),
        last_received_at=last_received_at,
        last_result_at=last_result_at,
    )


def _sorted(studies: Sequence[Study], held: Held) -> list[Study]:
    """The same studies in the order that is not in force."""

    def key(study: Study) -> tuple[bool, float, Tier, datetime, int]:
        place = study.place
        pinned_at = study.pinned_at.timestamp() if study.pinned_at else 0.0
        tier, due = (place.tier, place.due) if held else (place.baseline_tier, place.baseline_due)
        return (study.pinned_at is None, pinned_at, tier, due, study.arrival_seq)

    return sorted(studies, key=key)


def _item(
    study: Study, config: Config, now: Now, held: Held, *, baseline_position: int, would_be_position: int
) -> BoardItem:
    place = study.place
    tier, due = (place.baseline_tier, place.baseline_due) if held else (place.tier, place.due)
    is_held = study.reading is Reading.READING
    is_over = is_held and study.reading_expires_at is not None and study.reading_expires_at <= now.utc
    passable_until, passing = _window(study, config, now, held)
    return BoardItem(
        study=study,
        position=baseline_position if held else would_be_position,
        baseline_position=baseline_position,
        would_be_position=would_be_position,
        tier=tier,
        due=due,
        group=_group(study, tier, due, now),
        reading=Reading.UNREAD if is_over else study.reading,
        reader="" if is_over else study.reader,
        why=sentence(study, config.worklist, held),
        waiting_s=max(0.0, (now.utc - study.received_at).total_seconds()),
        due_in_s=(due - now.utc).total_seconds(),
        passable_until=passable_until,
        passing=passing,
    )


def _group(study: Study, tier: Tier, due: datetime, now: Now) -> Group:
    if study.pinned_at is not None:
        return Group.PINNED
    if tier is not Tier.REST:
        return Group.STAT if tier is Tier.STAT else Group.HIGH
    if due <= now.utc:
        return Group.OVERDUE
    if due <= now.utc + timedelta(hours=1):
        return Group.WITHIN_THE_HOUR
    # The day of the people who read the list: this machine's time zone.
    return Group.TODAY if due.astimezone().date() == now.utc.astimezone().date() else Group.LATER


def _window(study: Study, config: Config, now: Now, held: Held) -> tuple[datetime | None, str]:
    """The overtaking window (invariant 3 of the order), as a time and in words."""
    if held:
        return None, "AI moves nothing in this order"
    if study.pinned_at is not None:
        return None, "pinned: AI passes no pinned study"
    if study.place.tier is Tier.STAT:
        return None, "AI passes no STAT study"
    until = policy.passable_until(study.place, config.worklist)
    if until is None:
        return None, "any study promoted to HIGH can pass it"
    if until <= now.utc:
        return until, "no study received from now on can pass it by AI"
    return until, f"studies received in the next {duration((until - now.utc).total_seconds())} can pass it by AI"


# -- as JSON ----------------------------------------------------------------------------------------------------


def _percent(fraction: float | None) -> float | None:
    """0 to 100, to a tenth."""
    return None if fraction is None else round(100 * fraction, 1)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")


def item_json(item: BoardItem) -> dict[str, object]:
    """One item of `GET /api/worklist` and `triaged worklist --json`. Null where there is no value.

    The keys up to `reason` are a fixed interface; those after it may grow.
    """
    study, findings = item.study, item.study.findings
    has_urgency = study.urgency > 0 or findings is not None
    return {
        "position": item.position,
        "study_uid": study.study_uid,
        "patient_id": study.header.patient_id or None,
        "accession_number": study.header.accession_number or None,
        "received_at": _time(study.received_at),
        "due_at": _time(item.due),
        "tier": item.tier.name,
        "state": study.state.value,
        "reading": item.reading.value,
        "covid_probability": None if findings is None else findings.covid_probability,
        "affected_percent": None if findings is None else _percent(findings.affected_fraction),
        "affected_percent_left": None if findings is None else _percent(findings.affected_fraction_left),
        "affected_percent_right": None if findings is None else _percent(findings.affected_fraction_right),
        "ct_grade": None if findings is None or findings.ct_grade is None else findings.ct_grade.value,
        "urgency": study.urgency if has_urgency else None,
        "reason": item.why,
        "baseline_position": item.baseline_position,
        "would_be_position": item.would_be_position,
        "rank_change": item.rank_change,
        "baseline_due_at": _time(study.place.baseline_due),
        "group": item.group.value,
        "order_priority": study.order_priority.value,
        "priority_source": study.priority_source or None,
        "reader": item.reader or None,
        "pinned_by": study.pinned_by if study.pinned_at else None,
        "flags": [] if findings is None else [flag.value for flag in findings.flags],
        "reason_code": study.reason_code,
        "revision": study.revision,
        "partial": study.partial,
        "waiting_s": round(item.waiting_s, 1),
        "due_in_s": round(item.due_in_s, 1),
        "passable_until": _time(item.passable_until),
        "passing": item.passing,
    }


# -- moving -----------------------------------------------------------------------------------------------------


def commit_outcome(
    store: Store, config: Config, claim: Claim, outcome: Outcome, planned: Sequence[PlannedDelivery], now: Now
) -> int:
    """Commit an outcome with the place it earns, in one transaction; returns the revision. Raises ClaimLost.

    The urgency is the largest over revisions, and the stored due time moves only forward. A prior is never promoted.
    Where there is an earlier result, an outcome without one leaves it as it is, and says so; unless the images turn
    out to be of several patients.
    """
    rules = config.worklist
    with store.atomic():
        study = store.studies.get(claim.study.study_uid)  # a person may have changed it since the claim
        if study.findings is not None and outcome.findings is None and not outcome.voids_earlier:
            return store.queue.keep(claim, outcome, now)
        urgency = study.urgency
        if outcome.state is StudyState.ANALYSED and not study.is_reference:
            found = policy.urgency(
                rules.policy,
                outcome.findings,
                identification_threshold=rules.identification_threshold,
                severity_threshold=rules.severity_threshold,
            )
            urgency = max(urgency, found)
        proposed = policy.place(
            study.received_at, study.order_priority, urgency, rules, baseline_due=study.place.baseline_due
        )
        place = policy.promoted(study.place, proposed)
        return store.queue.finish(claim, outcome, urgency=urgency, place=place, deliveries=planned, now=now)


def change_priority(
    store: Store, config: Config, study_uid: str, priority: OrderPriority, *, by: str, now: Now
) -> None:
    """A person's order priority: the study stands where that puts it, later too. Raises UnknownStudy."""
    with store.atomic():
        study = store.studies.get(study_uid)
        place = policy.place(study.received_at, priority, study.urgency, config.worklist)
        store.studies.set_priority(study_uid, priority, place, source=by, now=now)


def change_urgency(
    store: Store, config: Config, study_uid: str, urgency: float, *, by: str, reason: str, now: Now
) -> None:
    """A person's correction of the urgency, the only way it is ever lowered. Raises UnknownStudy, ValueError."""
    with store.atomic():
        study = store.studies.get(study_uid)
        place = policy.place(
            study.received_at, study.order_priority, urgency, config.worklist, baseline_due=study.place.baseline_due
        )
        store.studies.set_urgency(study_uid, urgency, place, by=by, reason=reason, now=now)


def realign(store: Store, config: Config, now: Now) -> int:
    """At start-up: let promotions into the HIGH tier, or take them out, as the site says today; returns how many.

    Due times stay as they are stored; the tier alone follows `promote_past_high`, since studies that were promoted
    under an older setting must not pass HIGH ones under this.
    """
    moved = 0
    with store.atomic():
        for study in store.reading.ordered("ai"):
            tier = policy.place(study.received_at, study.order_priority, study.urgency, config.worklist).tier
            if tier is not study.place.tier:
                store.studies.set_tier(study.study_uid, tier, why="promote_past_high was changed", now=now)
                moved += 1
    return moved
