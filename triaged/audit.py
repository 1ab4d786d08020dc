"""The hash-chained event log: each digest covers the one before, so that a changed or missing line shows.

Pure: the store writes the chain, this file says what a link is and whether a chain holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime

from triaged.records import Event

GENESIS = "0" * 64


def link(previous: str, at: datetime, study_uid: str | None, kind: str, detail: dict[str, object]) -> str:
    """Digest of one event, chained to `previous`: sha256 over a canonical JSON of all of it."""
    text = json.dumps([previous, at.isoformat(), study_uid, kind, detail], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def first_break(events: Iterable[Event], previous: str = GENESIS) -> int | None:
    """Sequence number of the first event that does not follow from those before it; None where the chain holds."""
    for event in events:
        if event.digest != link(previous, event.at, event.study_uid, event.kind, event.detail):
            return event.seq
        previous = event.digest
    return None
