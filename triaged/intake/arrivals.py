"""What associations bring, written down: new studies and series at once, counts about every second.

No row per slice (DESIGN section 6): the files are the truth for images, and reconciliation corrects a count that a
crash has cut short.
"""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path

from triaged.clock import Now
from triaged.config import Config
from triaged.errors import StorageError
from triaged.intake import headers
from triaged.intake.selection import may_be_chosen
from triaged.intake.spool import Kept
from triaged.records import Arrival, InstanceHeader, SeriesRow, StudyHeader
from triaged.store import Store
from triaged.worklist import policy

log = logging.getLogger(__name__)

STORE_ERRORS = (sqlite3.Error, StorageError)


@dataclass(frozen=True, kw_only=True)
class Sender:
    """One association, as far as studies care."""

    key: str
    calling_ae: str
    called_ae: str


@dataclass(kw_only=True)
class _Tally:
    """What one association has brought for one study and is not yet written."""

    arrival: Arrival  # without series and counts
    series: dict[str, SeriesRow] = field(default_factory=dict)  # instance_count: not yet written
    written: set[str] = field(default_factory=set)  # series whose row is in the store
    images: int = 0

    @property
    def is_settled(self) -> bool:
        return not self.images and all(s.instance_count == 0 for s in self.series.values())


class Arrivals:
    """Counts instances per association, study and series, and flushes the counts to the store. Thread-safe."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config
        self._lock = threading.Lock()
        self._tallies: dict[tuple[str, str], _Tally] = {}
        self._closing: set[str] = set()

    def note(
        self, sender: Sender, study: StudyHeader, instance: InstanceHeader, kept: Kept, path: Path, now: Now
    ) -> None:
        """Count one kept instance. On return its study and series have rows. Raises STORE_ERRORS."""
        with self._lock:
            tally = self._tallies.get((sender.key, study.study_uid))
            if tally is None:
                tally = _Tally(arrival=self._begin(sender, study, path, now))
                self._tallies[sender.key, study.study_uid] = tally
            row = tally.series.get(instance.series_uid) or series_row(instance)
            is_new = kept is Kept.NEW or (instance.series_uid not in tally.series and not self._has_row(row))
            if is_new:
                # A duplicate without a row: its first copy was kept by a process that died before it wrote one.
                row = dataclasses.replace(row, instance_count=row.instance_count + 1)
                tally.images += may_be_chosen(instance.sop_class_uid)
            tally.series[instance.series_uid] = row
            if instance.series_uid not in tally.written and row.instance_count:
                self._write(tally, now)
            tally.written.add(instance.series_uid)

    def conflict(self, instance: InstanceHeader, first: Path, now: Now) -> None:
        """A second content under one SOP Instance UID as that of `first`, the file that was kept before."""
        _, kept = headers.read_headers(first)
        is_other = "" not in {kept.patient_key, instance.patient_key} and kept.patient_key != instance.patient_key
        is_other = is_other and may_be_chosen(instance.sop_class_uid)
        self._store.studies.came_again(instance, is_other_patient=is_other, now=now)

    def closed(self, sender_key: str, now: Now) -> None:
        """The association is over: write what it brought, then that it is over. Never raises for the store."""
        with self._lock:
            self._closing.add(sender_key)
        self.flush(now)

    def flush(self, now: Now) -> None:
        """Write every count that waits, and close what is over. What the store refuses waits for the next time."""
        with self._lock:
            try:
                for tally in self._tallies.values():
                    if not tally.is_settled:
                        self._write(tally, now)
                for key in list(self._closing):
                    self._store.studies.association_closed(key, now)
                    self._tallies = {k: t for k, t in self._tallies.items() if k[0] != key}
                    self._closing.discard(key)
            except STORE_ERRORS as error:
                log.warning("counts wait for the database", extra={"error": type(error).__name__})

    def _begin(self, sender: Sender, study: StudyHeader, path: Path, now: Now) -> Arrival:
        rules = self._config.worklist
        priority, source = policy.order_priority(
            rules.priority,
            called_ae=sender.called_ae,
            calling_ae=sender.calling_ae,
            value_of=lambda keyword: headers.value_of(path, keyword),
        )
        return Arrival(
            header=study,
            association=sender.key,
            calling_ae=sender.calling_ae,
            called_ae=sender.called_ae,
            order_priority=priority,
            priority_source=source,
            place=policy.place(now.utc, priority, 0.0, rules),
            is_reference=is_prior(study, self._config, now),
            series=(),
            new_images=0,
        )

    def _write(self, tally: _Tally, now: Now) -> None:
        uid = tally.arrival.header.study_uid
        images = tally.images
        if not images and self._store.studies.find(uid) is None:
            images = 1  # a study without any CT must end in a state too: assembly waits for arrivals that count
        rows = tuple(s for s in tally.series.values() if s.instance_count)
        self._store.studies.arrived(dataclasses.replace(tally.arrival, series=rows, new_images=images), now)
        tally.images = 0
        tally.series = {k: dataclasses.replace(s, instance_count=0) for k, s in tally.series.items()}

    def _has_row(self, row: SeriesRow) -> bool:
        return any(s.series_uid == row.series_uid for s in self._store.studies.series(row.study_uid))


def is_prior(study: StudyHeader, config: Config, now: Now) -> bool:
    """Whether the study is older than `max_age_days` (0: no limit): prefetched for comparison, not to be read."""
    limit = config.assembly.max_age_days
    acquired = study.acquired_on
    return limit > 0 and acquired is not None and (now.utc.date() - acquired).days > limit


def series_row(instance: InstanceHeader) -> SeriesRow:
    return SeriesRow(
        series_uid=instance.series_uid,
        study_uid=instance.study_uid,
        modality=instance.modality,
        description=instance.series_description,
        kernel=instance.kernel,
        slice_thickness_mm=instance.slice_thickness_mm,
        instance_count=0,
    )
