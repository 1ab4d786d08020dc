"""A lost or damaged database: nothing of the images is missing, and nothing is delivered twice without asking."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.odd_pacs import OddPacs, odd_pacs
from tests.integration.outbox_house import House, settings
from triaged.errors import StorageError
from triaged.records import DeliveryState, Role
from triaged.repair import COPIES_KEPT, backup_daily, copies, repair
from triaged.store.soundness import is_sound

SENT, WAITING, PARKED = DeliveryState.SENT, DeliveryState.WAITING, DeliveryState.PARKED
DAY_S = 86400.0


@pytest.fixture
def pacs() -> Iterator[OddPacs]:
    with odd_pacs() as running:
        yield running


def damage(house: House) -> None:
    """Overwrite the middle of the file, as a failing disk does."""
    house.store.close()
    path = house.config.database
    content = bytearray(path.read_bytes())
    content[4096 : len(content) - 4096] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)


def test_a_copy_is_made_once_a_day_and_a_week_of_them_is_kept(tmp_path: Path) -> None:
    house = House.at(settings(tmp_path, 104))
    house.receive("copied")
    made = []
    for _ in range(10):
        made.append(backup_daily(house.store, house.config, house.now))
        assert backup_daily(house.store, house.config, house.now.later(60.0)) is None
        house.later(DAY_S)
    assert copies(house.config) == made[: -COPIES_KEPT - 1 : -1]
    newest = copies(house.config)[0]
    assert {p.name for p in newest.parent.iterdir()} == {p.name for p in copies(house.config)}
    with closing(sqlite3.connect(newest)) as copy:
        assert copy.execute("SELECT count(*) FROM studies").fetchone()[0] == 1
    house.store.close()


def test_after_a_restore_nothing_is_sent_that_may_have_been_sent(tmp_path: Path, pacs: OddPacs) -> None:
    house = House.at(settings(tmp_path, pacs.port))
    delivered, waiting = house.analysed("delivered"), house.analysed("waiting", publish_quiet_s=600.0)
    house.deliver_all()
    backup_daily(house.store, house.config, house.now)
    after = house.analysed("after the copy")
    house.later(600.0)
    house.deliver_all()
    assert len(pacs.received) == 9
    installation = house.store.installation_uid
    damage(house)
    assert not is_sound(house.config.database)

    done = repair(house.config, house.later(60.0))
    assert (done.was_sound, done.parked, done.studies) == (False, 3, 1)
    assert done.restored_from == copies(house.config)[0]

    house = House.at(house.config)
    house.later(3600.0)
    assert house.store.installation_uid == installation
    assert set(house.states(delivered).values()) == {SENT}
    assert set(house.states(waiting).values()) == {PARKED}
    house.analyse(after)  # found in the spool, and analysed as if new
    house.deliver_all()
    assert set(house.states(after).values()) == {PARKED}
    assert "cannot be proved" in str(house.deliveries(after)[Role.SEG].last_error)
    assert len(pacs.received) == 9

    house.store.deliveries.unpark(after, by="dr.a", now=house.now)
    house.deliver_all()
    assert len(pacs.received) == 12
    sent_before = {uid for uid, _, _ in pacs.received[:9]}
    assert {uid for uid, _, _ in pacs.received[9:]} <= sent_before  # the PACS gets no doubles
    house.store.close()


def test_without_a_copy_the_images_are_found_and_results_keep_their_uids(tmp_path: Path, pacs: OddPacs) -> None:
    house = House.at(settings(tmp_path, pacs.port))
    study = house.analysed("lost")
    house.deliver_all()
    installation = house.store.installation_uid
    house.store.close()
    house.config.database.unlink()

    done = repair(house.config, house.later(60.0))
    assert (done.was_sound, done.restored_from, done.studies, done.instances) == (False, None, 1, 10)

    house = House.at(house.config)
    assert house.store.installation_uid == installation
    house.analyse(study)
    house.deliver_all()
    assert set(house.states(study).values()) == {PARKED}
    assert {d.sop_uid for d in house.deliveries(study).values()} == {uid for uid, _, _ in pacs.received}
    house.store.close()


def test_the_damaged_file_is_kept(tmp_path: Path) -> None:
    house = House.at(settings(tmp_path, 104))
    house.receive("damaged")
    damage(house)
    broken = house.config.database.read_bytes()
    repair(house.config, house.now)
    (kept,) = tmp_path.glob("triaged.sqlite3.damaged-*")
    assert kept.read_bytes() == broken
    assert {p.name for p in tmp_path.glob("triaged.*")} == {"triaged.sqlite3", kept.name}


def test_a_sound_database_stays_as_it_is(tmp_path: Path) -> None:
    house = House.at(settings(tmp_path, 104))
    study = house.analysed("sound")
    house.store.close()
    done = repair(house.config, house.now)
    assert (done.was_sound, done.parked) == (True, 0)
    house = House.at(house.config)
    assert set(house.states(study).values()) == {WAITING}
    house.store.close()


def test_a_damaged_copy_is_passed_over(tmp_path: Path) -> None:
    house = House.at(settings(tmp_path, 104))
    house.receive("passed over")
    older = backup_daily(house.store, house.config, house.now)
    newer = backup_daily(house.store, house.config, house.now.later(DAY_S))
    assert newer is not None
    newer.write_bytes(b"SQLite format 3\0" + b"\xa5" * 20000)
    damage(house)
    assert repair(house.config, house.now).restored_from == older


def test_it_refuses_while_the_daemon_runs(tmp_path: Path) -> None:
    config = settings(tmp_path, 104)
    with (tmp_path / "daemon.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="stop it first"):
            repair(config, House.at(config).now)


def test_files_that_are_no_database_are_not_sound(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty", tmp_path / "text"
    empty.touch()
    text.write_text("no database")
    assert [is_sound(p) for p in (empty, text, tmp_path / "absent")] == [False, False, False]
    assert not (tmp_path / "absent").exists()
