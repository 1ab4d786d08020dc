"""The C-ECHO and C-STORE SCP: who may talk to us, what becomes of each object, and an orderly end.

An object is answered with Success when its bytes, its name and the row of its study and series are on disk.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self, cast

from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE

from triaged import logs
from triaged.clock import now
from triaged.config import Config
from triaged.errors import StorageError, UnsafeUID
from triaged.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from triaged.intake.arrivals import Arrivals, Sender
from triaged.intake.headers import Unidentified, read_headers
from triaged.intake.negotiation import accepted_contexts, narrow
from triaged.intake.reconcile import reconcile
from triaged.intake.selection import may_be_chosen
from triaged.intake.spool import Kept, Spool
from triaged.intake.wire import (
    Answer,
    Handler,
    Incoming,
    StoreAssociation,
    StoreServer,
)
from triaged.lifeline import Lifeline
from triaged.records import InstanceHeader, StudyHeader
from triaged.store import Store

log = logging.getLogger(__name__)

FLUSH_S = 0.5  # counts reach the database within a second
# A router keeps an association open all day and says nothing for minutes; one that says nothing for an hour is gone.
IDLE_ASSOCIATION_S = 3600.0
NEGOTIATION_S = 30.0  # between the TCP connection and the A-ASSOCIATE-RQ
# Connections that one address may hold open without a word. A router opens one per association, and speaks at once.
SILENT_PER_ADDRESS = 64
DRAIN_S = 10.0  # an open association may finish its study; more would hold up a restart

# PS3.4 table B.2-1
SUCCESS = Answer(0x0000)
NO_ROOM = Answer(0xA700, "not enough free disk space")
# PS3.8 table 9-21: result, source, diagnostic
NOT_THIS_CALLING_AE = (1, 1, 3)
NOT_THIS_CALLED_AE = (1, 1, 7)
TOO_MANY = (2, 3, 2)  # rejected-transient, local-limit-exceeded: the sender comes back


@dataclass
class _Count:
    """What the log says when an association is over."""

    began: float
    kept: int = 0
    duplicates: int = 0
    refused: int = 0
    size: int = 0


class Listener:
    """The server and its desk. Opened on construction; `close` ends it in order."""

    def __init__(self, config: Config, store: Store, spool: Spool) -> None:
        """Bind the port and begin to serve. Raises OSError where the address cannot be bound."""
        self.spool = spool
        self._config = config
        self._store = store
        self._arrivals = Arrivals(store, config)
        self._counts: dict[str, _Count] = {}
        self._over = threading.Event()
        self._ae = _application_entity(config)
        self._server = self._serve()
        self.port: int = self._server.server_address[1]
        self._flusher = threading.Thread(target=self._flush_regularly, name="flusher", daemon=True)
        self._flusher.start()

    def _serve(self) -> StoreServer:
        dicom = self._config.dicom
        server: StoreServer = self._ae.make_server(
            (dicom.host, dicom.port),
            ae_title=dicom.ae_title,
            contexts=accepted_contexts(()),
            evt_handlers=[(evt.EVT_REQUESTED, self._admit)],
            server_class=StoreServer,
            request_handler=Handler,
        )
        server.desk = self
        self._ae._servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="accept", daemon=True).start()
        return server

    # -- who may talk to us ---------------------------------------------------------------------------------------

    def welcomes(self, address: str) -> bool:
        """Whether a new connection from there is served at all; else it is closed, and costs nobody a place."""
        if not self._config.dicom.admits_address(address):
            log.warning("connection closed: no rule admits its address", extra={"address": address})
            return False
        silent = [a for a in self._associations() if not a.has_spoken and a.requestor.address == address]
        if len(silent) >= SILENT_PER_ADDRESS:
            log.warning("connection closed: others of its address say nothing", extra={"address": address})
            return False
        return True

    def _in_hand(self) -> int:
        """Associations that were asked for and not rejected, the one in question included."""
        return sum(a.has_spoken and not a.is_rejected for a in self._associations())

    def _associations(self) -> list[StoreAssociation]:
        return [a for a in self._ae.active_associations if isinstance(a, StoreAssociation)]

    def _admit(self, event: evt.Event) -> None:
        """Reject the association, or say what it may send (PS3.8 section 9.3.4)."""
        association = cast(StoreAssociation, event.assoc)
        asked = association.asked
        called, calling = asked.called_ae_title.strip(), asked.calling_ae_title.strip()
        address = association.requestor.address
        self._counts[association.key] = _Count(began=time.monotonic())
        refusal = None
        if not self._config.dicom.admits(address, calling):
            refusal = NOT_THIS_CALLING_AE
        elif called not in self._config.dicom.called_ae_titles:
            refusal = NOT_THIS_CALLED_AE
        elif self._in_hand() > self._config.dicom.max_associations:
            refusal = TOO_MANY
        if refusal is None:
            narrow(asked.presentation_context_definition_list)
            association.acceptor.supported_contexts = accepted_contexts(asked.presentation_context_definition_list)
            return
        log.warning("association rejected", extra={"calling": calling, "called": called, "address": address})
        association.acse.send_reject(*refusal)
        association.kill()

    # -- what becomes of an object ----------------------------------------------------------------------------------

    def store(self, association: StoreAssociation, request: C_STORE, incoming: Incoming) -> Answer:
        """Status of one C-STORE. The one place of intake that catches everything: the association's edge."""
        try:
            answer, kept = self._store_one(association, request, incoming)
        except (UnsafeUID, Unidentified) as error:
            answer, kept = Answer(0xC000, f"cannot understand: {error}"), None
        except (OSError, sqlite3.Error, StorageError) as error:
            answer, kept = Answer(0xA700, f"cannot be stored now ({type(error).__name__})"), None
        except Exception as error:  # noqa: BLE001 - the association's edge: the peer is answered, others go on
            where = "".join(traceback.format_tb(error.__traceback__))  # never the message: it may quote a value
            log.error("an object could not be handled", extra={"error": type(error).__name__, "where": where})
            answer, kept = Answer(0xC001, f"cannot process ({type(error).__name__})"), None
        self._count(association, incoming, answer, kept)
        return answer

    def _store_one(
        self, association: StoreAssociation, request: C_STORE, incoming: Incoming
    ) -> tuple[Answer, Kept | None]:
        path = incoming.finish()
        if incoming.full:
            return NO_ROOM, None
        if path is None:
            return Answer(0xC000, "cannot understand: no data set came"), None
        study, instance = read_headers(path)
        mismatch = _mismatch(request, instance)
        if mismatch:
            return Answer(0xA900, mismatch), None
        if self._is_ours(instance):
            return SUCCESS, None
        kept = self.spool.keep(path, instance)
        self._write_down(association, study, instance, kept)
        return SUCCESS, kept

    def _is_ours(self, instance: InstanceHeader) -> bool:
        """A result of ours on its way back: the PACS has it. It is evidence of delivery, and no arrival."""
        if may_be_chosen(instance.sop_class_uid):
            return False
        delivery = self._store.deliveries.by_sop_uid(instance.sop_uid)
        if delivery is None:
            return False
        self._store.deliveries.confirmed(delivery, how="returned", now=now())
        return True

    def _write_down(
        self, association: StoreAssociation, study: StudyHeader, instance: InstanceHeader, kept: Kept
    ) -> None:
        moment = now()
        asked = association.asked
        sender = Sender(
            key=association.key, calling_ae=asked.calling_ae_title.strip(), called_ae=asked.called_ae_title.strip()
        )
        path = self.spool.path(instance)
        self._arrivals.note(sender, study, instance, kept, path, moment)
        if kept is Kept.VERSION:
            self._arrivals.conflict(instance, path, moment)
            log.warning("conflicting content under one SOP Instance UID", extra={"study": instance.study_uid})

    # -- the end of an association ------------------------------------------------------------------------------------

    def closed(self, association: StoreAssociation) -> None:
        """Write what is not yet written, and one line in the log."""
        self._arrivals.closed(association.key, now())
        count = self._counts.pop(association.key, None)
        if count is None or association.is_rejected:
            return
        log.info(
            "association over",
            extra={
                "calling": association.requestor.ae_title.strip(),
                "kept": count.kept,
                "duplicates": count.duplicates,
                "refused": count.refused,
                "bytes": count.size,
                "seconds": round(time.monotonic() - count.began, 3),
                "how": "released" if association.is_released else "aborted",
            },
        )

    def _count(self, association: StoreAssociation, incoming: Incoming, answer: Answer, kept: Kept | None) -> None:
        count = self._counts.get(association.key)
        if answer.status:
            log.warning("object refused", extra={"status": f"{answer.status:04X}", "why": answer.comment})
        if count is None:
            return
        count.size += incoming.size
        count.refused += answer.status != 0
        count.kept += kept in {Kept.NEW, Kept.VERSION}
        count.duplicates += kept is Kept.DUPLICATE

    def _flush_regularly(self) -> None:
        while not self._over.wait(FLUSH_S):
            self._arrivals.flush(now())

    # -- the end ----------------------------------------------------------------------------------------------------

    def close(self, drain_s: float = DRAIN_S) -> None:
        """Stop accepting, let open associations finish for `drain_s`, abort the rest, write down what came."""
        if self._over.is_set():
            return
        self._server.shutdown()
        deadline = time.monotonic() + drain_s
        while self._ae.active_associations and time.monotonic() < deadline:
            time.sleep(0.02)
        self._cut_off()
        self._over.set()
        self._flusher.join()
        self._arrivals.flush(now())

    def _cut_off(self) -> None:
        """Abort what is still open; hang up on those that stall so that even an abort would wait for them."""
        cut = self._ae.active_associations
        aborting = [threading.Thread(target=association.abort, daemon=True) for association in cut]
        for thread in aborting:
            thread.start()
        for thread in aborting:
            thread.join(timeout=1.0)
        for association in self._ae.active_associations:
            association.dul.socket._shutdown_socket()
        for association in cut:
            association.join(timeout=5.0)
        if cut:
            log.warning("associations cut off at the end", extra={"associations": len(cut)})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(drain_s=0.0)


def _application_entity(config: Config) -> Any:
    ae = AE(ae_title=config.dicom.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_associations = sys.maxsize  # pynetdicom counts every open connection; we, those that have spoken
    ae.maximum_pdu_size = config.dicom.max_pdu
    ae.acse_timeout = NEGOTIATION_S
    ae.network_timeout = IDLE_ASSOCIATION_S
    ae.dimse_timeout = NEGOTIATION_S
    return ae


def _mismatch(request: C_STORE, instance: InstanceHeader) -> str:
    """Why command and data set do not belong together; empty where they do (PS3.4 B.2.3: 0xA900)."""
    if str(request.AffectedSOPInstanceUID) != instance.sop_uid:
        return "SOP Instance UID of command and data set differ"
    if str(request.AffectedSOPClassUID) != instance.sop_class_uid:
        return "SOP Class UID of command and data set differ"
    return ""


def run(config: Config, connection: Connection) -> None:
    """The listener's process: puts files without rows right, opens the door, says ready with the port it got.

    Ends when the supervisor asks, or dies.
    """
    logs.set_up(config.log.level, json_lines=config.log.json_lines)
    lifeline = Lifeline(connection)
    with Store(config.database) as store:
        spool = Spool(config.spool, min_free_mb=config.storage.min_free_mb)
        reconcile(store, spool, config, now())  # what the listener before us left, if it died
        listener = Listener(config, store, spool)
        lifeline.ready(listener.port)
        lifeline.draining.wait()
        listener.close()
