"""Result objects: planned with the outcome, sent once, superseded by the next revision, never lost."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.worklist.house import START, House, analysed, findings_of, not_analysed, planned
from triaged.records import Delivery, DeliveryState, Role, Study
from triaged.store import Store

UID = "1.1"


def _states(house: House) -> dict[str, DeliveryState]:
    return {d.sop_uid: d.state for d in house.store.deliveries.of(UID)}


def _revise(house: House, first_sop: str | None, minutes: int) -> Study:
    """One more analysis, planning an SR of this UID."""
    now = START.later(60.0 * minutes)
    if house.store.studies.find(UID) is None:
        house.ready(UID, now)
    else:
        house.arrive(UID, now, images=1)
        house.settle(now)
    if first_sop is None:
        house.finish_next(not_analysed(), now)
    else:
        house.finish_next(analysed(findings_of(0.3), digest=first_sop), now, planned(first_sop, now, Role.SR))
    return house.study(UID)


def _sr(house: House, sop: str) -> Delivery:
    found = house.store.deliveries.by_sop_uid(f"{sop}.1")
    assert found is not None
    return found


def test_due_objects_wait_for_their_time_and_for_late_images(house: House) -> None:
    _revise(house, "A", 0)
    assert [d.sop_uid for d in house.store.deliveries.due(START)] == ["A.1"]
    assert house.store.deliveries.due(START.later(-1)) == []
    house.arrive(UID, START, images=1)
    assert house.store.deliveries.due(START) == []
    house.settle()
    claim = house.store.queue.claim("w", START)
    assert claim is not None
    assert house.store.deliveries.due(START) == []
    house.store.queue.unchanged(claim, START)
    assert [d.sop_uid for d in house.store.deliveries.due(START)] == ["A.1"]


def test_most_urgent_study_is_delivered_first(house: House) -> None:
    for uid, severity in (("1.2", 0.1), ("1.3", 0.9)):
        house.ready(uid)
        house.finish_next(analysed(findings_of(severity)), deliveries=planned(uid, START, Role.SR))
    assert [d.study_uid for d in house.store.deliveries.due(START)] == ["1.3", "1.2"]
    assert len(house.store.deliveries.due(START, limit=1)) == 1


def test_new_revision_supersedes_what_was_not_sent_and_keeps_what_was(house: House) -> None:
    _revise(house, "A", 0)
    _revise(house, "B", 5)
    assert _states(house) == {"A.1": DeliveryState.SUPERSEDED, "B.1": DeliveryState.WAITING}
    house.store.deliveries.sent(_sr(house, "B"), now=START)
    _revise(house, "C", 10)
    assert _states(house)["B.1"] is DeliveryState.SENT


def test_same_object_of_a_new_revision_is_not_sent_twice(house: House) -> None:
    _revise(house, "A", 0)
    house.store.deliveries.sent(_sr(house, "A"), now=START)
    _revise(house, "A", 5)
    delivery = _sr(house, "A")
    assert (delivery.state, delivery.revision) == (DeliveryState.SENT, 2)
    assert len(house.store.deliveries.of(UID)) == 1


def test_object_that_returns_after_being_superseded_is_delivered(house: House) -> None:
    _revise(house, "A", 0)
    house.store.deliveries.encoded([(_sr(house, "A"), "results/a.dcm", "a" * 64)], seconds=1.5, now=START)
    _revise(house, "B", 5)
    _revise(house, "A", 10)
    assert _states(house) == {"A.1": DeliveryState.WAITING, "B.1": DeliveryState.SUPERSEDED}
    delivery = _sr(house, "A")
    assert (delivery.revision, delivery.attempts, delivery.path) == (3, 0, "results/a.dcm")
    assert delivery.not_before == START.later(600).utc


def test_outcome_that_leaves_the_earlier_result_leaves_its_objects(house: House) -> None:
    _revise(house, "A", 0)
    _revise(house, None, 5)
    assert _states(house) == {"A.1": DeliveryState.WAITING}
    assert [d.sop_uid for d in house.store.deliveries.due(START.later(600))] == ["A.1"]


def test_object_overtaken_on_its_way_is_not_tried_again(house: House) -> None:
    _revise(house, "A", 0)
    assert house.store.deliveries.sending(_sr(house, "A").delivery_id)
    _revise(house, "B", 5)
    house.store.deliveries.retry(_sr(house, "A"), error="timeout", not_before=START.utc, now=START)
    assert _states(house) == {"A.1": DeliveryState.SUPERSEDED, "B.1": DeliveryState.WAITING}


def test_object_overtaken_on_its_way_that_arrived_counts_as_sent(house: House) -> None:
    _revise(house, "A", 0)
    house.store.deliveries.sending(_sr(house, "A").delivery_id)
    _revise(house, "B", 5)
    house.store.deliveries.sent(_sr(house, "A"), now=START)
    assert _states(house) == {"A.1": DeliveryState.SENT, "B.1": DeliveryState.WAITING}


def test_object_superseded_since_it_was_due_is_not_sent(house: House) -> None:
    _revise(house, "A", 0)
    due = house.store.deliveries.due(START)[0]
    _revise(house, "B", 5)
    assert not house.store.deliveries.sending(due.delivery_id)
    assert _states(house)["A.1"] is DeliveryState.SUPERSEDED


def test_retry_waits_for_its_time_and_counts_attempts(house: House) -> None:
    _revise(house, "A", 0)
    later = START.utc + timedelta(minutes=2)
    for attempt in (1, 2):
        house.store.deliveries.sending(_sr(house, "A").delivery_id)
        house.store.deliveries.retry(_sr(house, "A"), error="refused", not_before=later, now=START)
        delivery = _sr(house, "A")
        assert (delivery.attempts, delivery.last_error, delivery.not_before) == (attempt, "refused", later)
    assert house.store.deliveries.due(START) == []
    assert len(house.store.deliveries.due(START.later(120))) == 1


def test_restart_sends_again_what_was_on_its_way(house: House) -> None:
    _revise(house, "A", 0)
    house.store.deliveries.sending(_sr(house, "A").delivery_id)
    with Store(house.config.database) as after_a_crash:
        after_a_crash.deliveries.restart()
    assert _states(house) == {"A.1": DeliveryState.WAITING}


def test_restart_does_not_send_again_for_a_withdrawn_study(house: House) -> None:
    _revise(house, "A", 0)
    house.store.deliveries.sending(_sr(house, "A").delivery_id)
    house.store.studies.withdraw(UID, reason="wrong patient", by="dr.a", now=START)
    house.store.deliveries.restart()
    assert _states(house) == {"A.1": DeliveryState.SUPERSEDED}


def test_parked_object_waits_for_a_person(house: House) -> None:
    _revise(house, "A", 0)
    house.store.deliveries.sending(_sr(house, "A").delivery_id)
    house.store.deliveries.park(_sr(house, "A"), error="0xA900", now=START)
    assert house.store.deliveries.due(START.later(1e6)) == []
    assert house.store.deliveries.unpark(UID, by="admin", now=START.later(60)) == 1
    assert house.store.deliveries.unpark(UID, by="admin", now=START.later(60)) == 0
    assert [d.attempts for d in house.store.deliveries.due(START.later(60))] == [0]


def test_parked_object_can_be_given_up_and_keeps_no_images(house: House) -> None:
    _revise(house, "A", 0)
    house.store.deliveries.park(_sr(house, "A"), error="no such class", now=START)
    house.store.reading.mark_read(UID, reader="dr.a", now=START)
    assert house.store.studies.removable(START.later(60).utc) == []
    assert house.store.deliveries.dismiss(UID, by="dr.a", reason="our PACS takes no SR", now=START) == 1
    assert house.store.deliveries.dismiss(UID, by="dr.a", reason="again", now=START) == 0
    assert _states(house) == {"A.1": DeliveryState.SUPERSEDED}
    assert house.store.studies.removable(START.later(60).utc) == [UID]
    event = house.store.events.of(UID)[-1]
    assert event.kind == "delivery_dismissed"
    assert event.detail == {"by": "dr.a", "why": "our PACS takes no SR", "role": "sr", "sop": "A.1"}


def test_what_the_settings_no_longer_send_waits_no_more(house: House) -> None:
    house.ready(UID)
    house.finish_next(analysed(findings_of(0.3)), deliveries=planned("A", START))
    seg, _, picture = house.store.deliveries.of(UID)
    house.store.deliveries.park(seg, error="no such class", now=START)
    house.store.deliveries.sending(picture.delivery_id)
    assert house.store.deliveries.drop_all_but(tuple(Role), why="settings", now=START) == 0
    assert house.store.deliveries.drop_all_but((Role.SR,), why="settings", now=START) == 2
    assert [d.state for d in house.store.deliveries.of(UID)] == [
        DeliveryState.SUPERSEDED,
        DeliveryState.WAITING,
        DeliveryState.SUPERSEDED,
    ]
    assert house.store.deliveries.drop_all_but((), why="shadow", now=START) == 1  # as in shadow mode
    assert [e.kind for e in house.store.events.of(UID)].count("delivery_dropped") == 3


def test_evidence_of_delivery_counts_once_and_stands(house: House) -> None:
    _revise(house, "A", 0)
    before = _sr(house, "A")
    for how in ("came back", "came back again"):
        house.store.deliveries.confirmed(before, how=how, now=START)
    for late in (house.store.deliveries.retry, house.store.deliveries.park):
        extra = {"not_before": START.utc} if late == house.store.deliveries.retry else {}
        late(before, error="timeout", now=START, **extra)
    house.store.deliveries.sent(before, now=START)
    assert _states(house) == {"A.1": DeliveryState.CONFIRMED}
    kinds = [e.kind for e in house.store.events.of(UID)]
    assert kinds.count("delivery_confirmed") == 1
    assert house.store.deliveries.counts_by_state() == {DeliveryState.CONFIRMED: 1}
