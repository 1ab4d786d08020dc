"""The outbox: what is due is encoded once and delivered, the most urgent study first, until the PACS has it.

A process of its own. Its whole memory is the store: killed at any point, it takes up where the rows say. An object
that was sent and not yet marked is sent again, as the same bytes under the same UID, which changes nothing.

Two things may be wrong, and they wait apart. An *object* that the PACS does not take now is tried again after its own
back-off, and parked when trying again cannot help or its tries are used up. A *PACS* that cannot be spoken to closes
a gate for all of them: no object is charged with a try, and once the PACS is back the most urgent study goes first.
An SR that is refused as Comprehensive 3D SR is parked like any refused object; we have no simpler one to offer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection

from triaged import clock, logs
from triaged.clock import Now
from triaged.config import Config
from triaged.errors import DeliveryError
from triaged.intake.spool import Spool
from triaged.lifeline import Lifeline
from triaged.records import Delivery, DeliveryState
from triaged.results.encode import encode
from triaged.results.sender import Answer, Parcel, Sender
from triaged.results.verdict import Verdict, back_off_s
from triaged.store import Store
from triaged.store.deliveries import UNPROVED

log = logging.getLogger(__name__)

TICK_S = 0.5
PROBE_LONGEST_S = 60.0  # asking an absent PACS once a minute costs one connection; results then wait a minute at most


class Outbox:
    """Delivers what the store says is due. `stopping` is asked between objects, so that a stop waits for one only."""

    def __init__(
        self,
        config: Config,
        store: Store,
        spool: Spool,
        *,
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], Now] = clock.now,
    ) -> None:
        self._config = config
        self._store = store
        self._spool = spool
        self._stopping = stopping
        self._clock = clock
        self._gate_opens_mono_s = 0.0
        self._pacs_failures = 0
        self._gate_closed_by = ""

    def recover(self, now: Now) -> None:
        """At start-up: what was in hand when the process ended waits again.

        The first time at once. What was in hand at a second end may be what ended it, and lets the others go first.
        """
        deliveries = self._store.deliveries
        with self._store.atomic():
            for delivery in deliveries.in_state(DeliveryState.SENDING):
                if delivery.attempts > 1:
                    self._try_later(delivery, "the outbox ended while it was in hand", now)
            deliveries.restart()

    def step(self, now: Now) -> int:
        """Deliver what is due at `now` for the most urgent study that has something due.

        Returns how many objects reached an end: sent or parked. One study at a time, so that one which became urgent
        meanwhile is the next.
        """
        if not self._config.delivers or self._stopping() or now.mono_s < self._gate_opens_mono_s:
            return 0
        due = self._store.deliveries.due(now)
        if not due:
            return 0
        return self._deliver_study([d for d in due if d.study_uid == due[0].study_uid], now)

    # -- one study ------------------------------------------------------------------------------------------------

    def _deliver_study(self, due: Sequence[Delivery], now: Now) -> int:
        """Everything that is due for one study. Whatever happens, none of it is left in hand."""
        study_uid = due[0].study_uid
        batch = self._take(due, now)
        try:
            self._encode(batch)
            if self._still_wanted(study_uid):
                self._send(batch, now)
        except DeliveryError as error:
            for delivery in self._in_hand(batch):
                if error.permanent:
                    self._park(delivery, str(error))
                else:
                    self._try_later(delivery, str(error), now)
        except Exception as error:  # the job edge: one study that cannot be delivered stops no other
            log.exception("delivery failed", extra={"study": study_uid})
            for delivery in self._in_hand(batch):
                self._park(delivery, f"an error of ours: {logs.where(error)}")
        finally:
            for delivery in self._in_hand(batch):
                self._store.deliveries.put_back(delivery.delivery_id)
        ended = {DeliveryState.SENT, DeliveryState.CONFIRMED, DeliveryState.PARKED}
        return sum(self._fresh(d).state in ended for d in due)

    def _take(self, due: Sequence[Delivery], now: Now) -> list[Delivery]:
        """Take the objects in hand, which counts the try. Those that may not go are parked instead."""
        batch = []
        with self._store.atomic():
            for delivery in due:
                if why := self._barred(delivery):
                    self._park(delivery, why)
                elif self._store.deliveries.sending(delivery.delivery_id):
                    batch.append(self._fresh(delivery))
        return batch

    def _barred(self, delivery: Delivery) -> str | None:
        if delivery.role not in self._config.results.send:
            return f"[results] send does not name {delivery.role} any more"
        if self._store.deliveries.is_in_doubt(delivery):
            return UNPROVED
        return None

    def _encode(self, batch: Sequence[Delivery]) -> None:
        for revision in sorted({d.revision for d in batch}):
            wanted = [d for d in batch if d.revision == revision]
            encode(self._store, self._spool, self._config, wanted, clock=self._clock)

    def _still_wanted(self, study_uid: str) -> bool:
        """Encoding takes seconds: if images came meanwhile, the objects wait for what becomes of them."""
        study = self._store.studies.get(study_uid)
        return study.generation == study.examined_generation

    def _send(self, batch: Sequence[Delivery], now: Now) -> None:
        assert self._config.pacs is not None
        sender = Sender(self._config.pacs, self._config.dicom.ae_title)
        by_uid = {d.sop_uid: d for d in self._in_hand(batch)}
        try:
            for answer in sender.send([self._parcel(d) for d in by_uid.values()], stop=self._stopping):
                self._settle(by_uid[answer.sop_uid], answer, now)
        except DeliveryError as error:
            self._close_gate(error, self._in_hand(batch), now)
        else:
            self._open_gate()

    def _parcel(self, delivery: Delivery) -> Parcel:
        fresh = self._fresh(delivery)
        assert fresh.path is not None
        assert fresh.sha256 is not None
        path = self._config.storage.path / fresh.path
        return Parcel(sop_uid=fresh.sop_uid, role=fresh.role.value, path=path, sha256=fresh.sha256)

    # -- what becomes of an object --------------------------------------------------------------------------------

    def _settle(self, delivery: Delivery, answer: Answer, now: Now) -> None:
        about = {"study": delivery.study_uid, "role": delivery.role.value}
        if answer.verdict is Verdict.SENT:
            self._store.deliveries.sent(self._fresh(delivery), now=self._clock())
            log.info("delivered", extra=about | {"sop": delivery.sop_uid, "note": answer.reason})
        elif self._fresh(delivery).state is not DeliveryState.SENDING:
            log.info("not delivered, and not wanted any more", extra=about | {"reason": answer.reason})
        elif answer.verdict is Verdict.PARK:
            self._park(delivery, answer.reason)
        else:
            self._try_later(delivery, answer.reason, now)

    def _park(self, delivery: Delivery, reason: str) -> None:
        self._store.deliveries.park(delivery, error=reason, now=self._clock())
        about = {"study": delivery.study_uid, "role": delivery.role.value, "reason": reason}
        log.error("delivery parked: a person must look", extra=about)

    def _try_later(self, delivery: Delivery, reason: str, now: Now) -> None:
        rules = self._config.results
        if delivery.attempts >= rules.max_attempts:
            self._park(delivery, f"given up after {delivery.attempts} tries: {reason}")
            return
        wait_s = back_off_s(delivery.attempts, delivery.sop_uid, rules)
        later = now.utc + timedelta(seconds=wait_s)
        self._store.deliveries.retry(delivery, error=reason, not_before=later, now=self._clock())
        about = {"study": delivery.study_uid, "role": delivery.role.value, "reason": reason}
        log.warning("delivery will be tried again", extra=about | {"attempt": delivery.attempts, "wait_s": wait_s})

    # -- the PACS as a whole --------------------------------------------------------------------------------------

    def _close_gate(self, error: DeliveryError, unsent: Sequence[Delivery], now: Now) -> None:
        """Nothing is tried until the gate opens. A PACS that will not have us at all needs a person, who is told on
        the board; it is no fault of any object, so none is parked, and delivery goes on once that is mended."""
        kind = "pacs_rejects_us" if error.permanent else "pacs_unreachable"
        self._pacs_failures += 1
        wait_s = min(back_off_s(self._pacs_failures, str(self._config.pacs), self._config.results), PROBE_LONGEST_S)
        # From the end of the try, not from its beginning: a PACS that answers nothing takes its whole time-out.
        self._gate_opens_mono_s = max(now.mono_s, self._clock().mono_s) + wait_s
        with self._store.atomic():
            if kind != self._gate_closed_by:
                self._store.events.add(kind, self._clock(), detail={"error": str(error)})
            self._store.deliveries.set_refusal(str(error) if error.permanent else None)
            for delivery in unsent:
                self._store.deliveries.put_back(delivery.delivery_id, error=str(error))
        self._gate_closed_by = kind
        log.warning("no association with the PACS", extra={"reason": str(error), "wait_s": wait_s})

    def _open_gate(self) -> None:
        if self._pacs_failures:
            self._store.events.add("pacs_reachable", self._clock(), detail={"failures": self._pacs_failures})
            log.info("the PACS answers again", extra={"failures": self._pacs_failures})
        self._pacs_failures = 0
        self._gate_closed_by = ""
        self._store.deliveries.set_refusal(None)

    # -- reading back ---------------------------------------------------------------------------------------------

    def _fresh(self, delivery: Delivery) -> Delivery:
        found = self._store.deliveries.by_sop_uid(delivery.sop_uid)
        assert found is not None
        return found

    def _in_hand(self, batch: Sequence[Delivery]) -> list[Delivery]:
        """Those of the batch that are still to be sent; a new revision may have superseded some meanwhile."""
        return [fresh for d in batch if (fresh := self._fresh(d)).state is DeliveryState.SENDING]


def run(config: Config, connection: Connection) -> None:
    """The child process: deliver until the supervisor asks for a stop, then finish the object in hand."""
    logs.set_up(config.log.level, json_lines=config.log.json_lines)
    lifeline = Lifeline(connection)
    with Store(config.database) as store:
        spool = Spool(config.spool, min_free_mb=config.storage.min_free_mb)
        outbox = Outbox(config, store, spool, stopping=lifeline.draining.is_set)
        outbox.recover(clock.now())
        lifeline.ready()
        while not lifeline.draining.is_set():
            if not outbox.step(clock.now()):
                lifeline.draining.wait(TICK_S)
