"""What arrived: studies, their series, and the associations that brought them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from triaged.clock import Now
from triaged.errors import UnknownStudy
from triaged.records import (
    Arrival,
    InstanceHeader,
    OrderPriority,
    Outcome,
    Pending,
    Place,
    SeriesRow,
    Study,
    StudyState,
    Tier,
    Touch,
)
from triaged.store import rows, search

if TYPE_CHECKING:
    from triaged.store.store import Store

SELECT = """
SELECT studies.*,
       (SELECT coalesce(sum(instance_count), 0) FROM series WHERE series.study_uid = studies.study_uid)
           AS instance_count
FROM studies
"""


class Studies:
    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, study_uid: str) -> Study:
        """Raises UnknownStudy."""
        row = self._store.row(f"{SELECT} WHERE study_uid = ?", (study_uid,))
        if row is None:
            raise UnknownStudy(f"no study {study_uid}")
        return rows.study(row)

    def find(self, study_uid: str) -> Study | None:
        try:
            return self.get(study_uid)
        except UnknownStudy:
            return None

    def all(self) -> list[Study]:
        """Every study, in order of arrival."""
        return [rows.study(row) for row in self._store.rows(f"{SELECT} ORDER BY arrival_seq")]

    def series(self, study_uid: str) -> list[SeriesRow]:
        found = self._store.rows("SELECT * FROM series WHERE study_uid = ? ORDER BY rowid", (study_uid,))
        return [rows.series(row) for row in found]

    def outcomes(self, study_uid: str) -> list[tuple[int, datetime, Outcome]]:
        """Every revision: (revision, committed at, outcome), oldest first."""
        found = self._store.rows("SELECT * FROM outcomes WHERE study_uid = ? ORDER BY revision", (study_uid,))
        return [(row["revision"], rows.to_time(row["committed_at"]), rows.outcome(row)) for row in found]

    def counts_by_state(self) -> dict[StudyState, int]:
        found = self._store.rows("SELECT state, count(*) AS n FROM studies GROUP BY state")
        return {StudyState(row["state"]): row["n"] for row in found}

    def counts_by_reason(self) -> dict[str, int]:
        found = self._store.rows(
            "SELECT reason_code, count(*) AS n FROM studies WHERE state = 'not_analysed' GROUP BY reason_code"
        )
        return {row["reason_code"]: row["n"] for row in found}

    def delays_to_outcome(self, edges_s: Sequence[float]) -> tuple[list[int], int, float]:
        """From first instance to first outcome: how many took at most each edge, how many there are, seconds in all."""
        within = ", ".join("coalesce(sum(delay_s <= ?), 0)" for _ in edges_s)
        row = self._store.row(
            f"""SELECT {within}, count(*), coalesce(sum(delay_s), 0.0) FROM (
                    SELECT round((julianday(committed_at) - julianday(received_at)) * 86400.0, 3) AS delay_s
                    FROM outcomes JOIN studies USING (study_uid) WHERE outcomes.revision = 1)""",  # noqa: S608
            list(edges_s),
        )
        assert row is not None
        *counts, number, seconds = tuple(row)
        return counts, number, seconds

    def last_times(self) -> tuple[datetime | None, datetime | None]:
        """When the last study was received and when the last outcome was committed; None where none was."""
        row = self._store.row(  # two questions, since an index answers one at a time
            """SELECT (SELECT max(received_at) FROM studies) AS received,
                      (SELECT max(completed_at) FROM studies) AS completed"""
        )
        assert row is not None
        return rows.to_time_or_none(row["received"]), rows.to_time_or_none(row["completed"])

    # -- arrivals -----------------------------------------------------------------------------------------------

    def arrived(self, arrival: Arrival, now: Now) -> None:
        """Write down what an association brought: new study, new series, counts, and the time of the touch."""
        uid = arrival.header.study_uid
        with self._store.atomic():
            is_new = self._store.row("SELECT 1 FROM studies WHERE study_uid = ?", (uid,)) is None
            if is_new:
                self._insert(arrival, now)
            for series in arrival.series:
                self._add_series(series, now)
            if arrival.new_images or is_new:  # a study of a lone report is to be looked at, too: it must end in a state
                self._count_arrivals(uid, now)
            self._store.execute(
                """INSERT INTO touches (association, study_uid, last_arrival_mono) VALUES (?, ?, ?)
                   ON CONFLICT (association, study_uid) DO UPDATE SET last_arrival_mono = excluded.last_arrival_mono""",
                (arrival.association, uid, now.mono_s),
            )

    def _insert(self, arrival: Arrival, now: Now) -> None:
        place = arrival.place
        self._store.execute(
            """INSERT INTO studies (study_uid, arrival_seq, received_at, header, calling_ae, called_ae, order_priority,
                   priority_source, state, is_reference, first_mono, last_arrival_mono, tier, baseline_tier, due,
                   baseline_due, search)
               VALUES (?, (SELECT coalesce(max(arrival_seq), 0) + 1 FROM studies), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
                   ?, ?, ?)""",
            (
                arrival.header.study_uid,
                rows.to_text(now.utc),
                rows.to_json(rows.HEADER, arrival.header),
                arrival.calling_ae,
                arrival.called_ae,
                arrival.order_priority,
                arrival.priority_source,
                StudyState.RECEIVING,
                int(arrival.is_reference),
                now.mono_s,
                now.mono_s,
                place.tier,
                place.baseline_tier,
                rows.to_text(place.due),
                rows.to_text(place.baseline_due),
                search.text_of(arrival.header),
            ),
        )
        detail: dict[str, object] = {"calling_ae": arrival.calling_ae, "called_ae": arrival.called_ae}
        self._store.events.add("received", now, study_uid=arrival.header.study_uid, detail=detail)

    def _add_series(self, series: SeriesRow, now: Now) -> None:
        known = self._store.execute(
            "UPDATE series SET instance_count = instance_count + ? WHERE study_uid = ? AND series_uid = ?",
            (series.instance_count, series.study_uid, series.series_uid),
        )
        if not known:
            names = list(SeriesRow.__dataclass_fields__)
            self._store.execute(
                f"INSERT INTO series ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",  # noqa: S608
                [getattr(series, name) for name in names],
            )
            detail: dict[str, object] = {"series": series.series_uid, "modality": series.modality}
            self._store.events.add("series", now, study_uid=series.study_uid, detail=detail)

    def _count_arrivals(self, study_uid: str, now: Now) -> None:
        # New images are there to be kept and removed again, whatever retention did to those before them.
        self._store.execute(
            """UPDATE studies SET generation = generation + 1, last_arrival_mono = ?, images_removed_at = NULL,
                   first_mono = CASE WHEN generation = settled_generation THEN ? ELSE first_mono END
               WHERE study_uid = ?""",
            (now.mono_s, now.mono_s, study_uid),
        )

    def came_again(self, instance: InstanceHeader, *, is_other_patient: bool, now: Now) -> None:
        """An image came again with other content. One that names another patient is looked at like a new one."""
        uid = instance.study_uid
        with self._store.atomic():
            self._store.execute("UPDATE studies SET other_versions = other_versions + 1 WHERE study_uid = ?", (uid,))
            if is_other_patient:
                self._count_arrivals(uid, now)
            detail: dict[str, object] = {"series": instance.series_uid, "sop": instance.sop_uid}
            if is_other_patient:
                detail["names"] = "another patient"
            self._store.events.add("conflicting_version", now, study_uid=uid, detail=detail)

    def association_closed(self, association: str, now: Now) -> None:
        with self._store.atomic():
            self._store.execute(
                "UPDATE touches SET closed_mono = ? WHERE association = ? AND closed_mono IS NULL",
                (now.mono_s, association),
            )

    def close_all_associations(self, now: Now) -> None:
        """The listener died or starts anew: whatever it had open is closed."""
        with self._store.atomic():
            self._store.execute("UPDATE touches SET closed_mono = ? WHERE closed_mono IS NULL", (now.mono_s,))

    def restart_clocks(self, now: Now) -> None:
        """At start-up: the monotonic clock may have begun again, so every wait begins again."""
        with self._store.atomic():
            self._store.execute("DELETE FROM touches")
            self._store.execute("UPDATE studies SET first_mono = ?, last_arrival_mono = ?", (now.mono_s, now.mono_s))

    def set_series_count(self, series: SeriesRow, now: Now) -> bool:
        """Make the stored count what the spool holds (reconciliation). True where it had to be changed."""
        with self._store.atomic():
            row = self._store.row(
                "SELECT instance_count FROM series WHERE study_uid = ? AND series_uid = ?",
                (series.study_uid, series.series_uid),
            )
            if row is not None and row["instance_count"] == series.instance_count:
                return False
            if row is None:
                self._add_series(series, now)
            else:
                self._store.execute(
                    "UPDATE series SET instance_count = ? WHERE study_uid = ? AND series_uid = ?",
                    (series.instance_count, series.study_uid, series.series_uid),
                )
            self._count_arrivals(series.study_uid, now)
            return True

    # -- assembly -----------------------------------------------------------------------------------------------

    def pending(self) -> list[Pending]:
        """Studies with arrivals that are not yet settled and that no worker holds."""
        found = self._store.rows(
            """SELECT study_uid, state, generation, first_mono, last_arrival_mono FROM studies
               WHERE generation > settled_generation AND claim_token IS NULL AND state != ? ORDER BY arrival_seq""",
            (StudyState.WITHDRAWN,),
        )
        return [
            Pending(
                study_uid=row["study_uid"],
                state=StudyState(row["state"]),
                generation=row["generation"],
                first_mono_s=row["first_mono"],
                last_arrival_mono_s=row["last_arrival_mono"],
                touches=self._touches(row["study_uid"]),
            )
            for row in found
        ]

    def _touches(self, study_uid: str) -> tuple[Touch, ...]:
        found = self._store.rows("SELECT last_arrival_mono, closed_mono FROM touches WHERE study_uid = ?", (study_uid,))
        return tuple(
            Touch(last_arrival_mono_s=row["last_arrival_mono"], closed_mono_s=row["closed_mono"]) for row in found
        )

    def settle(self, pending: Pending, *, partial: bool, now: Now) -> bool:
        """Declare a study complete. False where something arrived since `pending` was read."""
        with self._store.atomic():
            settled = self._store.execute(
                """UPDATE studies SET settled_generation = generation, partial = ?,
                       state = CASE WHEN state = ? THEN ? ELSE state END
                   WHERE study_uid = ? AND generation = ?""",
                (int(partial), StudyState.RECEIVING, StudyState.READY, pending.study_uid, pending.generation),
            )
            if settled:
                self._store.execute(
                    "DELETE FROM touches WHERE study_uid = ? AND closed_mono IS NOT NULL", (pending.study_uid,)
                )
                kind = "ready" if pending.state is StudyState.RECEIVING else "late_images_settled"
                self._store.events.add(kind, now, study_uid=pending.study_uid, detail={"partial": partial})
            return bool(settled)

    # -- by a person --------------------------------------------------------------------------------------------

    def set_priority(self, study_uid: str, priority: OrderPriority, place: Place, *, source: str, now: Now) -> None:
        """Change the order priority; `place` is where that puts the study. Raises UnknownStudy."""
        with self._store.atomic():
            before = self.get(study_uid)
            self._store.execute(
                """UPDATE studies SET order_priority = ?, priority_source = ?, tier = ?, baseline_tier = ?, due = ?,
                       baseline_due = ? WHERE study_uid = ?""",
                (
                    priority,
                    source,
                    place.tier,
                    place.baseline_tier,
                    rows.to_text(place.due),
                    rows.to_text(place.baseline_due),
                    study_uid,
                ),
            )
            detail: dict[str, object] = {"from": before.order_priority, "to": priority, "source": source}
            self._store.events.add("priority", now, study_uid=study_uid, detail=detail)

    def set_urgency(self, study_uid: str, urgency: float, place: Place, *, by: str, reason: str, now: Now) -> None:
        """A person's correction of the urgency, which AI itself only raises. Raises UnknownStudy."""
        with self._store.atomic():
            before = self.get(study_uid)
            self._store.execute(
                "UPDATE studies SET urgency = ?, tier = ?, due = ? WHERE study_uid = ?",
                (urgency, place.tier, rows.to_text(place.due), study_uid),
            )
            detail: dict[str, object] = {"from": before.urgency, "to": urgency, "by": by, "why": reason}
            self._store.events.add("urgency", now, study_uid=study_uid, detail=detail)

    def set_tier(self, study_uid: str, tier: Tier, *, why: str, now: Now) -> None:
        """Let the settings decide the tier with AI; the due time stays. Raises UnknownStudy."""
        with self._store.atomic():
            before = self.get(study_uid).place.tier
            self._store.execute("UPDATE studies SET tier = ? WHERE study_uid = ?", (tier, study_uid))
            detail: dict[str, object] = {"from": before.name, "to": tier.name, "why": why}
            self._store.events.add("tier", now, study_uid=study_uid, detail=detail)

    def withdraw(self, study_uid: str, *, reason: str, by: str, now: Now) -> None:
        """Take a study off the list for a stated reason. Its images and its events stay. Raises UnknownStudy."""
        with self._store.atomic():
            self.get(study_uid)
            self._store.execute(
                """UPDATE studies SET state = ?, reason_code = 'withdrawn', reason = ?, claim_token = NULL
                   WHERE study_uid = ?""",
                (StudyState.WITHDRAWN, reason, study_uid),
            )
            self._store.deliveries.supersede(study_uid)
            self._store.events.add("withdrawn", now, study_uid=study_uid, detail={"by": by, "why": reason})

    # -- retention ----------------------------------------------------------------------------------------------

    def removable(self, read_before: datetime) -> list[str]:
        """Studies whose images may go, oldest first: read (or prior, or withdrawn) before that time, nothing under way.

        A study with a delivery that is neither sent nor superseded is never among them.
        """
        found = self._store.rows(
            """SELECT study_uid FROM studies
               WHERE images_removed_at IS NULL AND claim_token IS NULL
                 AND (generation = examined_generation OR state = 'withdrawn')
                 AND ((reading = 'read' AND read_at < ?)
                      OR ((is_reference = 1 OR state = 'withdrawn') AND received_at < ?))
                 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.study_uid = studies.study_uid
                                 AND deliveries.state NOT IN ('sent', 'confirmed', 'superseded'))
               ORDER BY received_at""",
            (rows.to_text(read_before), rows.to_text(read_before)),
        )
        return [row["study_uid"] for row in found]

    def images_removed(self, study_uid: str, *, why: str, now: Now) -> None:
        """What was there is gone. A study into which an image came since then has images again."""
        with self._store.atomic():
            self._store.execute(
                """UPDATE studies SET images_removed_at = ?
                   WHERE study_uid = ? AND (generation = examined_generation OR state = 'withdrawn')""",
                (rows.to_text(now.utc), study_uid),
            )
            self._store.events.add("images_removed", now, study_uid=study_uid, detail={"why": why})
