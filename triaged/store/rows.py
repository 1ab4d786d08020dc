"""Rows <-> records. Records travel as JSON inside a row where nothing is ever searched by their parts."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

from triaged.records import (
    Choice,
    Delivery,
    DeliveryState,
    Event,
    Findings,
    OrderPriority,
    Outcome,
    Place,
    Reading,
    Role,
    SeriesRow,
    Study,
    StudyHeader,
    StudyState,
    Tier,
)

T = TypeVar("T")

STUDIES_KEPT = 4096  # records kept for the next look at the list: a long list, at about 5 kB each

HEADER = TypeAdapter(StudyHeader)
CHOICE = TypeAdapter(Choice)
FINDINGS = TypeAdapter(Findings)
DETAIL = TypeAdapter(dict[str, object])


def to_json(adapter: TypeAdapter[T], value: T | None) -> str | None:
    return None if value is None else adapter.dump_json(value).decode()


def from_json(adapter: TypeAdapter[T], text: str | None) -> T | None:
    return None if text is None else adapter.validate_json(text)


def to_text(moment: datetime) -> str:
    """ISO 8601 UTC with microseconds always written, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def to_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def to_time_or_none(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def study(row: sqlite3.Row) -> Study:
    """The record of one row. Rows that have not changed give the record they gave before.

    The board reads the whole list whenever one row of it changes, and the records are frozen: a thousand studies in
    a third of the time.
    """
    return _study(tuple(row.keys()), tuple(row))


@lru_cache(maxsize=STUDIES_KEPT)
def _study(names: tuple[str, ...], values: tuple[Any, ...]) -> Study:
    value = dict(zip(names, values, strict=True))
    return Study(
        header=HEADER.validate_json(value["header"]),
        arrival_seq=value["arrival_seq"],
        received_at=to_time(value["received_at"]),
        calling_ae=value["calling_ae"],
        called_ae=value["called_ae"],
        order_priority=OrderPriority(value["order_priority"]),
        priority_source=value["priority_source"],
        state=StudyState(value["state"]),
        reason_code=value["reason_code"],
        reason=value["reason"],
        revision=value["revision"],
        attempts=value["attempts"],
        generation=value["generation"],
        settled_generation=value["settled_generation"],
        examined_generation=value["examined_generation"],
        partial=bool(value["partial"]),
        is_reference=bool(value["is_reference"]),
        instance_count=value["instance_count"],
        other_versions=value["other_versions"],
        choice=from_json(CHOICE, value["choice"]),
        findings=from_json(FINDINGS, value["findings"]),
        urgency=value["urgency"],
        place=Place(
            tier=Tier(value["tier"]),
            due=to_time(value["due"]),
            baseline_tier=Tier(value["baseline_tier"]),
            baseline_due=to_time(value["baseline_due"]),
        ),
        reading=Reading(value["reading"]),
        reader=value["reader"],
        reading_expires_at=to_time_or_none(value["reading_expires_at"]),
        read_at=to_time_or_none(value["read_at"]),
        changed_since_read=bool(value["changed_since_read"]),
        pinned_at=to_time_or_none(value["pinned_at"]),
        pinned_by=value["pinned_by"],
        pin_reason=value["pin_reason"],
        completed_at=to_time_or_none(value["completed_at"]),
    )


def series(row: sqlite3.Row) -> SeriesRow:
    return SeriesRow(**{name: row[name] for name in SeriesRow.__dataclass_fields__})


def outcome(row: sqlite3.Row) -> Outcome:
    return Outcome(
        state=StudyState(row["state"]),
        reason_code=row["reason_code"],
        reason=row["reason"],
        choice=from_json(CHOICE, row["choice"]),
        findings=from_json(FINDINGS, row["findings"]),
    )


def delivery(row: sqlite3.Row) -> Delivery:
    return Delivery(
        delivery_id=row["delivery_id"],
        study_uid=row["study_uid"],
        revision=row["revision"],
        role=Role(row["role"]),
        sop_uid=row["sop_uid"],
        series_uid=row["series_uid"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        path=row["path"],
        sha256=row["sha256"],
        last_error=row["last_error"],
        created_at=to_time(row["created_at"]),
        not_before=to_time(row["not_before"]),
        sent_at=to_time_or_none(row["sent_at"]),
    )


def event(row: sqlite3.Row) -> Event:
    detail: dict[str, Any] = DETAIL.validate_json(row["detail"])
    return Event(
        seq=row["seq"],
        at=to_time(row["at"]),
        study_uid=row["study_uid"],
        kind=row["kind"],
        detail=detail,
        digest=row["digest"],
    )
