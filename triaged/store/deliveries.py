"""Result objects on their way to the PACS. The UIDs are fixed with the outcome; the bytes are made once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from triaged.clock import Now
from triaged.records import Delivery, DeliveryState, PlannedDelivery, Reason, Role
from triaged.store import rows

if TYPE_CHECKING:
    from triaged.store.store import Store

# What an object becomes that was on its way and did not arrive: its study may have moved on meanwhile.
WAITS_AGAIN = """CASE WHEN EXISTS (
    SELECT 1 FROM studies WHERE studies.study_uid = deliveries.study_uid
        AND (studies.revision > deliveries.revision OR studies.state = 'withdrawn')
) THEN 'superseded' ELSE 'waiting' END"""

UNPROVED = "after a repair: whether the PACS has this result already cannot be proved"


class Deliveries:
    def __init__(self, store: Store) -> None:
        self._store = store

    def plan(self, study_uid: str, revision: int, planned: Sequence[PlannedDelivery], now: Now) -> None:
        """Plan a revision's objects; older ones that were never sent are superseded.

        An object whose UID is already planned or sent is the same object (its UID derives from input and
        configuration): it becomes the new revision's and is not sent twice. One that a revision in between had
        superseded waits again.
        """
        with self._store.atomic():
            same = {p.sop_uid for p in planned}
            self.supersede(study_uid, keep=same)
            for p in planned:
                self._store.execute(
                    """INSERT INTO deliveries
                           (study_uid, revision, role, sop_uid, series_uid, state, created_at, not_before)
                       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                       ON CONFLICT (sop_uid) DO UPDATE SET revision = excluded.revision,
                           not_before = CASE state WHEN 'superseded' THEN excluded.not_before ELSE not_before END,
                           attempts = CASE state WHEN 'superseded' THEN 0 ELSE attempts END,
                           state = CASE state WHEN 'superseded' THEN 'waiting' ELSE state END""",
                    (
                        study_uid,
                        revision,
                        p.role,
                        p.sop_uid,
                        p.series_uid,
                        DeliveryState.WAITING,
                        rows.to_text(now.utc),
                        rows.to_text(p.not_before),
                    ),
                )

    def supersede(self, study_uid: str, keep: set[str] | frozenset[str] = frozenset()) -> None:
        with self._store.atomic():
            for delivery in self.of(study_uid):
                # One that is being sent at this moment becomes SENT if it arrives, and is not tried again if not.
                unsent = delivery.state in {DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.PARKED}
                if unsent and delivery.sop_uid not in keep:
                    self._set(delivery.delivery_id, DeliveryState.SUPERSEDED)

    def void(self, study_uid: str, *, why: str, now: Now) -> None:
        """Say which results are in the PACS and hold no longer. Nothing of ours can take them back; a person can."""
        sops = [d.sop_uid for d in self.of(study_uid) if d.state in {DeliveryState.SENT, DeliveryState.CONFIRMED}]
        if sops:
            self._store.events.add("sent_results_void", now, study_uid=study_uid, detail={"why": why, "sops": sops})

    def void_studies(self) -> int:
        """How many studies have results in the PACS that do not hold; a study that is withdrawn is dealt with."""
        row = self._store.row(
            """SELECT count(DISTINCT study_uid) AS n FROM deliveries JOIN studies USING (study_uid)
               WHERE studies.state = 'not_analysed' AND reason_code = ?
                 AND deliveries.state IN ('sent', 'confirmed')""",
            (Reason.CONFLICTING_IDENTITY,),
        )
        return 0 if row is None else int(row["n"])

    def of(self, study_uid: str) -> list[Delivery]:
        found = self._store.rows("SELECT * FROM deliveries WHERE study_uid = ? ORDER BY delivery_id", (study_uid,))
        return [rows.delivery(row) for row in found]

    def by_sop_uid(self, sop_uid: str) -> Delivery | None:
        row = self._store.row("SELECT * FROM deliveries WHERE sop_uid = ?", (sop_uid,))
        return None if row is None else rows.delivery(row)

    def due(self, now: Now, limit: int = 100) -> list[Delivery]:
        """What may be sent now, the most urgent study first.

        A study with late images that are still being looked at waits: the PACS gets one report, not five.
        """
        found = self._store.rows(
            """SELECT deliveries.* FROM deliveries JOIN studies USING (study_uid)
               WHERE deliveries.state = 'waiting' AND not_before <= ?
                 AND studies.generation = studies.examined_generation AND studies.state = 'analysed'
               ORDER BY studies.tier, studies.due, studies.arrival_seq, deliveries.delivery_id LIMIT ?""",
            (rows.to_text(now.utc), limit),
        )
        return [rows.delivery(row) for row in found]

    def encoded(self, made: Sequence[tuple[Delivery, str, str]], *, seconds: float, now: Now) -> None:
        """The bytes of one revision's objects, each with its path and sha256, are on disk, synced: what is sent and
        resent from now on. `seconds` is what making all of them took."""
        first = made[0][0]
        with self._store.atomic():
            for delivery, path, sha256 in made:
                self._store.execute(
                    "UPDATE deliveries SET path = ?, sha256 = ? WHERE delivery_id = ?",
                    (path, sha256, delivery.delivery_id),
                )
            detail: dict[str, object] = {"revision": first.revision, "objects": len(made), "seconds": seconds}
            self._store.events.add("encoded", now, study_uid=first.study_uid, detail=detail)

    def sending(self, delivery_id: int) -> bool:
        """The object goes out now. False where it is no longer waiting: superseded since it was found due."""
        with self._store.atomic():
            taken = self._store.execute(
                "UPDATE deliveries SET state = ?, attempts = attempts + 1 WHERE delivery_id = ? AND state = ?",
                (DeliveryState.SENDING, delivery_id, DeliveryState.WAITING),
            )
            return bool(taken)

    def sent(self, delivery: Delivery, *, now: Now) -> None:
        with self._store.atomic():
            self._store.execute(
                """UPDATE deliveries SET sent_at = ?, last_error = NULL,
                       state = CASE WHEN state = 'confirmed' THEN state ELSE 'sent' END WHERE delivery_id = ?""",
                (rows.to_text(now.utc), delivery.delivery_id),
            )
            detail: dict[str, object] = {"role": delivery.role, "sop": delivery.sop_uid}
            self._store.events.add("delivered", now, study_uid=delivery.study_uid, detail=detail)

    def confirmed(self, delivery: Delivery, *, how: str, now: Now) -> None:
        """The PACS has shown the object again. Evidence counts once."""
        with self._store.atomic():
            is_news = self._store.execute(
                "UPDATE deliveries SET state = 'confirmed' WHERE delivery_id = ? AND state != 'confirmed'",
                (delivery.delivery_id,),
            )
            if not is_news:
                return
            detail: dict[str, object] = {"role": delivery.role, "sop": delivery.sop_uid, "how": how}
            self._store.events.add("delivery_confirmed", now, study_uid=delivery.study_uid, detail=detail)

    def retry(self, delivery: Delivery, *, error: str, not_before: datetime, now: Now) -> None:
        """Try again later; not where a newer revision or a withdrawal came while the object was on its way."""
        with self._store.atomic():
            self._store.execute(
                f"UPDATE deliveries SET state = {WAITS_AGAIN}, last_error = ?, not_before = ? "  # noqa: S608
                "WHERE delivery_id = ? AND state != 'confirmed'",
                (error, rows.to_text(not_before), delivery.delivery_id),
            )
            detail: dict[str, object] = {"role": delivery.role, "error": error, "attempt": delivery.attempts}
            self._store.events.add("delivery_retry", now, study_uid=delivery.study_uid, detail=detail)

    def park(self, delivery: Delivery, *, error: str, now: Now) -> None:
        """Trying again cannot help; a person must look."""
        with self._store.atomic():
            self._store.execute(
                "UPDATE deliveries SET state = ?, last_error = ? WHERE delivery_id = ? AND state != 'confirmed'",
                (DeliveryState.PARKED, error, delivery.delivery_id),
            )
            detail: dict[str, object] = {"role": delivery.role, "error": error}
            self._store.events.add("delivery_parked", now, study_uid=delivery.study_uid, detail=detail)

    def put_back(self, delivery_id: int, *, error: str | None = None) -> None:
        """It was not sent for a reason that is not its own (the PACS is down, we stop): the try does not count."""
        with self._store.atomic():
            self._store.execute(
                """UPDATE deliveries SET state = 'waiting', attempts = attempts - 1,
                       last_error = coalesce(?, last_error) WHERE delivery_id = ? AND state = 'sending'""",
                (error, delivery_id),
            )

    def in_state(self, state: DeliveryState) -> list[Delivery]:
        found = self._store.rows("SELECT * FROM deliveries WHERE state = ? ORDER BY delivery_id", (state,))
        return [rows.delivery(row) for row in found]

    def unpark(self, study_uid: str, *, by: str, now: Now) -> int:
        """Try parked objects again, by hand; returns how many."""
        with self._store.atomic():
            n = self._store.execute(
                """UPDATE deliveries SET state = 'waiting', attempts = 0, not_before = ?
                   WHERE study_uid = ? AND state = 'parked'""",
                (rows.to_text(now.utc), study_uid),
            )
            if n:
                self._store.events.add("delivery_unparked", now, study_uid=study_uid, detail={"by": by, "objects": n})
            return n

    def dismiss(self, study_uid: str, *, by: str, reason: str, now: Now) -> int:
        """A person decides that what was parked is not to be sent; returns how many objects. They end superseded."""
        with self._store.atomic():
            parked = [d for d in self.of(study_uid) if d.state is DeliveryState.PARKED]
            return self._drop(parked, "delivery_dismissed", {"by": by, "why": reason}, now)

    def drop_all_but(self, roles: Collection[Role], *, why: str, now: Now) -> int:
        """At start-up: what was to go out in other roles than these will not; returns how many objects.

        Left waiting or parked it would keep its study's images from ever being removed.
        """
        unsent = (DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.PARKED)
        with self._store.atomic():
            found = [d for state in unsent for d in self.in_state(state) if d.role not in roles]
            return self._drop(found, "delivery_dropped", {"why": why}, now)

    def _drop(self, dropped: Sequence[Delivery], kind: str, detail: dict[str, object], now: Now) -> int:
        for delivery in dropped:
            self._set(delivery.delivery_id, DeliveryState.SUPERSEDED)
            about = {**detail, "role": delivery.role, "sop": delivery.sop_uid}
            self._store.events.add(kind, now, study_uid=delivery.study_uid, detail=about)
        return len(dropped)

    def restart(self) -> None:
        """At start-up: what was being sent when the process ended is sent again, under the same UID."""
        with self._store.atomic():
            self._store.execute(f"UPDATE deliveries SET state = {WAITS_AGAIN} WHERE state = 'sending'")  # noqa: S608

    def set_refusal(self, words: str | None) -> None:
        """The PACS rejects every association with us, for this reason; None: not any more, or not known to."""
        if words != self.refusal:
            self._store.set_setting("pacs_refusal", words)

    @property
    def refusal(self) -> str | None:
        words = self._store.setting("pacs_refusal")
        return None if words is None else str(words)

    def doubt(self, study_uids: Iterable[str]) -> None:
        """After a repair: results of these studies may have been delivered in the time that was lost."""
        self._store.set_setting("delivery_in_doubt", sorted(study_uids))

    def is_in_doubt(self, delivery: Delivery) -> bool:
        """Whether a person must say that it may be sent. Who unparks it has said so: its error stays, and tells."""
        return delivery.last_error is None and delivery.study_uid in self._store.setting("delivery_in_doubt", [])

    def counts_by_state(self) -> dict[DeliveryState, int]:
        found = self._store.rows("SELECT state, count(*) AS n FROM deliveries GROUP BY state")
        return {DeliveryState(row["state"]): row["n"] for row in found}

    def _set(self, delivery_id: int, state: DeliveryState) -> None:
        self._store.execute("UPDATE deliveries SET state = ? WHERE delivery_id = ?", (state, delivery_id))
