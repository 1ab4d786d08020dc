"""What is analysed next, by whom, and what happens to a claim that is lost."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.unit.store.processes import claim_all
from tests.unit.worklist.house import START, House, analysed, failed, findings_of, planned
from triaged.clock import Now
from triaged.errors import ClaimLost, NotPossible, UnknownStudy
from triaged.records import Claim, Flag, OrderPriority, Reading, StudyState
from triaged.worklist.board import commit_outcome


def _claim(house: House, worker: str = "w", now: Now = START) -> Claim:
    claim = house.store.queue.claim(worker, now)
    assert claim is not None
    return claim


def _finish(house: House, claim: Claim, severity: float = 0.3) -> int:
    return commit_outcome(house.store, house.config, claim, analysed(findings_of(severity)), [], START)


def test_processes_never_claim_the_same_study(house: House) -> None:
    for n in range(40):
        house.arrive(f"1.{n}")
    house.settle()
    folder = house.config.storage.path
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        got = [uid for part in pool.map(claim_all, [folder] * 3, ["a", "b", "c"]) for uid in part]
    assert sorted(got) == sorted(f"1.{n}" for n in range(40))


def test_threads_never_claim_the_same_study(house: House) -> None:
    for n in range(30):
        house.arrive(f"1.{n}")
    house.settle()
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda n: _claim(house, f"w{n % 4}").study.study_uid, range(30)))
    assert sorted(got) == sorted(f"1.{n}" for n in range(30))
    assert house.store.queue.claim("w", START) is None


def test_claims_follow_the_reading_order_and_stat_does_not_wait(house: House) -> None:
    priorities = {
        "1.1": OrderPriority.LOW,
        "1.2": OrderPriority.ROUTINE,
        "1.3": OrderPriority.UNKNOWN,
        "1.4": OrderPriority.HIGH,
        "1.5": OrderPriority.STAT,
    }
    for n, (uid, priority) in enumerate(priorities.items()):
        house.arrive(uid, START.later(n), priority)
    house.arrive("1.0", START, OrderPriority.STAT, is_reference=True)
    house.settle(START.later(10))
    house.store.reading.pin("1.3", by="dr.a", reason="now", now=START)
    assert [_claim(house).study.study_uid for _ in range(6)] == ["1.3", "1.5", "1.4", "1.2", "1.1", "1.0"]


def test_nothing_is_claimed_before_it_is_settled(house: House) -> None:
    house.arrive("1.1")
    assert house.store.queue.depth() == 0
    assert house.store.queue.claim("w", START) is None
    house.settle()
    assert house.store.queue.depth() == 1


def test_attempt_is_counted_when_it_begins(house: House) -> None:
    house.ready("1.1")
    claim = _claim(house)
    assert (claim.study.attempts, claim.study.state, claim.is_recheck) == (1, StudyState.ANALYSING, False)
    house.store.queue.release(claim.token, why="stale", count_attempt=True, now=START)
    again = _claim(house)
    assert again.study.attempts == 2
    house.store.queue.release(again.token, why="drained", count_attempt=False, now=START)
    assert (house.study("1.1").attempts, house.study("1.1").state) == (1, StudyState.READY)


def test_only_silent_claims_are_stale(house: House) -> None:
    house.ready("1.1")
    house.ready("1.2")
    one, two = _claim(house, "w1"), _claim(house, "w2")
    assert house.store.queue.beat(two.token, START.later(60))
    assert house.store.queue.tokens(silent_since_mono_s=START.later(30).mono_s) == [one.token]
    assert sorted(house.store.queue.tokens()) == sorted([one.token, two.token])
    assert house.store.queue.tokens_of("w2") == [two.token]


def test_heartbeat_of_a_lost_claim_says_so(house: House) -> None:
    house.ready("1.1")
    claim = _claim(house)
    house.store.queue.release(claim.token, why="stale", count_attempt=True, now=START)
    assert not house.store.queue.beat(claim.token, START)
    house.store.queue.release(claim.token, why="twice", count_attempt=True, now=START)
    assert house.study("1.1").attempts == 1


def test_only_the_holder_may_finish(house: House) -> None:
    house.ready("1.1")
    old = _claim(house, "slow")
    house.store.queue.release(old.token, why="stale", count_attempt=True, now=START)
    new = _claim(house, "quick")
    with pytest.raises(ClaimLost):
        _finish(house, old)
    assert _finish(house, new) == 1
    with pytest.raises(ClaimLost):
        _finish(house, new)
    for method in (house.store.queue.unchanged, house.store.queue.reopen):
        with pytest.raises(ClaimLost):
            method(new, START)


def test_late_slice_reopens_the_study(house: House) -> None:
    house.ready("1.1")
    _finish(house, _claim(house))
    assert house.store.queue.claim("w", START) is None
    house.arrive("1.1", START.later(60), images=1)
    assert house.store.queue.claim("w", START) is None  # not before assembly has spoken
    house.settle(START.later(70))
    claim = _claim(house)
    assert claim.is_recheck
    assert house.study("1.1").state is StudyState.ANALYSED  # until the selection proves changed
    reopened = house.store.queue.reopen(claim, START)
    assert (reopened.is_recheck, reopened.study.state) == (False, StudyState.ANALYSING)
    assert _finish(house, reopened) == 2
    assert [revision for revision, _, _ in house.store.studies.outcomes("1.1")] == [1, 2]


def test_unchanged_selection_opens_no_revision(house: House) -> None:
    house.ready("1.1")
    _finish(house, _claim(house))
    before = house.study("1.1")
    house.arrive("1.1", START.later(60), images=1)
    house.settle(START.later(70))
    house.store.queue.unchanged(_claim(house), START.later(80))
    after = house.study("1.1")
    assert (after.revision, after.state, after.attempts) == (1, StudyState.ANALYSED, 0)
    assert (after.findings, after.completed_at) == (before.findings, before.completed_at)
    assert house.store.queue.claim("w", START) is None


@pytest.mark.parametrize("partial", [True, False])
def test_what_is_missing_is_told_of_the_images_as_they_are(house: House, partial: bool) -> None:
    """The time was over while images were still coming, and then they all came, or the other way round."""
    house.arrive("1.1")
    (pending,) = house.store.studies.pending()
    house.store.studies.settle(pending, partial=not partial, now=START)
    flags = (Flag.THICK_SLICES,) if partial else (Flag.PARTIAL, Flag.THICK_SLICES)
    house.finish_next(analysed(replace(findings_of(0.3), flags=flags)))
    house.arrive("1.1", START.later(60), images=1)
    (pending,) = house.store.studies.pending()
    house.store.studies.settle(pending, partial=partial, now=START.later(70))
    house.store.queue.unchanged(_claim(house), START.later(80))
    study = house.study("1.1")
    assert study.findings is not None
    assert (study.partial, Flag.PARTIAL in study.findings.flags) == (partial, partial)
    assert Flag.THICK_SLICES in study.findings.flags


def test_images_that_come_during_the_analysis_are_looked_at_afterwards(house: House) -> None:
    house.ready("1.1")
    claim = _claim(house)
    house.arrive("1.1", START.later(5), images=3)
    assert house.store.studies.pending() == []  # not while a worker holds it
    _finish(house, claim)
    assert house.store.queue.depth() == 0
    house.settle(START.later(10))
    assert _claim(house).is_recheck


def test_crash_in_a_reopened_study_analyses_it_again_in_full(house: House) -> None:
    house.ready("1.1")
    _finish(house, _claim(house))
    house.arrive("1.1", START.later(60))
    house.settle(START.later(70))
    reopened = house.store.queue.reopen(_claim(house), START)
    house.store.queue.release(reopened.token, why="stale", count_attempt=True, now=START)
    claim = _claim(house)
    assert (claim.is_recheck, claim.study.revision) == (False, 1)


def test_new_result_flags_a_read_study_and_leaves_it_read(house: House) -> None:
    house.ready("1.1")
    house.store.reading.mark_read("1.1", reader="dr.a", now=START)
    _finish(house, _claim(house))
    study = house.study("1.1")
    assert (study.reading, study.changed_since_read) == (Reading.READ, True)


def test_requeue_takes_the_study_from_its_worker_and_begins_anew(house: House) -> None:
    house.ready("1.1")
    claim = _claim(house)
    house.store.queue.requeue("1.1", by="admin", now=START)
    with pytest.raises(ClaimLost):
        _finish(house, claim)
    again = _claim(house)
    assert (again.is_recheck, again.study.attempts) == (False, 1)
    with pytest.raises(UnknownStudy):
        house.store.queue.requeue("9.9", by="admin", now=START)


def test_requeued_failure_is_tried_again_with_its_late_images(house: House) -> None:
    house.ready("1.1")
    house.finish_next(failed())
    house.arrive("1.1", START.later(5), images=2)
    house.store.queue.requeue("1.1", by="admin", now=START.later(6))
    _finish(house, _claim(house))
    study = house.study("1.1")
    assert study.generation == study.settled_generation == study.examined_generation
    assert house.store.studies.pending() == []


def test_requeue_is_refused_where_it_would_end_in_less(house: House) -> None:
    house.ready("1.1")
    house.finish_next(analysed(findings_of(0.6)))
    house.store.studies.images_removed("1.1", why="older than retention_days", now=START)
    house.ready("1.3")
    house.store.studies.withdraw("1.3", reason="wrong patient", by="dr.a", now=START)
    house.arrive("1.2")
    before = [house.study(uid) for uid in ("1.1", "1.2", "1.3")]
    for uid, words in (("1.1", "removed"), ("1.2", "still arriving"), ("1.3", "withdrawn: wrong patient")):
        with pytest.raises(NotPossible, match=words):
            house.store.queue.requeue(uid, by="admin", now=START)
    assert [house.study(uid) for uid in ("1.1", "1.2", "1.3")] == before
    assert "requeued" not in house.store.events.counts_by_kind()
    house.arrive("1.1", START.later(60))  # they come again
    house.store.queue.requeue("1.1", by="admin", now=START.later(70))
    assert house.study("1.1").state is StudyState.READY


def test_withdrawn_study_is_neither_claimed_nor_finished(house: House) -> None:
    house.ready("1.1")
    house.ready("1.2")
    claim = _claim(house)
    for uid in ("1.1", "1.2"):
        house.store.studies.withdraw(uid, reason="wrong patient", by="dr.a", now=START)
    with pytest.raises(ClaimLost):
        _finish(house, claim)
    assert house.store.queue.claim("w", START) is None
    assert house.study("1.1").state is StudyState.WITHDRAWN


def test_outcome_and_deliveries_commit_together(house: House) -> None:
    house.ready("1.1")
    house.finish_next(analysed(findings_of(0.3)), deliveries=planned("1.1", START))
    assert [d.role for d in house.store.deliveries.of("1.1")] == ["seg", "sr", "picture"]
    house.ready("1.2")
    claim = _claim(house)
    twice = [*planned("1.2", START), *planned("1.2.7", START)]  # two objects of one role: refused by the schema
    with pytest.raises(Exception, match="UNIQUE"):
        commit_outcome(house.store, house.config, claim, analysed(findings_of(0.3)), twice, START)
    assert house.study("1.2").state is StudyState.ANALYSING
    assert house.store.studies.outcomes("1.2") == []
    assert _finish(house, claim) == 1
