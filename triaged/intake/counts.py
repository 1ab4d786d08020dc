"""What the PACS says it holds of a study: the optional C-FIND that assembly listens to (PS3.4 annex C).

A thread of its own asks, so that a silent PACS never holds up the sweep; a study is asked about only while it is
coming in.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from triaged.clock import Now
from triaged.config import Pacs
from triaged.intake.assembly import ASK_AGAIN_S, ExpectedCount
from triaged.store import Store

log = logging.getLogger(__name__)

_PENDING = {0xFF00, 0xFF01}
_FORGET_S = 24 * 3600.0  # nothing comes in for longer than this, whatever the hard timeout


@dataclass
class _Known:
    """The last answers about one study."""

    asked_mono_s: float
    images: int | None = None
    is_stable: bool = False
    is_being_asked: bool = False


def count_at_pacs(pacs: Pacs, our_ae_title: str, study_uid: str) -> int | None:
    """CT images of the study by C-FIND, summed over its series; None where the PACS does not say.

    Only CT counts: an archive holds reports and results, ours among them, that nobody forwards to us.
    """
    ae = AE(ae_title=our_ae_title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = pacs.timeout_s
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = ae.associate(pacs.host, pacs.port, ae_title=pacs.ae_title)
    if not association.is_established:
        return None
    try:
        query = Dataset()
        query.QueryRetrieveLevel = "SERIES"
        query.StudyInstanceUID = study_uid
        query.SeriesInstanceUID = ""
        query.Modality = "CT"
        query.NumberOfSeriesRelatedInstances = ""
        total: int | None = None
        for status, found in association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind):
            if status and status.Status in _PENDING and found is not None:
                if found.get("Modality") != "CT":
                    continue
                number = found.get("NumberOfSeriesRelatedInstances")
                if number is None:
                    return None  # an optional attribute (PS3.4 C.6.2.1): this PACS does not count
                total = (total or 0) + int(number)
            elif not status or status.Status != 0x0000:
                return None
        return total
    finally:
        association.release()


class Counts:
    """Asks in the background; `expected` gives what is known so far, and sees to it that it is asked again."""

    def __init__(self, store: Store, pacs: Pacs, our_ae_title: str) -> None:
        self._store = store
        self._pacs = pacs
        self._our_ae_title = our_ae_title
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._to_ask: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._ask, name="counts", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask no more; a question under way is answered or times out first."""
        self._to_ask.put(None)
        self._thread.join()

    def expected(self, study_uid: str, now: Now) -> ExpectedCount | None:
        """What the PACS said last, against what is here; None where it was not heard. Never waits."""
        with self._lock:
            self._known = {k: v for k, v in self._known.items() if now.mono_s - v.asked_mono_s < _FORGET_S}
            known = self._known.setdefault(study_uid, _Known(asked_mono_s=-math.inf))
            if not known.is_being_asked and now.mono_s - known.asked_mono_s >= ASK_AGAIN_S:
                known.asked_mono_s, known.is_being_asked = now.mono_s, True
                self._to_ask.put(study_uid)
            if known.images is None:
                return None
            here = sum(s.instance_count for s in self._store.studies.series(study_uid) if s.modality == "CT")
            return ExpectedCount(in_pacs=known.images, here=here, is_stable=known.is_stable)

    def _ask(self) -> None:
        while (study_uid := self._to_ask.get()) is not None:
            images = None
            try:
                images = count_at_pacs(self._pacs, self._our_ae_title, study_uid)
            except (OSError, RuntimeError, ValueError, AttributeError, TypeError) as error:
                log.warning("the PACS could not be asked", extra={"study": study_uid, "error": type(error).__name__})
            with self._lock:
                known = self._known.get(study_uid)
                if known is None:
                    continue
                known.is_being_asked = False
                if images is not None:
                    known.is_stable = known.images == images
                    known.images = images
