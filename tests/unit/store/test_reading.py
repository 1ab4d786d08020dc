"""What readers do: claims that name their holder and run out, reading, pins."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.unit.worklist.house import START, House
from triaged.errors import AlreadyClaimed, AlreadyRead, UnknownStudy
from triaged.records import Reading
from triaged.store import Store, schema
from triaged.store.reading import TABS
from triaged.worklist.board import read_board

UID = "1.1"


@pytest.fixture(autouse=True)
def _one_study(house: House) -> None:
    house.ready(UID)


def _claim(house: House, reader: str, minutes: float = 20, at_minutes: float = 0) -> None:
    now = START.later(60 * at_minutes)
    house.store.reading.claim(UID, reader=reader, until=now.later(60 * minutes).utc, now=now)


def test_claim_that_lost_the_race_says_who_won(house: House) -> None:
    _claim(house, "dr.a")
    with pytest.raises(AlreadyClaimed, match=r"claimed by dr\.a until 2026-03-09T08:20") as refused:
        _claim(house, "dr.b")
    assert refused.value.holder == "dr.a"
    assert house.study(UID).reader == "dr.a"


def test_holder_may_prolong_and_others_wait_for_the_end(house: House) -> None:
    _claim(house, "dr.a", minutes=20)
    _claim(house, "dr.a", minutes=20, at_minutes=15)
    with pytest.raises(AlreadyClaimed):
        _claim(house, "dr.b", at_minutes=34)
    _claim(house, "dr.b", at_minutes=35)
    assert house.study(UID).reader == "dr.b"


def test_expired_claims_are_let_go_with_an_event(house: House) -> None:
    _claim(house, "dr.a")
    assert house.store.reading.expire(START.later(19 * 60)) == 0
    assert house.store.reading.expire(START.later(20 * 60)) == 1
    assert (house.study(UID).reading, house.study(UID).reader) == (Reading.UNREAD, "")
    assert house.store.events.of(UID)[-1].kind == "reading_expired"


@pytest.mark.parametrize("method", ["release", "mark_read"])
def test_held_study_is_the_holders_until_the_claim_runs_out(house: House, method: str) -> None:
    act: Callable[..., None] = getattr(house.store.reading, method)
    _claim(house, "dr.a")
    with pytest.raises(AlreadyClaimed):
        act(UID, reader="dr.b", now=START.later(60))
    act(UID, reader="dr.b", now=START.later(21 * 60))
    assert house.study(UID).reading is not Reading.READING


def test_release_puts_the_study_back(house: House) -> None:
    _claim(house, "dr.a")
    house.store.reading.release(UID, reader="dr.a", now=START)
    assert house.study(UID).reading is Reading.UNREAD
    house.store.reading.release(UID, reader="dr.b", now=START)  # nothing is held: nothing happens


def test_read_study_leaves_the_list_and_cannot_be_claimed(house: House) -> None:
    house.store.reading.mark_read(UID, reader="dr.a", now=START)
    assert house.store.reading.ordered("ai") == []
    with pytest.raises(AlreadyRead, match=r"already read by dr\.a"):
        _claim(house, "dr.b")
    assert house.study(UID).reading is Reading.READ


def test_reading_twice_keeps_the_first_reader(house: House) -> None:
    house.store.reading.mark_read(UID, reader="dr.a", now=START)
    house.store.reading.mark_read(UID, reader="dr.b", now=START.later(60))
    study = house.study(UID)
    assert (study.reader, study.read_at) == ("dr.a", START.utc)


def test_unread_study_returns_to_its_old_place(house: House) -> None:
    house.ready("1.2", START.later(60))
    house.store.reading.mark_read(UID, reader="dr.a", now=START)
    house.store.reading.mark_unread(UID, reader="dr.a", now=START.later(120))
    assert house.order() == [UID, "1.2"]
    assert house.study(UID).read_at is None


def test_read_study_is_no_longer_pinned(house: House) -> None:
    house.store.reading.pin(UID, by="dr.a", reason="ward round", now=START)
    house.store.reading.mark_read(UID, reader="dr.a", now=START)
    house.store.reading.mark_unread(UID, reader="dr.a", now=START)
    study = house.study(UID)
    assert (study.pinned_at, study.pinned_by, study.pin_reason) == (None, "", "")


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("claim", {"reader": "a", "until": START.utc}),
        ("release", {"reader": "a"}),
        ("mark_read", {"reader": "a"}),
        ("mark_unread", {"reader": "a"}),
        ("pin", {"by": "a", "reason": "r"}),
        ("unpin", {"by": "a"}),
    ],
)
def test_unknown_study_is_said_to_be_unknown(house: House, method: str, words: dict[str, object]) -> None:
    with pytest.raises(UnknownStudy, match=r"9\.9"):
        getattr(house.store.reading, method)("9.9", now=START, **words)


def test_a_search_finds_what_is_not_in_the_list_whatever_the_case(house: House) -> None:
    for n in range(2, 5):
        house.arrive(f"1.{n}")
    for n in (1, 2, 3):
        house.store.reading.mark_read(f"1.{n}", reader="dr.a", now=START.later(n))
    name = house.study("1.1").header.patient_name.split("^")[0]
    found = house.store.reading.elsewhere(f"{name.lower()},", limit=2)
    assert len(found) == 2
    assert {s.study_uid for s in house.store.reading.elsewhere(name, limit=9)} == {"1.1", "1.2", "1.3"}
    assert house.store.reading.elsewhere(f"{name} nobody", limit=9) == []
    assert house.store.reading.elsewhere("%", limit=9) == []
    assert house.store.reading.elsewhere(" , ", limit=9) == []


def test_a_search_finds_studies_from_before_there_was_one(house: House) -> None:
    house.store.reading.mark_read(UID, reader="dr.a", now=START)
    with closing(sqlite3.connect(house.config.database)) as another:
        named = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        for (index,) in another.execute(named).fetchall():
            if f"INDEX {index} " in schema._INDEXES and index != "studies_by_state":
                another.execute(f"DROP INDEX {index}")
        another.execute("ALTER TABLE studies DROP COLUMN search")
        another.execute("DELETE FROM _sqlite_migrations WHERE name = 'm003_search_and_indexes'")
        another.commit()
    with Store(house.config.database) as store:
        assert [s.study_uid for s in store.reading.elsewhere("1.1", limit=9)] == ["1.1"]


def test_what_the_board_asks_again_and_again_reads_no_table_whole(house: House) -> None:
    """Nothing leaves the history, so a question that reads all of it grows slower for years."""
    asked: list[str] = []
    store = house.store
    store._looker.set_trace_callback(asked.append)
    read_board(store, house.config, START)
    for tab in TABS:
        store.reading.tab(tab, limit=60)
    store.reading.elsewhere("smith", limit=20)
    store.studies.pending()
    store._looker.set_trace_callback(None)
    assert len(asked) > 10
    for question in asked:
        plan = [str(row[3]) for row in store.rows(f"EXPLAIN QUERY PLAN {question}")]
        assert not [step for step in plan if step.startswith("SCAN") and "INDEX" not in step and "CONSTANT" not in step]
