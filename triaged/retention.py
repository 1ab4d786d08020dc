"""Which studies' images may go, and their removal: after their time, or earlier when the disk runs full.

Only what was read (or is a prior, or was withdrawn) ever goes, and never before its results were delivered. Rows,
reports, pictures and thumbnails stay: the list remembers, the PACS has the images.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from triaged import artefacts
from triaged.clock import Now
from triaged.config import Config
from triaged.intake.spool import Spool
from triaged.records import Role
from triaged.store import Store

log = logging.getLogger(__name__)

# A study into which something arrived this recently may be receiving: its rows are behind its files.
UNTOUCHED_S = 3600.0
STUCK = "retention_stuck"  # setting: it has been said that the disk is full and nothing may go
# As large as the images, and of no use without them. The SR stays: a later revision names it as its predecessor.
LARGE = (artefacts.MASKS, f"{Role.SEG}.dcm", f"{Role.PICTURE}.dcm")


@dataclass(frozen=True, kw_only=True)
class Disk:
    """The file system that holds the storage folder. `available_bytes` is what we may still write."""

    used_bytes: int
    available_bytes: int

    @property
    def used_percent(self) -> float:
        return 100.0 * self.used_bytes / max(1, self.used_bytes + self.available_bytes)

    def above(self, percent: float) -> int:
        """Bytes by which the use exceeds that share; 0 or less where it does not."""
        return self.used_bytes - int(percent / 100.0 * (self.used_bytes + self.available_bytes))


@dataclass(frozen=True, kw_only=True)
class Removal:
    study_uid: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a sweep did. `stuck`: the disk is above its mark and nothing more may go."""

    removed: tuple[str, ...]
    used_percent: float
    stuck: bool


def choose(
    expired: Sequence[str], others: Sequence[str], size_of: Callable[[str], int], disk: Disk, high_water_percent: float
) -> list[Removal]:
    """What to remove: all that is expired, then of the others, in their order, what brings the disk below its mark."""
    chosen = [Removal(study_uid=uid, why="older than retention_days") for uid in expired]
    excess = disk.above(high_water_percent)
    if excess > 0:
        excess -= sum(size_of(uid) for uid in expired)
    for uid in others:
        if excess <= 0:
            break
        excess -= size_of(uid)
        chosen.append(Removal(study_uid=uid, why=f"the disk is above {high_water_percent:g} %"))
    return chosen


def sweep_retention(store: Store, spool: Spool, config: Config, now: Now) -> Swept:
    """Remove the images whose time is over, or, on a full disk, those that were read first."""
    rules = config.storage
    expired = store.studies.removable(now.utc - timedelta(days=rules.retention_days))
    known = set(expired)
    others = [uid for uid in store.studies.removable(now.utc) if uid not in known]
    chosen = choose(expired, others, lambda uid: _size_bytes(spool, uid), disk_of(rules.path), rules.high_water_percent)
    removed = [r.study_uid for r in chosen if _remove(store, spool, config, r, now)]
    disk = disk_of(rules.path)
    stuck = disk.above(rules.high_water_percent) > 0
    _say(store, stuck, disk.used_percent, now)
    return Swept(removed=tuple(removed), used_percent=disk.used_percent, stuck=stuck)


def disk_of(folder: Path) -> Disk:
    usage = shutil.disk_usage(folder)
    return Disk(used_bytes=usage.used, available_bytes=usage.free)


def _remove(store: Store, spool: Spool, config: Config, removal: Removal, now: Now) -> bool:
    """Files first, then the row: what a crash leaves half done is found again. False where the study is left alone."""
    uid = removal.study_uid
    recently = now.utc.timestamp() - UNTOUCHED_S
    if spool.touched_at(uid) > recently:
        return False
    try:
        if not spool.remove_study(uid, touched_since=recently):
            return False
        for name in LARGE:
            for file in (config.artefacts / uid).glob(f"*/{name}"):
                file.unlink()
    except OSError as error:
        log.error("images could not be removed", extra={"study": uid, "error": error.strerror})
        return False
    store.studies.images_removed(uid, why=removal.why, now=now)
    log.info("images removed", extra={"study": uid, "why": removal.why})
    return True


def _size_bytes(spool: Spool, study_uid: str) -> int:
    total = 0
    for top in (spool.root, spool.versions):
        for folder, _, files in os.walk(top / study_uid):
            total += sum(os.stat(os.path.join(folder, name)).st_size for name in files)
    return total


def _say(store: Store, stuck: bool, used_percent: float, now: Now) -> None:
    """A full disk that nothing may relieve is said once, and so is its end."""
    if stuck == bool(store.setting(STUCK, False)):
        return
    with store.atomic():
        store.set_setting(STUCK, stuck)
        kind = "disk_full_nothing_removable" if stuck else "disk_below_high_water"
        store.events.add(kind, now, detail={"used_percent": round(used_percent, 1)})
    if stuck:
        log.warning(
            "the disk is above its mark and nothing may be removed: studies are unread or undelivered, "
            "or something else fills it",
            extra={"used_percent": round(used_percent, 1)},
        )
