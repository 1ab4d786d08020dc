"""The log of events: chained, complete, and silent about who the patient is."""

from __future__ import annotations

import sqlite3

import pytest

from tests.unit.worklist.house import START, House, analysed, findings_of, planned
from triaged.audit import first_break
from triaged.records import OrderPriority
from triaged.worklist.board import change_priority, change_urgency


def _whole_life(house: House) -> None:
    """One study through everything that leaves an event."""
    store, uid = house.store, "1.1"
    house.ready(uid, priority=OrderPriority.HIGH)
    house.finish_next(analysed(findings_of(0.4)), deliveries=planned(uid, START))
    house.arrive(uid, START.later(5), images=2)
    house.settle(START.later(6))
    claim = store.queue.claim("w", START)
    assert claim is not None
    store.queue.unchanged(claim, START)
    store.reading.claim(uid, reader="dr.a", until=START.later(60).utc, now=START)
    store.reading.release(uid, reader="dr.a", now=START)
    store.reading.pin(uid, by="dr.a", reason="ward round", now=START)
    store.reading.unpin(uid, by="dr.a", now=START)
    change_priority(store, house.config, uid, OrderPriority.STAT, by="dr.a", now=START)
    change_urgency(store, house.config, uid, 0.2, by="dr.a", reason="seen", now=START)
    seg, sr, picture = store.deliveries.of(uid)
    store.deliveries.sent(seg, now=START)
    store.deliveries.confirmed(seg, how="came back", now=START)
    store.deliveries.retry(sr, error="timeout", not_before=START.utc, now=START)
    store.deliveries.park(picture, error="0xA900", now=START)
    store.reading.mark_read(uid, reader="dr.a", now=START)
    store.queue.requeue(uid, by="admin", now=START)
    house.finish_next(analysed(findings_of(0.4)), deliveries=[])
    store.studies.withdraw(uid, reason="wrong patient", by="dr.a", now=START)
    store.studies.images_removed(uid, why="age", now=START)


def test_chain_holds_over_a_whole_life(house: House) -> None:
    _whole_life(house)
    events = house.store.events.all()
    assert len(events) > 20
    assert first_break(events) is None
    half = events[10:]
    assert first_break(half, previous=events[9].digest) is None  # a page of it, too
    assert house.store.events.all(after_seq=events[9].seq) == half


def test_events_hold_no_patient_identity(house: House) -> None:
    _whole_life(house)
    text = " ".join(str(dict(row)) for row in house.store.rows("SELECT * FROM events"))
    assert "1.1" in text
    assert "SECRET" not in text


@pytest.mark.parametrize(
    "tampering",
    [
        'UPDATE events SET detail = \'{"by":"dr.b"}\' WHERE seq = 7',
        "UPDATE events SET kind = 'other' WHERE seq = 7",
        "UPDATE events SET at = '2026-03-09T07:00:00.000000+00:00' WHERE seq = 7",
        "UPDATE events SET study_uid = '1.2' WHERE seq = 7",
        "UPDATE events SET digest = substr(digest, 2) || '0' WHERE seq = 7",
        "DELETE FROM events WHERE seq = 6",
    ],
)
def test_changed_or_missing_row_is_found(house: House, tampering: str) -> None:
    _whole_life(house)
    house.store.close()
    with sqlite3.connect(house.config.database) as hand:
        hand.execute(tampering)
    hand.close()
    with type(house.store)(house.config.database) as store:
        assert first_break(store.events.all()) == 7


def test_event_of_an_undone_transaction_is_undone(house: House) -> None:
    def fail() -> None:
        with house.store.atomic():
            house.store.events.add("received", START, study_uid="1.1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert house.store.events.all() == []


def test_last_of_a_kind_is_found(house: House) -> None:
    assert house.store.events.last_of("baseline_on") is None
    for by in ("dr.a", "dr.b"):
        house.store.switch_baseline(True, by=by, now=START)
    last = house.store.events.last_of("baseline_on")
    assert last is not None
    assert last.detail == {"by": "dr.b"}
