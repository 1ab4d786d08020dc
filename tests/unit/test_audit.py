"""The chain of digests: any change to any link is found, at the link where it was made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from triaged.audit import GENESIS, first_break, link
from triaged.records import Event

AT = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)


def _chain(length: int) -> list[Event]:
    events: list[Event] = []
    previous = GENESIS
    for seq in range(1, length + 1):
        at, uid = AT + timedelta(seconds=seq), f"1.{seq}" if seq % 2 else None
        detail: dict[str, object] = {"n": seq, "deep": {"b": [1, 2], "a": None}}
        previous = link(previous, at, uid, "received", detail)
        events.append(Event(seq=seq, at=at, study_uid=uid, kind="received", detail=detail, digest=previous))
    return events


def test_whole_chain_and_its_pages_hold() -> None:
    events = _chain(6)
    assert first_break([]) is None
    assert first_break(events) is None
    assert first_break(events[3:], previous=events[2].digest) is None


@pytest.mark.parametrize(
    "change",
    [
        {"at": AT},
        {"study_uid": "9.9"},
        {"study_uid": None},
        {"kind": "read"},
        {"detail": {"n": 3}},
        {"detail": {}},
        {"digest": GENESIS},
    ],
)
def test_any_change_is_found_where_it_was_made(change: dict[str, object]) -> None:
    events = _chain(6)
    events[2] = replace(events[2], **change)  # type: ignore[arg-type]
    assert first_break(events) == 3


def test_missing_swapped_and_foreign_events_are_found() -> None:
    events = _chain(6)
    assert first_break(events[:2] + events[3:]) == 4
    assert first_break([events[0], events[2], events[1], *events[3:]]) == 3
    assert first_break(events[1:]) == 2
    assert first_break(events, previous="f" * 64) == 1


def test_rewritten_event_needs_the_whole_rest_rewritten() -> None:
    """Whoever changes one event and its digest breaks the next one."""
    events = _chain(6)
    forged = link(events[1].digest, events[2].at, "9.9", "received", {})
    events[2] = replace(events[2], study_uid="9.9", detail={}, digest=forged)
    assert first_break(events) == 4


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    one = link(GENESIS, AT, "1.2", "read", {"a": 1, "b": 2})
    assert one == link(GENESIS, AT, "1.2", "read", {"b": 2, "a": 1})
    assert len(one) == 64
    assert one != link(GENESIS, AT.astimezone(timezone(timedelta(hours=1))), "1.2", "read", {"a": 1})[:63]
