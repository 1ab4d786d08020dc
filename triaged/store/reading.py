"""The reading list: order, claim, read, pin. Promote-only is policy's business; this file keeps what people did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from triaged.clock import Now
from triaged.errors import AlreadyClaimed, AlreadyRead
from triaged.records import Reading, Study, Tier
from triaged.store import rows, search
from triaged.store.studies import SELECT

if TYPE_CHECKING:
    from triaged.store.store import Store

Order = Literal["ai", "baseline"]
Tab = Literal["not_analysed", "failed", "reference", "read", "withdrawn"]

# A prior stands apart until a person pins it: a scanner with a wrong clock makes a prior of a new study.
IS_PRIOR = "(is_reference = 1 AND pinned_at IS NULL)"
LISTED = f"reading != 'read' AND NOT {IS_PRIOR} AND state != 'withdrawn'"  # as the index says it
ORDER_BY = {
    "ai": "pinned_at IS NULL, pinned_at, tier, due, arrival_seq",
    "baseline": "pinned_at IS NULL, pinned_at, baseline_tier, baseline_due, arrival_seq",
}
TABS: dict[Tab, str] = {
    "not_analysed": "state = 'not_analysed' AND is_reference = 0",
    "failed": "state = 'failed' AND is_reference = 0",
    "reference": f"{IS_PRIOR} AND state != 'withdrawn'",
    "read": f"reading = 'read' AND NOT {IS_PRIOR} AND state != 'withdrawn'",
    "withdrawn": "state = 'withdrawn'",
}


def _refuse_held(study: Study, reader: str, now: Now) -> None:
    """Raises AlreadyClaimed where somebody else holds the study and the claim has not run out."""
    held = study.reading is Reading.READING and study.reader != reader
    if held and study.reading_expires_at is not None and study.reading_expires_at > now.utc:
        raise AlreadyClaimed(study.reader, study.reading_expires_at.isoformat(timespec="minutes"))


# What has a new result since it was read stands first: nobody has seen that one.
TAB_ORDER: dict[Tab, str] = dict.fromkeys(TABS, "received_at DESC") | {"read": "changed_since_read DESC, read_at DESC"}


class ReadingList:
    def __init__(self, store: Store) -> None:
        self._store = store

    def ordered(self, order: Order) -> list[Study]:
        """Every study that is to be read, in reading order; pinned ones first, in the order they were pinned."""
        found = self._store.rows(f"{SELECT} WHERE {LISTED} ORDER BY {ORDER_BY[order]}")
        return [rows.study(row) for row in found]

    def tab(self, tab: Tab, *, start: int = 0, limit: int | None = None) -> list[Study]:
        """Studies that are not for reading now (or also elsewhere), newest first: `limit` of them, after `start`."""
        return self._some(TABS[tab], TAB_ORDER[tab], (), start, -1 if limit is None else limit)

    def elsewhere(self, asked: str, *, limit: int) -> list[Study]:
        """Studies that match a search and are not in the list, the last received first."""
        words = search.words_of(asked)
        found = " AND ".join(["instr(search, ?) > 0"] * len(words))
        return self._some(f"{found} AND NOT ({LISTED})", "received_at DESC", words, 0, limit) if words else []

    def _some(self, condition: str, order: str, values: Sequence[str], start: int, limit: int) -> list[Study]:
        # Chosen by index first: a row is read whole only where it is shown.
        chosen = f"SELECT study_uid FROM studies WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?"  # noqa: S608
        found = self._store.rows(f"{SELECT} WHERE study_uid IN ({chosen}) ORDER BY {order}", (*values, limit, start))
        return [rows.study(row) for row in found]

    def changed(self) -> tuple[int, Study | None]:
        """How many studies have a new result that nobody has read, and the one whose result is the latest."""
        condition = "reading = 'read' AND changed_since_read = 1 AND state != 'withdrawn'"
        row = self._store.row(f"SELECT count(*) AS n FROM studies WHERE {condition}")  # noqa: S608
        latest = self._some(condition, "completed_at DESC", (), 0, 1)
        return (0 if row is None else int(row["n"])), (latest[0] if latest else None)

    def counts_by_tier(self) -> dict[Tier, int]:
        found = self._store.rows(f"SELECT tier, count(*) AS n FROM studies WHERE {LISTED} GROUP BY tier")  # noqa: S608
        return {Tier(row["tier"]): row["n"] for row in found}

    def tab_counts(self) -> dict[Tab, int]:
        parts = ", ".join(f"coalesce(sum({condition}), 0) AS {tab}" for tab, condition in TABS.items())
        row = self._store.row(f"SELECT {parts} FROM studies")  # noqa: S608
        assert row is not None
        return {tab: int(row[tab]) for tab in TABS}

    def claim(self, study_uid: str, *, reader: str, until: datetime, now: Now) -> None:
        """Hold a study while reading it. Raises AlreadyClaimed (naming the holder), AlreadyRead, UnknownStudy."""
        with self._store.atomic():
            study = self._store.studies.get(study_uid)
            if study.reading is Reading.READ:
                at = "" if study.read_at is None else study.read_at.isoformat(timespec="minutes")
                raise AlreadyRead(study.reader, at)
            _refuse_held(study, reader, now)
            self._store.execute(
                "UPDATE studies SET reading = 'reading', reader = ?, reading_expires_at = ? WHERE study_uid = ?",
                (reader, rows.to_text(until), study_uid),
            )
            self._store.events.add("reading_claimed", now, study_uid=study_uid, detail={"by": reader})

    def release(self, study_uid: str, *, reader: str, now: Now) -> None:
        """Give a claim back. Raises AlreadyClaimed where it is somebody else's, UnknownStudy."""
        with self._store.atomic():
            study = self._store.studies.get(study_uid)
            if study.reading is not Reading.READING:
                return
            _refuse_held(study, reader, now)
            self._unread(study_uid)
            self._store.events.add("reading_released", now, study_uid=study_uid, detail={"by": reader})

    def expire(self, now: Now) -> int:
        """Let go of claims whose time is over; returns how many."""
        with self._store.atomic():
            over = self._store.rows(
                "SELECT study_uid, reader FROM studies WHERE reading = 'reading' AND reading_expires_at <= ?",
                (rows.to_text(now.utc),),
            )
            for row in over:
                self._unread(row["study_uid"])
                detail: dict[str, object] = {"by": row["reader"]}
                self._store.events.add("reading_expired", now, study_uid=row["study_uid"], detail=detail)
            return len(over)

    def mark_read(self, study_uid: str, *, reader: str, now: Now) -> None:
        """The study has been read: it leaves the list. Raises AlreadyClaimed, UnknownStudy.

        Reading it again changes who read it only where a new result came since.
        """
        with self._store.atomic():
            study = self._store.studies.get(study_uid)
            if study.reading is Reading.READ and not study.changed_since_read:
                return
            _refuse_held(study, reader, now)
            self._store.execute(
                """UPDATE studies SET reading = 'read', reader = ?, reading_expires_at = NULL, read_at = ?,
                       changed_since_read = 0, pinned_at = NULL, pinned_by = '', pin_reason = ''
                   WHERE study_uid = ?""",
                (reader, rows.to_text(now.utc), study_uid),
            )
            self._store.events.add("read", now, study_uid=study_uid, detail={"by": reader})

    def mark_unread(self, study_uid: str, *, reader: str, now: Now) -> None:
        """Put a read study back on the list, at its old place. Raises UnknownStudy."""
        with self._store.atomic():
            self._store.studies.get(study_uid)
            self._unread(study_uid)
            self._store.execute(
                "UPDATE studies SET read_at = NULL, changed_since_read = 0 WHERE study_uid = ?", (study_uid,)
            )
            self._store.events.add("unread", now, study_uid=study_uid, detail={"by": reader})

    def pin(self, study_uid: str, *, by: str, reason: str, now: Now) -> None:
        """Put a study above all others, by hand, for a stated reason. Raises UnknownStudy."""
        with self._store.atomic():
            self._store.studies.get(study_uid)
            self._store.execute(
                "UPDATE studies SET pinned_at = ?, pinned_by = ?, pin_reason = ? WHERE study_uid = ?",
                (rows.to_text(now.utc), by, reason, study_uid),
            )
            self._store.events.add("pinned", now, study_uid=study_uid, detail={"by": by, "why": reason})

    def unpin(self, study_uid: str, *, by: str, now: Now) -> None:
        with self._store.atomic():
            self._store.studies.get(study_uid)
            self._store.execute(
                "UPDATE studies SET pinned_at = NULL, pinned_by = '', pin_reason = '' WHERE study_uid = ?", (study_uid,)
            )
            self._store.events.add("unpinned", now, study_uid=study_uid, detail={"by": by})

    def _unread(self, study_uid: str) -> None:
        self._store.execute(
            "UPDATE studies SET reading = 'unread', reader = '', reading_expires_at = NULL WHERE study_uid = ?",
            (study_uid,),
        )
