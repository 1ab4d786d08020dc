"""pynetdicom, bent where we need it: data sets go straight to files, and one desk answers for every association.

pynetdicom can receive to disk too, by switches that hold for the whole process, into the system's temporary folder,
with a full disk ending the association instead of answering 0xA700, and with leftovers after an abort. These few
subclasses do the same per listener, and answer.
"""

from __future__ import annotations

import contextlib
import io
import queue
import select
import socket
import time
import uuid
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import create_file_meta
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from triaged.errors import UnsafeUID
from triaged.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from triaged.intake.headers import quietly
from triaged.intake.spool import Spool, safe_uid

WRITE_BUFFER = 1 << 20  # bytes; a CT slice in one or two writes
# A PDU larger than this is not DICOM traffic but a broken or hostile peer: senders use 16 KiB to 1 MiB, and pieces of
# a PDU are held in memory.
LARGEST_PDU = 64 << 20
# pynetdicom looks a thousand times a second, in two threads per association, whether something came: ten associations
# that a router keeps open all day would cost half a processor. We wait instead, and are woken by what comes. What is
# *not* waited for (an answer to send, the end of an association) is noticed this late:
IDLE_WAIT_S = 0.02  # nothing is being handled
BUSY_WAIT_S = 0.001  # an answer will have to go out any moment
PDU_S = 30.0  # the longest pause within a PDU: it is sent in one go, and TCP retransmits within seconds


class Answer(NamedTuple):
    """Status of a C-STORE response (PS3.4 B.2.3) and, where it is no Success, why, in 64 characters."""

    status: int
    comment: str = ""


class Desk(Protocol):
    """Who decides what happens to what an association brings."""

    spool: Spool

    def welcomes(self, address: str) -> bool: ...

    def store(self, association: StoreAssociation, request: C_STORE, incoming: Incoming) -> Answer: ...

    def closed(self, association: StoreAssociation) -> None: ...


class Incoming(io.BytesIO):
    """One data set on its way to a file in the spool's temporary folder.

    It is a BytesIO because pynetdicom asks for one; nothing is held in memory. What goes wrong on the way is kept in
    `problem` and answered when the data set has come to its end: an association is not torn down for a full disk.
    """

    def __init__(self, association: StoreAssociation, message: DIMSEMessage) -> None:
        super().__init__()
        self._association = association
        self._message = message
        self._file: BinaryIO | None = None
        self.path: Path | None = None
        self.problem: OSError | UnsafeUID | None = None
        self.full = False  # refused before the first byte: too little room
        self.size = 0

    def write(self, data: Any) -> int:
        if self.problem is None and not self.full:
            try:
                self._append(data)
            except (OSError, UnsafeUID) as error:
                self.problem = error
        return len(data)

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._open()
        if self._file is not None:
            self._file.write(data)
            self.size += len(data)

    def _open(self) -> None:
        command = self._message.command_set
        sop_uid = safe_uid(str(command.get("AffectedSOPInstanceUID") or ""))
        spool = self._association.desk.spool
        if not spool.has_room():
            self.full = True
            return
        context = self._association._accepted_cx[cast(int, self._message.context_id)]
        path = spool.new_temporary()
        file = open(path, "xb", buffering=WRITE_BUFFER)  # noqa: SIM115 - closed by finish() or discard()
        self._file, self.path = file, path
        self._association.expected.add(self)
        file.write(b"\0" * 128 + b"DICM")
        with quietly():
            meta = create_file_meta(
                sop_class_uid=command.AffectedSOPClassUID,
                sop_instance_uid=UID(sop_uid),
                transfer_syntax=context.transfer_syntax[0],
                implementation_uid=IMPLEMENTATION_CLASS_UID,
                implementation_version=IMPLEMENTATION_VERSION_NAME,
            )
            write_file_meta_info(cast(Any, file), meta)

    def finish(self) -> Path | None:
        """Close the file; its path, or None where no data set came. Raises OSError, UnsafeUID: why it failed."""
        if self.problem is not None:
            raise self.problem
        if self._file is not None:
            self._file.close()
        return self.path

    def discard(self) -> None:
        """Remove the file, wherever it still lies in the temporary folder."""
        # What cannot be flushed is not wanted any more; what cannot be removed now is a leftover for start-up.
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
        with contextlib.suppress(OSError):
            if self.path is not None:
                self.path.unlink(missing_ok=True)
        self._association.expected.discard(self)


class _Messages(DIMSEServiceProvider):
    """Gives every message a file to put its data set into. `received` counts the whole ones, on the reading thread."""

    received = 0

    def receive_primitive(self, primitive: Any) -> None:
        if self.message is None:
            self.message = DIMSEMessage()
            self.message.data_set = cast(StoreAssociation, self.assoc).expect(self.message)
        super().receive_primitive(primitive)
        if cast(Any, self).message is None:  # it was the last piece of one
            self.received += 1

    def get_msg(self, block: bool = False) -> Any:
        """The next message; without `block`, (None, None) where none comes within IDLE_WAIT_S."""
        if block:
            return super().get_msg(block)
        try:
            return self.msg_queue.get(timeout=IDLE_WAIT_S)
        except queue.Empty:
            return None, None


class StoreAssociation(Association):
    """An association that hands C-STORE requests to the desk, and tells it when it is over, however it ends."""

    desk: Desk

    def __init__(self, ae: Any, desk: Desk) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self.desk = desk
        self.key = uuid.uuid4().hex
        self.dimse = _Messages(self)
        self.dul._run_loop_delay = 0.0  # _Socket.ready waits
        self.served = 0  # requests that were handled, counted on the handling thread
        self.expected: set[Incoming] = set()  # one, unless the peer does not wait for its answers

    def expect(self, message: DIMSEMessage) -> Incoming:
        return Incoming(self, message)

    @property
    def has_spoken(self) -> bool:
        """Whether the A-ASSOCIATE-RQ came: until then it is a TCP connection, and may stay one."""
        return self.requestor.primitive is not None

    @property
    def asked(self) -> A_ASSOCIATE:
        """What the peer asked for. Only after the A-ASSOCIATE-RQ came."""
        return cast(A_ASSOCIATE, self.requestor.primitive)

    def run_reactor(self) -> None:
        try:
            super().run_reactor()
        finally:
            for incoming in list(self.expected):
                incoming.discard()  # what the peer broke off in the middle of an object, or never waited for
            self.desk.closed(self)

    @property
    def is_busy(self) -> bool:
        """Whether something may have to be sent any moment."""
        messages = cast(_Messages, self.dimse)
        return not self.is_established or messages.received != self.served or not self.dul.to_provider_queue.empty()

    def _serve_request(self, msg: Any, context_id: int) -> None:
        try:
            if isinstance(msg, C_STORE) and context_id in self._accepted_cx:
                self._serve_store(msg, context_id)
            else:
                super()._serve_request(msg, context_id)
        finally:
            self.served += 1

    def _serve_store(self, msg: Any, context_id: int) -> None:
        if not msg.is_valid_request:
            self.abort()  # no instance is named: pynetdicom would say nothing, and the peer would wait
            return
        incoming = cast(Incoming, msg.DataSet)
        try:
            answer = self.desk.store(self, msg, incoming)
        finally:
            incoming.discard()
        if not self.is_established:
            return
        response: Any = C_STORE()
        response.MessageID = msg.MessageID
        response.MessageIDBeingRespondedTo = msg.MessageID
        response.AffectedSOPClassUID = msg.AffectedSOPClassUID
        response.AffectedSOPInstanceUID = msg.AffectedSOPInstanceUID
        response.Status = answer.status
        if answer.comment:
            response.ErrorComment = answer.comment[:64]  # LO
        self.dimse.send_msg(response, context_id)


class _Socket(AssociationSocket):
    """Reads a PDU in as few pieces as the kernel allows, and never one that cannot be meant."""

    def recv(self, nr_bytes: int) -> bytearray:
        if nr_bytes > LARGEST_PDU:
            self._hung_up()
            raise OSError(f"a PDU of {nr_bytes} bytes")
        connection = cast(socket.socket, self.socket)
        buffer = bytearray(nr_bytes)
        view, read = memoryview(buffer), 0
        try:
            while read < nr_bytes and (n := connection.recv_into(view[read:])):
                read += n
        finally:
            view.release()
            if read < nr_bytes:
                self._hung_up()
        del buffer[read:]
        return buffer

    @property
    def ready(self) -> bool:
        """Whether a PDU is there, or comes within a moment. After an abort or a reject nothing more is of interest.

        pynetdicom would read on then, and block where what comes is no whole PDU: hang up at once.
        """
        connection: socket.socket | None = self.socket
        if self.assoc.dul.state_machine.current_state != "Sta13":  # PS3.8 table 9-5: awaiting the close
            self._wait(connection, BUSY_WAIT_S if cast(StoreAssociation, self.assoc).is_busy else IDLE_WAIT_S)
            return bool(super().ready)
        if connection is not None:
            with contextlib.suppress(OSError):
                # Bytes left unread would turn the close into a reset, and the peer might never see why.
                connection.setblocking(False)
                while connection.recv(1 << 16):
                    pass
        return False

    def _wait(self, connection: socket.socket | None, wait_s: float) -> None:
        """Until something comes, or that long."""
        if connection is None or not self._is_connected:
            time.sleep(BUSY_WAIT_S)  # until the association has noticed
            return
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile, which is found out next
            select.select([connection], [], [], wait_s)

    def _shutdown_socket(self) -> None:
        """Close, also where the shutdown fails because the peer was faster."""
        connection: socket.socket | None = self.socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def close(self) -> None:
        super().close()
        self._hung_up()

    def _hung_up(self) -> None:
        """End the wait for an A-ASSOCIATE-RQ that cannot come any more: scanners of ports would fill every place."""
        if self.assoc.requestor.primitive is None:
            self.assoc.dul.to_user_queue.put(cast(Any, None))  # what pynetdicom takes for its own timeout


class Handler(RequestHandler):
    """One connection -> one StoreAssociation."""

    server: StoreServer

    def _create_association(self) -> StoreAssociation:
        server = self.server
        # A peer that stops in the middle of a PDU must not hold a thread for ever.
        self.request.settimeout(PDU_S)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        association = StoreAssociation(self.ae, server.desk)
        association._server = server
        association.name = f"AcceptorThread-{association.key[:8]}"  # pynetdicom finds its threads by this name
        association.set_socket(_Socket(association, client_socket=self.request))
        ours = association.acceptor
        ours.maximum_length = self.ae.maximum_pdu_size
        ours.ae_title = server.ae_title
        ours.address_info = self.local
        ours.implementation_class_uid = self.ae.implementation_class_uid
        ours.implementation_version_name = self.ae.implementation_version_name
        ours.supported_contexts = server.contexts
        association.requestor.address_info = self.remote
        handlers: dict[Any, Any] = server._handlers
        for event, bound in handlers.items():
            for handler, args in [bound] if event.is_intervention else bound:
                association.bind(event, handler, args)
        return association


class StoreServer(ThreadedAssociationServer):
    """Listens. `desk` must be set before the first connection is served."""

    request_queue_size = 128  # twenty routers may knock at once
    daemon_threads = True
    desk: Desk

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether a connection is worth a thread: asked before the peer has said a word."""
        return self.desk.welcomes(str(client_address[0]))
