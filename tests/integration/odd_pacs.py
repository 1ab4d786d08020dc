"""A PACS on a real socket that answers what a test tells it to, and remembers what it was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import AE, evt

from triaged.records import Role

SOP_CLASSES = {
    Role.SEG: UID(SegmentationStorage),
    Role.SR: UID(Comprehensive3DSRStorage),
    Role.PICTURE: UID(SecondaryCaptureImageStorage),
}
ABORT = -1  # as a status: hang up instead of answering


@dataclass
class OddPacs:
    """`answers` are used up per role, first to last; without any, Success. `received` is in order of arrival."""

    answers: dict[Role, list[int]] = field(default_factory=dict)
    before_answer: Callable[[str], None] = lambda sop_uid: None
    received: list[tuple[str, Role, bytes]] = field(default_factory=list)  # SOP Instance UID, role, data set
    studies: list[str] = field(default_factory=list)
    associations: int = 0
    port: int = 0
    _lock: Lock = field(default_factory=Lock)

    def on_store(self, event: evt.Event) -> int:
        sop_uid = str(event.request.AffectedSOPInstanceUID)
        role = next(r for r, uid in SOP_CLASSES.items() if uid == event.request.AffectedSOPClassUID)
        with self._lock:
            self.received.append((sop_uid, role, event.request.DataSet.getvalue()))
            self.studies.append(str(event.dataset.StudyInstanceUID))
            left = self.answers.get(role, [])
            status = left.pop(0) if left else 0x0000
        self.before_answer(sop_uid)
        if status == ABORT:
            event.assoc.abort()
            return 0x0110
        return status

    def on_accepted(self, event: evt.Event) -> None:
        self.associations += 1

    def of(self, role: Role) -> list[bytes]:
        return [content for _, r, content in self.received if r is role]


@contextmanager
def odd_pacs(
    pacs: OddPacs | None = None,
    *,
    port: int = 0,
    roles: Sequence[Role] = tuple(Role),
    syntaxes: Sequence[str] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
    calling_ae_titles: Sequence[str] = (),
) -> Iterator[OddPacs]:
    """The PACS, listening. It accepts the SOP classes of `roles` and, where named, these calling AE titles only."""
    pacs = pacs or OddPacs()
    ae = AE(ae_title="ORTHANC")
    for role in roles:
        ae.add_supported_context(SOP_CLASSES[role], list(syntaxes))
    ae.add_supported_context("1.2.840.10008.1.1")  # Verification: an AE without any context cannot listen
    ae.require_calling_aet = list(calling_ae_titles)
    handlers = [(evt.EVT_C_STORE, pacs.on_store), (evt.EVT_ACCEPTED, pacs.on_accepted)]
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    pacs.port = server.server_address[1]
    try:
        yield pacs
    finally:
        server.shutdown()
