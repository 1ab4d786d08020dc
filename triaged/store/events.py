"""What happened, in order, chained by digest (audit.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from triaged.audit import GENESIS, first_break, link
from triaged.clock import Now
from triaged.records import Event
from triaged.store import rows

if TYPE_CHECKING:
    from triaged.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Chain:
    """How far the log holds together: `events` of them, the last with this digest. `broken_seq`: the first that does
    not follow from those before it. An end that was cut off breaks nothing; a digest kept elsewhere shows it."""

    events: int
    last_digest: str
    broken_seq: int | None


class Events:
    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self, kind: str, now: Now, *, study_uid: str | None = None, detail: dict[str, object] | None = None
    ) -> None:
        """Append one event, inside the transaction of what it records. `detail` must hold no patient identity."""
        with self._store.atomic():
            last = self._store.row("SELECT digest FROM events ORDER BY seq DESC LIMIT 1")
            text = rows.DETAIL.dump_json(detail or {}).decode()
            plain = rows.DETAIL.validate_json(text)  # as it will be read back, so that the chain verifies
            at = rows.to_time(rows.to_text(now.utc))
            digest = link(GENESIS if last is None else last["digest"], at, study_uid, kind, plain)
            self._store.execute(
                "INSERT INTO events (at, study_uid, kind, detail, digest) VALUES (?, ?, ?, ?, ?)",
                (rows.to_text(at), study_uid, kind, text, digest),
            )

    def of(self, study_uid: str) -> list[Event]:
        found = self._store.rows("SELECT * FROM events WHERE study_uid = ? ORDER BY seq", (study_uid,))
        return [rows.event(row) for row in found]

    def all(self, after_seq: int = 0, limit: int = 1000) -> list[Event]:
        found = self._store.rows("SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, limit))
        return [rows.event(row) for row in found]

    def verify(self) -> Chain:
        """Follow the whole chain. A row that cannot even be read is a break as well."""
        digest, seq, count = GENESIS, 0, 0
        while page := self._store.rows("SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT 1000", (seq,)):
            for row in page:
                try:
                    is_broken = first_break([event := rows.event(row)], digest) is not None
                except ValueError:
                    is_broken = True
                if is_broken:
                    return Chain(events=count, last_digest=digest, broken_seq=row["seq"])
                digest, seq, count = event.digest, event.seq, count + 1
        return Chain(events=count, last_digest=digest, broken_seq=None)

    def counts_by_kind(self) -> dict[str, int]:
        found = self._store.rows("SELECT kind, count(*) AS n FROM events GROUP BY kind ORDER BY kind")
        return {row["kind"]: row["n"] for row in found}

    def last_of(self, kind: str) -> Event | None:
        row = self._store.row("SELECT * FROM events WHERE kind = ? ORDER BY seq DESC LIMIT 1", (kind,))
        return None if row is None else rows.event(row)
