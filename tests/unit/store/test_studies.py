"""Arrivals, generations, settling, removal: what the store knows of the images, and when it lets them go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.worklist.house import START, House, analysed, failed, findings_of, planned
from triaged.clock import Now
from triaged.errors import UnknownStudy
from triaged.records import OrderPriority, Pending, Role, StudyState, Touch


def _pending(house: House) -> Pending:
    (pending,) = house.store.studies.pending()
    return pending


def test_received_time_and_order_are_set_once(house: House) -> None:
    house.arrive("1.1", START)
    house.arrive("1.2", START.later(10))
    set_back = Now(utc=START.utc - timedelta(hours=5), mono_s=START.mono_s + 20)
    house.arrive("1.1", set_back, OrderPriority.STAT)
    study = house.study("1.1")
    assert (study.received_at, study.arrival_seq) == (START.utc, 1)
    assert study.order_priority is OrderPriority.ROUTINE  # a rule decides when the study is new
    assert study.instance_count == 62


def test_each_arrival_of_images_is_a_generation(house: House) -> None:
    house.arrive("1.1", START)
    house.arrive("1.1", START.later(3))
    assert _pending(house) == Pending(
        study_uid="1.1",
        state=StudyState.RECEIVING,
        generation=2,
        first_mono_s=START.mono_s,
        last_arrival_mono_s=START.mono_s + 3,
        touches=(Touch(last_arrival_mono_s=START.mono_s + 3, closed_mono_s=START.mono_s),),
    )


def test_objects_that_cannot_change_the_selection_open_no_generation(house: House) -> None:
    house.ready("1.1")
    house.store.studies.arrived(
        replace(house.arrival("1.1", OrderPriority.ROUTINE, START), new_images=0), START.later(5)
    )
    assert house.store.studies.pending() == []


def test_study_of_a_lone_report_is_examined_too(house: House) -> None:
    """Nothing in it can be analysed, and that is what it must end in: not in waiting for ever."""
    house.store.studies.arrived(replace(house.arrival("1.1", OrderPriority.ROUTINE, START), new_images=0), START)
    house.settle()
    assert house.store.queue.depth() == 1


def test_open_associations_are_known_until_they_close(house: House) -> None:
    arrival = house.arrival("1.1", OrderPriority.ROUTINE, START)
    house.store.studies.arrived(arrival, START)
    assert _pending(house).touches[0].closed_mono_s is None
    house.store.studies.association_closed(arrival.association, START.later(4))
    house.store.studies.close_all_associations(START.later(9))  # closes only what is open
    assert _pending(house).touches[0].closed_mono_s == START.mono_s + 4


def test_settling_is_refused_when_something_came_meanwhile(house: House) -> None:
    house.arrive("1.1", START)
    seen = _pending(house)
    house.arrive("1.1", START.later(1))
    assert not house.store.studies.settle(seen, partial=False, now=START.later(2))
    assert house.study("1.1").state is StudyState.RECEIVING
    assert house.store.studies.settle(_pending(house), partial=True, now=START.later(3))
    study = house.study("1.1")
    assert (study.state, study.partial, study.settled_generation) == (StudyState.READY, True, 2)
    assert house.store.studies.pending() == []


def test_late_images_wait_from_their_own_arrival(house: House) -> None:
    house.ready("1.1", START)
    house.arrive("1.1", START.later(500))
    house.arrive("1.1", START.later(600))
    pending = _pending(house)
    assert (pending.first_mono_s, pending.last_arrival_mono_s) == (START.mono_s + 500, START.mono_s + 600)


def test_restart_begins_every_wait_again(house: House) -> None:
    """After a reboot the monotonic clock is small again; the times of before would lie in its future."""
    house.arrive("1.1", START)
    rebooted = Now(utc=START.later(300).utc, mono_s=7.0)
    house.store.studies.restart_clocks(rebooted)
    pending = _pending(house)
    assert (pending.first_mono_s, pending.last_arrival_mono_s, pending.touches) == (7.0, 7.0, ())


def test_count_is_made_what_the_spool_holds(house: House) -> None:
    house.ready("1.1")
    (row,) = house.store.studies.series("1.1")
    assert not house.store.studies.set_series_count(row, START)
    assert house.store.studies.set_series_count(replace(row, instance_count=40), START)
    assert house.store.studies.set_series_count(replace(row, series_uid="1.1.2", instance_count=9), START)
    assert house.study("1.1").instance_count == 49
    assert _pending(house).generation == 3


def test_states_are_counted_and_unknown_studies_named(house: House) -> None:
    house.ready("1.1")
    house.arrive("1.2")
    assert house.store.studies.counts_by_state() == {StudyState.READY: 1, StudyState.RECEIVING: 1}
    assert house.store.studies.find("9.9") is None
    with pytest.raises(UnknownStudy, match=r"9\.9"):
        house.store.studies.get("9.9")


# -- what may be removed ----------------------------------------------------------------------------------------

LATER = START.later(86400)


def _removable(house: House) -> list[str]:
    return house.store.studies.removable(LATER.utc)


def test_only_what_was_read_may_be_removed(house: House) -> None:
    house.ready("1.1")
    house.finish_next(failed())
    assert _removable(house) == []
    house.store.reading.mark_read("1.1", reader="dr.a", now=START)
    assert _removable(house) == ["1.1"]
    assert house.store.studies.removable(START.utc) == []
    house.store.studies.images_removed("1.1", why="age", now=LATER)
    assert _removable(house) == []


def test_nothing_undelivered_is_ever_removable(house: House) -> None:
    house.ready("1.1")
    house.finish_next(analysed(findings_of(0.3)), deliveries=planned("1.1", START, Role.SEG, Role.SR))
    house.store.reading.mark_read("1.1", reader="dr.a", now=START)
    seg, sr = house.store.deliveries.of("1.1")
    assert _removable(house) == []
    house.store.deliveries.sent(seg, now=START)
    assert _removable(house) == []
    house.store.deliveries.sending(sr.delivery_id)
    assert _removable(house) == []
    house.store.deliveries.park(sr, error="0xA900", now=START)
    assert _removable(house) == []
    house.store.deliveries.confirmed(sr, how="came back", now=START)
    assert _removable(house) == ["1.1"]


def test_nothing_that_is_being_looked_at_is_removable(house: House) -> None:
    house.ready("1.1")
    house.finish_next(failed())
    house.store.reading.mark_read("1.1", reader="dr.a", now=START)
    house.arrive("1.1", START.later(5), images=1)
    assert _removable(house) == []
    house.settle()
    assert house.store.queue.claim("w", START) is not None
    assert _removable(house) == []


def test_withdrawn_study_is_removable_even_if_it_was_never_analysed(house: House) -> None:
    house.ready("1.1")
    house.store.studies.withdraw("1.1", reason="wrong patient", by="dr.a", now=START)
    assert _removable(house) == ["1.1"]


def test_prior_is_removable_by_age_once_it_has_been_examined(house: House) -> None:
    house.arrive("1.1", is_reference=True)
    house.settle()
    assert _removable(house) == []
    house.finish_next(failed())
    assert _removable(house) == ["1.1"]


def test_image_that_comes_during_a_removal_can_be_removed_later(house: House) -> None:
    house.ready("1.1")
    house.finish_next(analysed(findings_of(0.3)))
    house.arrive("1.1", images=1)  # into the empty place, before the row says that it is empty
    house.store.studies.images_removed("1.1", why="older than retention_days", now=START)
    house.settle()
    house.finish_next(analysed(findings_of(0.3), digest="d2"))
    house.store.reading.mark_read("1.1", reader="dr.a", now=START)
    assert _removable(house) == ["1.1"]


def test_images_that_come_after_a_removal_can_be_removed_again(house: House) -> None:
    house.ready("1.1")
    house.finish_next(failed())
    house.store.reading.mark_read("1.1", reader="dr.a", now=START)
    house.store.studies.images_removed("1.1", why="age", now=START)
    house.arrive("1.1", START.later(5), images=1)
    house.settle()
    house.finish_next(failed())
    assert _removable(house) == ["1.1"]
