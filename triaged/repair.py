"""Daily copies of the database, and what to do when it is lost or damaged.

The files are the truth for images; the rest comes from the last copy. What happened after that copy is not known, so
nothing is delivered that might have been delivered then, until a person says so.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from triaged.artefacts import sync
from triaged.clock import Now
from triaged.config import Config
from triaged.errors import StorageError
from triaged.intake.reconcile import reconcile
from triaged.intake.spool import Spool
from triaged.records import DeliveryState
from triaged.store import Store
from triaged.store.deliveries import UNPROVED
from triaged.store.soundness import is_sound

log = logging.getLogger(__name__)

COPIES_KEPT = 7  # a week: long enough that somebody was at work since the damage
LOCK = "daemon.lock"  # the daemon holds it while it runs


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """What a repair did. `was_sound`: the database was whole, and only the images were counted again."""

    was_sound: bool
    restored_from: Path | None
    studies: int
    instances: int
    parked: int


def backup_daily(store: Store, config: Config, now: Now) -> Path | None:
    """Copy the database once a day while it is in use, keeping a week's copies; None where today's is there.

    A copy that is damaged replaces none of the older ones.
    """
    folder = _folder(config)
    final = folder / f"triaged-{now.utc:%Y%m%d}.sqlite3"
    if final.exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    temporary = final.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    store.backup(temporary)
    if not is_sound(temporary):
        log.error("the database is damaged: the daemon should be stopped and repaired")
        temporary.unlink()
        return None
    sync(temporary)
    temporary.rename(final)
    sync(folder)
    for old in copies(config)[COPIES_KEPT:]:
        old.unlink()
    return final


def copies(config: Config) -> list[Path]:
    """The copies there are, newest first."""
    return sorted(_folder(config).glob("triaged-*.sqlite3"), reverse=True)


def is_lost(config: Config) -> bool:
    """Whether there is no database where there must have been one: its images or its copies are still here.

    An empty one in its place would forget who has read what, and which results the PACS already has.
    """
    images = (folder for folder in config.spool.glob("*") if not folder.name.startswith("."))
    return not config.database.exists() and (bool(copies(config)) or any(images))


def repair(config: Config, now: Now) -> Repaired:
    """Make the database usable again, and count the images in the spool. The daemon must not run.

    A sound database stays. Otherwise the last sound copy takes its place, or an empty database where there is none; the
    damaged file is kept beside it. Raises StorageError where the daemon runs.
    """
    with _alone(config):
        spool = Spool(config.spool, min_free_mb=config.storage.min_free_mb)
        if is_sound(config.database):
            with Store(config.database) as store:
                found = reconcile(store, spool, config, now)
            return Repaired(
                was_sound=True, restored_from=None, studies=found.studies, instances=found.instances, parked=0
            )
        return _restore(config, spool, now)


def _restore(config: Config, spool: Spool, now: Now) -> Repaired:
    """Build the new database beside the old one, complete, and only then put it in its place."""
    source = next((copy for copy in copies(config) if is_sound(copy)), None)
    fresh = config.database.with_suffix(".restoring")
    for leftover in _files_of(fresh):
        leftover.unlink(missing_ok=True)
    if source is not None:
        shutil.copyfile(source, fresh)
    with Store(fresh) as store:
        if source is None and (uid := _installation_uid(config)):
            store.set_setting("installation_uid", uid)
        # Before the images are counted: what is made of them from now on is in doubt too.
        store.deliveries.doubt(spool.studies())
        parked = _park_unproved(store, now)
        found = reconcile(store, spool, config, now)
        detail: dict[str, object] = {"copy": None if source is None else source.name, "parked": parked}
        store.events.add("repaired", now, detail=detail)
    sync(fresh)
    _keep_damaged(config.database, now)
    os.replace(fresh, config.database)
    sync(config.storage.path)
    log.warning("the database was restored", extra={"copy": detail["copy"], "parked": parked})
    return Repaired(
        was_sound=False, restored_from=source, studies=found.studies, instances=found.instances, parked=parked
    )


def _park_unproved(store: Store, now: Now) -> int:
    with store.atomic():
        unproved = [
            d for state in (DeliveryState.WAITING, DeliveryState.SENDING) for d in store.deliveries.in_state(state)
        ]
        for delivery in unproved:
            store.deliveries.park(delivery, error=UNPROVED, now=now)
    return len(unproved)


def _installation_uid(config: Config) -> str | None:
    """Ours, from a report of ours: with it, the same results get the same UIDs again instead of doubles."""
    for path in config.artefacts.glob("*/*/sr.dcm"):
        return str(dcmread(path, specific_tags=["DeviceSerialNumber"]).DeviceSerialNumber)
    return None


def _keep_damaged(database: Path, now: Now) -> None:
    """Move the old files aside. A write-ahead log left behind would be taken for the new database's."""
    for file in _files_of(database):
        if file.exists():
            file.rename(file.with_name(f"{file.name}.damaged-{now.utc:%Y%m%d%H%M%S}"))


def _files_of(database: Path) -> list[Path]:
    return [database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm")]


def _folder(config: Config) -> Path:
    return config.storage.path / "backups"


@contextmanager
def _alone(config: Config) -> Iterator[None]:
    config.storage.path.mkdir(parents=True, exist_ok=True)
    with (config.storage.path / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(f"the daemon is using {config.storage.path}: stop it first") from error
        yield
