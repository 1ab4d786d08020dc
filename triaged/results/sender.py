"""Encoded objects -> the PACS: one association for a study's objects, one answer for each of them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from triaged.config import Pacs
from triaged.errors import DeliveryError
from triaged.results.verdict import Verdict, judge

log = logging.getLogger(__name__)

# PS3.8 9.3.4: (source, reason) of an A-ASSOCIATE-RJ, in words that say what to change, and where.
REJECTIONS = {
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title {ours} not recognised: it must be added to the PACS",
    (1, 7): "called AE title {theirs} not recognised: check [pacs] ae_title",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "its limit of associations is reached",
}
PERMANENTLY = 1  # A-ASSOCIATE-RJ result; 2 is "transiently"


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """One encoded object: where its bytes lie and what their digest must be."""

    sop_uid: str
    role: str
    path: Path
    sha256: str

    def sop_class_uid(self) -> UID:
        """From the file meta. Raises DeliveryError where the file is gone or no DICOM."""
        try:
            return UID(read_file_meta_info(self.path).MediaStorageSOPClassUID)
        except (OSError, InvalidDicomError, AttributeError) as error:
            raise DeliveryError(f"the encoded {self.role} cannot be read", permanent=True) from error

    def open(self) -> Dataset:
        """The object, whose elements stay the bytes they are. Raises DeliveryError where they are not those we made."""
        content = self.path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise DeliveryError(f"the encoded {self.role} was changed on disk", permanent=True)
        return dcmread(BytesIO(content))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of one object. `reason` is for people, and holds no identity."""

    sop_uid: str
    verdict: Verdict
    reason: str


class Sender:
    """Talks to one PACS, under one AE title."""

    def __init__(self, pacs: Pacs, ae_title: str) -> None:
        self._pacs = pacs
        self._ae_title = ae_title

    def send(self, parcels: Sequence[Parcel], *, stop: Callable[[], bool] = lambda: False) -> Iterator[Answer]:
        """Answers in order, each as soon as it is known; objects that `stop` kept from being sent have none.

        After an object that ends the association the others get another one, so that one bad object does not hold the
        rest back. Raises DeliveryError where the PACS cannot be spoken to; the objects without an answer were not sent.
        """
        waiting: list[tuple[Parcel, UID]] = []
        for parcel in parcels:
            try:
                waiting.append((parcel, parcel.sop_class_uid()))
            except DeliveryError as error:
                yield Answer(sop_uid=parcel.sop_uid, verdict=Verdict.PARK, reason=str(error))
        while waiting and not stop():
            association = self._associate([sop_class for _, sop_class in waiting])
            if not association.accepted_contexts:
                yield from (_not_accepted(parcel, sop_class) for parcel, sop_class in waiting)
                return
            if not association.is_established:
                raise DeliveryError("the PACS accepted our association and aborted it at once", permanent=False)
            try:
                while waiting and association.is_established and not stop():
                    yield self._store(association, *waiting.pop(0))
            finally:
                if association.is_established:
                    association.release()

    def _associate(self, sop_classes: Sequence[UID]) -> Association:
        """An association that was answered: established, or ended because no presentation context was accepted."""
        ae = AE(ae_title=self._ae_title)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = self._pacs.timeout_s
        association = ae.associate(
            self._pacs.host, self._pacs.port, contexts=_contexts(sop_classes), ae_title=self._pacs.ae_title, max_pdu=0
        )
        if association.accepted_contexts or association.rejected_contexts:
            return association
        if association.is_rejected:
            raise self._rejection(association)
        raise DeliveryError(
            f"the PACS cannot be reached at {self._pacs.host}:{self._pacs.port}: no connection, or no answer to the "
            "association request",
            permanent=False,
        )

    def _rejection(self, association: Association) -> DeliveryError:
        said = association.acceptor.primitive
        assert said is not None
        words = REJECTIONS.get((said.result_source or 0, said.diagnostic or 0), "no reason given")
        words = words.format(ours=self._ae_title, theirs=self._pacs.ae_title)
        permanent = said.result == PERMANENTLY
        how = "permanently" if permanent else "for now"
        return DeliveryError(f"the PACS rejects our association {how}: {words}", permanent=permanent)

    def _store(self, association: Association, parcel: Parcel, sop_class: UID) -> Answer:
        if not any(context.abstract_syntax == sop_class for context in association.accepted_contexts):
            return _not_accepted(parcel, sop_class)
        try:
            dataset = parcel.open()
            status = association.send_c_store(dataset).get("Status")
        except (DeliveryError, OSError) as error:
            reason = str(error) if isinstance(error, DeliveryError) else f"the encoded {parcel.role} is gone"
            return Answer(sop_uid=parcel.sop_uid, verdict=Verdict.PARK, reason=reason)
        except (ValueError, AttributeError):
            return Answer(sop_uid=parcel.sop_uid, verdict=Verdict.PARK, reason=f"the {parcel.role} cannot be encoded")
        except RuntimeError:  # the association ended between two objects
            status = None
        verdict, reason = judge(None if status is None else int(status))
        return Answer(sop_uid=parcel.sop_uid, verdict=verdict, reason=reason)


def _contexts(sop_classes: Sequence[UID]) -> list[PresentationContext]:
    """Two contexts for each SOP class, so that a PACS which takes both syntaxes gets our bytes as they are."""
    return [
        build_context(sop_class, syntax)
        for sop_class in dict.fromkeys(sop_classes)
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    ]


def _not_accepted(parcel: Parcel, sop_class: UID) -> Answer:
    reason = f"the PACS accepts no presentation context for {sop_class.name} ({sop_class})"
    return Answer(sop_uid=parcel.sop_uid, verdict=Verdict.PARK, reason=reason)
