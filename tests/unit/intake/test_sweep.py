"""The scheduler's round, over a real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.intake.making import STUDY, at
from triaged.clock import Now
from triaged.config import Assembly, Worklist
from triaged.intake.assembly import ExpectedCount
from triaged.intake.sweep import LOOK_AGAIN_S, sweep
from triaged.records import Arrival, OrderPriority, SeriesRow, StudyHeader, StudyState
from triaged.store import Store
from triaged.worklist.policy import place

RULES = Assembly(quiet_s=5.0, idle_s=5.0, hard_timeout_s=100.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "triaged.sqlite3") as opened:
        yield opened


def arrive(store: Store, mono_s: float, *, study: str = STUDY, association: str = "a") -> None:
    moment = at(mono_s)
    row = SeriesRow(
        series_uid=f"{study}.2",
        study_uid=study,
        modality="CT",
        description="",
        kernel="",
        slice_thickness_mm=None,
        instance_count=1,
    )
    arrival = Arrival(
        header=StudyHeader(study_uid=study),
        association=association,
        calling_ae="CT1",
        called_ae="TRIAGED",
        order_priority=OrderPriority.UNKNOWN,
        priority_source="",
        place=place(moment.utc, OrderPriority.UNKNOWN, 0.0, Worklist()),
        is_reference=False,
        series=(row,),
        new_images=1,
    )
    store.studies.arrived(arrival, moment)


def test_a_quiet_study_is_settled_and_the_next_one_is_foretold(store: Store) -> None:
    arrive(store, 10.0, association="a")
    store.studies.association_closed("a", at(11.0))
    arrive(store, 13.0, study="1.2.9", association="b")
    assert sweep(store, RULES, at(14.0)) == pytest.approx(2.0)
    assert sweep(store, RULES, at(16.0)) == pytest.approx(7.0)  # the open association falls silent at 18, quiet at 23
    assert store.studies.get(STUDY).state is StudyState.READY
    assert store.studies.get("1.2.9").state is StudyState.RECEIVING
    assert sweep(store, RULES, at(23.0)) == LOOK_AGAIN_S
    assert store.studies.get("1.2.9").state is StudyState.READY
    assert not store.studies.get("1.2.9").partial


def test_a_late_slice_reopens_the_wait_and_not_the_state(store: Store) -> None:
    arrive(store, 10.0)
    store.studies.association_closed("a", at(10.0))
    sweep(store, RULES, at(15.0))
    arrive(store, 50.0, association="late")
    store.studies.association_closed("late", at(50.0))
    assert sweep(store, RULES, at(54.0)) == pytest.approx(1.0)
    settled = store.studies.get(STUDY)
    assert settled.settled_generation == settled.generation - 1
    sweep(store, RULES, at(55.0))
    assert store.studies.get(STUDY).settled_generation == 2
    assert [e.kind for e in store.events.of(STUDY)][-1] == "late_images_settled"


def test_what_arrives_while_we_decide_is_not_settled_away(store: Store) -> None:
    arrive(store, 10.0)
    store.studies.association_closed("a", at(10.0))

    def meanwhile(study_uid: str, now: Now) -> ExpectedCount | None:
        arrive(store, 19.0, association="b")
        return None

    assert sweep(store, RULES, at(20.0), meanwhile) == 0.0
    assert store.studies.get(STUDY).state is StudyState.RECEIVING


def test_at_the_hard_timeout_the_study_is_partial(store: Store) -> None:
    for mono_s in range(10, 112, 4):
        arrive(store, float(mono_s))
        sweep(store, RULES, at(float(mono_s)))
    study = store.studies.get(STUDY)
    assert (study.state, study.partial) == (StudyState.READY, True)
