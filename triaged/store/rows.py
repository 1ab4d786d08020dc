"""Rows <-> records. Records travel as JSON inside a row where nothing is ever searched by their parts."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
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


def _to_time_or_none(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def study(row: sqlite3.Row) -> Study:
    return Study(
        header=HEADER.validate_json(row["header"]),
        arrival_seq=row["arrival_seq"],
        received_at=to_time(row["received_at"]),
        calling_ae=row["calling_ae"],
        called_ae=row["called_ae"],
        order_priority=OrderPriority(row["order_priority"]),
        priority_source=row["priority_source"],
        state=StudyState(row["state"]),
        reason_code=row["reason_code"],
        reason=row["reason"],
        revision=row["revision"],
        attempts=row["attempts"],
        generation=row["generation"],
        settled_generation=row["settled_generation"],
        examined_generation=row["examined_generation"],
        partial=bool(row["partial"]),
        is_reference=bool(row["is_reference"]),
        instance_count=row["instance_count"],
        choice=from_json(CHOICE, row["choice"]),
        findings=from_json(FINDINGS, row["findings"]),
        urgency=row["urgency"],
        place=Place(
            tier=Tier(row["tier"]),
            due=to_time(row["due"]),
            baseline_tier=Tier(row["baseline_tier"]),
            baseline_due=to_time(row["baseline_due"]),
        ),
        reading=Reading(row["reading"]),
        reader=row["reader"],
        reading_expires_at=_to_time_or_none(row["reading_expires_at"]),
        read_at=_to_time_or_none(row["read_at"]),
        changed_since_read=bool(row["changed_since_read"]),
        pinned_at=_to_time_or_none(row["pinned_at"]),
        pinned_by=row["pinned_by"],
        pin_reason=row["pin_reason"],
        completed_at=_to_time_or_none(row["completed_at"]),
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
        sent_at=_to_time_or_none(row["sent_at"]),
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
