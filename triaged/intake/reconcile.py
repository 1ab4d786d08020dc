"""Files without rows -> rows. Every listener does this before it opens the door; nobody receives meanwhile.

Files are the truth for images (DESIGN section 6): a crash between the rename and the row, or before the counts were
flushed, shows here. One header is read per series that is new to the store; everything else is directory listings.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

from triaged.clock import Now
from triaged.config import Config
from triaged.errors import TriagedError
from triaged.intake.arrivals import is_prior, series_row
from triaged.intake.headers import read_headers, value_of
from triaged.intake.selection import may_be_chosen
from triaged.intake.spool import Spool
from triaged.records import Arrival, InstanceHeader, SeriesRow, Study, StudyHeader
from triaged.store import Store
from triaged.worklist import policy

log = logging.getLogger(__name__)

ASSOCIATION = "reconciliation"


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """What had to be put right."""

    studies: int  # studies whose rows were missing or wrong
    instances: int  # instances on disk that the rows did not know


def reconcile(store: Store, spool: Spool, config: Config, now: Now) -> Reconciled:
    """Make the store's inventory of images what the spool holds. Raises OSError where the spool cannot be read."""
    leftovers = spool.remove_leftovers()
    store.studies.close_all_associations(now)
    studies = instances = 0
    for study_uid in spool.studies():
        try:
            with store.atomic():  # two that reconcile at once put the same thing right once
                found = _reconcile_study(store, spool, config, study_uid, now)
        except (TriagedError, ValueError) as error:
            # A folder that no instance of ours can have made: say so, touch nothing, go on.
            log.error("a study folder cannot be understood", extra={"error": type(error).__name__})
            continue
        studies += found != 0
        instances += max(found, 0)
    if studies or leftovers:
        log.warning(
            "spool and database reconciled", extra={"studies": studies, "instances": instances, "leftovers": leftovers}
        )
    return Reconciled(studies=studies, instances=instances)


def _reconcile_study(store: Store, spool: Spool, config: Config, study_uid: str, now: Now) -> int:
    """How many instances more the study has than its rows said; -1 where it has fewer."""
    study = store.studies.find(study_uid)
    known = {row.series_uid: row for row in store.studies.series(study_uid)}
    more = fewer = 0
    for series_uid in spool.series(study_uid):
        paths = spool.paths(study_uid, series_uid)
        row = known.get(series_uid)
        before = row.instance_count if row else 0
        if not paths or before == len(paths):
            continue
        header, image = _any_header(paths)
        _put_right(store, config, study, header, image, len(paths), paths[0], now)
        study = store.studies.get(study_uid)
        more += max(len(paths) - before, 0)
        fewer += len(paths) < before
    return more or -min(fewer, 1)


def _put_right(
    store: Store,
    config: Config,
    study: Study | None,
    header: StudyHeader,
    image: InstanceHeader,
    count: int,
    path: Path,
    now: Now,
) -> None:
    row: SeriesRow = dataclasses.replace(series_row(image), instance_count=count)
    if study is not None and (may_be_chosen(image.sop_class_uid) or study.generation == 0):
        store.studies.set_series_count(row, now)
        return
    known = 0 if study is None else _known_count(store, row)
    missing = dataclasses.replace(row, instance_count=count - known)
    arrival = _arrival(config, header, path, now, missing, new_images=count if study is None else 0)
    store.studies.arrived(arrival, now)
    store.studies.association_closed(ASSOCIATION, now)


def _known_count(store: Store, row: SeriesRow) -> int:
    known = {s.series_uid: s.instance_count for s in store.studies.series(row.study_uid)}
    return known.get(row.series_uid, 0)


def _arrival(config: Config, header: StudyHeader, path: Path, now: Now, row: SeriesRow, *, new_images: int) -> Arrival:
    priority, source = policy.order_priority(
        config.worklist.priority, called_ae="", calling_ae="", value_of=lambda keyword: value_of(path, keyword)
    )
    return Arrival(
        header=header,
        association=ASSOCIATION,
        calling_ae="",  # the crash took the association's names with it
        called_ae="",
        order_priority=priority,
        priority_source=source,
        place=policy.place(now.utc, priority, 0.0, config.worklist),
        is_reference=is_prior(header, config, now),
        series=(row,),
        new_images=new_images,
    )


def _any_header(paths: list[Path]) -> tuple[StudyHeader, InstanceHeader]:
    """The header of the first file that can be read. Raises TriagedError where none can."""
    for path in paths[:-1]:
        try:
            return read_headers(path)
        except TriagedError:
            continue
    return read_headers(paths[-1])
