"""The connection and the transaction: durable, whole, one migration, and what a killed writer leaves behind."""

from __future__ import annotations

import multiprocessing
import signal
import sqlite3
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.store.processes import die_while_writing, open_new
from tests.unit.worklist.house import START, House, config_of
from triaged.audit import first_break
from triaged.errors import StorageError
from triaged.store import Store

SPAWN = multiprocessing.get_context("spawn")


def _value(store: Store, sql: str) -> object:
    row = store.row(sql)
    assert row is not None
    return row[0]


def test_commits_are_durable_by_setting(house: House) -> None:
    with house.store.atomic():  # the connection that writes
        assert _value(house.store, "PRAGMA journal_mode") == "wal"
        assert _value(house.store, "PRAGMA synchronous") == 2  # FULL
        assert _value(house.store, "PRAGMA foreign_keys") == 1
        assert _value(house.store, "PRAGMA busy_timeout") == 30_000


def test_write_outside_a_transaction_is_refused(house: House) -> None:
    with pytest.raises(StorageError, match="outside"):
        house.store.execute("DELETE FROM studies")


def test_transaction_commits_whole_or_not_at_all(house: House) -> None:
    house.arrive("1.1")

    def fail_half_way() -> None:
        with house.store.atomic():
            house.arrive("1.2")
            with house.store.atomic():
                house.arrive("1.3")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert [s.study_uid for s in house.store.studies.all()] == ["1.1"]
    house.arrive("1.4")  # the next transaction is its own
    assert house.study("1.4").arrival_seq == 2


def test_failed_commit_leaves_no_transaction_for_the_next_to_join(house: House) -> None:
    """A deferred constraint fails at COMMIT itself, which leaves SQLite's transaction open."""

    def fail_at_the_commit() -> None:
        with house.store.atomic():
            house.store.execute("PRAGMA defer_foreign_keys = ON")
            house.store.execute(
                "INSERT INTO touches (association, study_uid, last_arrival_mono) VALUES ('a', 'nobody', 1.0)"
            )

    with pytest.raises(sqlite3.IntegrityError):
        fail_at_the_commit()
    house.arrive("1.1")
    with Store(house.config.database) as other:
        assert [s.study_uid for s in other.studies.all()] == ["1.1"]
        assert _value(other, "SELECT count(*) FROM touches WHERE study_uid = 'nobody'") == 0


def test_full_disk_is_a_storage_error_and_loses_nothing(house: House) -> None:
    house.arrive("1.1")
    pages = _value(house.store, "PRAGMA page_count")
    with house.store.atomic():
        house.store.row(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        with house.store.atomic():
            for n in range(500):
                house.arrive(f"1.2.{n}")

    with pytest.raises(StorageError, match="full"):
        fill()
    with house.store.atomic():
        house.store.row("PRAGMA max_page_count = 1000000")
    assert [s.study_uid for s in house.store.studies.all()] == ["1.1"]
    house.arrive("1.3")
    assert len(house.store.studies.all()) == 2


def test_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "triaged.sqlite3"
    path.write_bytes(b"not a database, but long enough to be looked at as one" * 30)
    with pytest.raises(StorageError, match=r"triaged\.sqlite3"):
        Store(path)
    with pytest.raises(StorageError):
        Store(tmp_path / "triaged.sqlite3" / "below")


def test_several_processes_open_a_new_database_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=SPAWN) as pool:
        uids = list(pool.map(open_new, [tmp_path] * 8, [f"w{n}" for n in range(8)]))
    assert len(set(uids)) == 1
    assert uids[0].startswith("2.25.")
    assert len(uids[0]) <= 64
    with Store(config_of(tmp_path).database) as store:
        events = store.events.all()
        assert len(events) == 8
        assert first_break(events) is None


def test_threads_of_one_process_take_turns(house: House) -> None:
    def arrive(thread: int) -> None:
        for n in range(20):
            house.arrive(f"1.{thread}.{n}")

    threads = [threading.Thread(target=arrive, args=(t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    studies = house.store.studies.all()
    assert [s.arrival_seq for s in studies] == list(range(1, 81))
    assert first_break(house.store.events.all()) is None


def test_killed_writer_leaves_a_consistent_file(tmp_path: Path) -> None:
    child = SPAWN.Process(target=die_while_writing, args=(tmp_path,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    with Store(config_of(tmp_path).database) as store:
        assert [s.study_uid for s in store.studies.all()] == ["1.1"]
        assert [e.kind for e in store.events.all()] == ["received", "series"]
        assert first_break(store.events.all()) is None
        assert _value(store, "PRAGMA integrity_check") == "ok"
        house = House(store, config_of(tmp_path))
        house.arrive("1.3")  # and the lock is free
        assert house.study("1.3").arrival_seq == 2


def test_who_only_looks_waits_for_no_writer(house: House) -> None:
    house.arrive("1.1")
    tries, done = threading.Event(), threading.Event()

    def write() -> None:
        tries.set()
        house.arrive("1.2")
        done.set()

    with closing(sqlite3.connect(house.config.database, isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        writer = threading.Thread(target=write)
        writer.start()
        assert tries.wait(5)
        time.sleep(0.2)  # by now it waits for the other's lock
        began = time.monotonic()
        assert [s.study_uid for s in house.store.studies.all()] == ["1.1"]
        house.store.change_mark()
        assert not house.store.writable()
        assert time.monotonic() - began < 5
        assert not done.is_set()
        another.execute("ROLLBACK")
    writer.join(30)
    assert [s.study_uid for s in house.store.studies.all()] == ["1.1", "1.2"]


def test_whether_it_takes_writes_is_asked_again_after_a_while(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    assert house.store.writable()
    with closing(sqlite3.connect(house.config.database, isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        assert house.store.writable()  # what was found a moment ago
        monkeypatch.setattr("triaged.store.store.PROBE_KEPT_S", 0.0)
        assert not house.store.writable()
        another.execute("ROLLBACK")
    assert house.store.writable()


def test_a_broken_table_is_a_storage_error(house: House) -> None:
    with closing(sqlite3.connect(house.config.database)) as another:
        another.execute("ALTER TABLE studies RENAME TO elsewhere")
    with pytest.raises(StorageError, match="cannot be used"):
        house.store.studies.all()


def test_change_mark_moves_with_any_commit_and_only_then(house: House) -> None:
    first = house.store.change_mark()
    assert house.store.change_mark() == first
    house.arrive("1.1")
    second = house.store.change_mark()
    assert second != first
    with Store(house.config.database) as other:
        other.switch_baseline(True, by="dr.a", now=START)
    assert house.store.change_mark() != second


def test_switch_is_seen_by_others_and_after_a_restart(house: House) -> None:
    assert not house.store.baseline_switch
    house.store.switch_baseline(True, by="dr.a", now=START)
    with Store(house.config.database) as other:
        assert other.baseline_switch
        assert other.installation_uid == house.store.installation_uid
    assert [e.kind for e in house.store.events.all()] == ["baseline_on"]


def test_backup_is_a_whole_database(house: House, tmp_path: Path) -> None:
    house.ready("1.1")
    house.store.backup(tmp_path / "copy.sqlite3")
    with Store(tmp_path / "copy.sqlite3") as copy:
        assert copy.studies.get("1.1") == house.study("1.1")
        assert copy.installation_uid == house.store.installation_uid
