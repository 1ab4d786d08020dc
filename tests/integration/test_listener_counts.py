"""The optional count by C-FIND, asked of a PACS that answers on a real socket."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from tests.support import eventually, free_port
from tests.unit.intake.making import STUDY, config_for, data_set, listening, send
from triaged.clock import now
from triaged.config import Pacs
from triaged.intake import counts
from triaged.intake.assembly import ExpectedCount
from triaged.intake.counts import Counts, count_at_pacs
from triaged.intake.sweep import sweep
from triaged.records import StudyState

# pynetdicom's own client and server, the peers here, leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"


@pytest.fixture(autouse=True)
def _no_socket_left_to_the_next_test() -> Iterator[None]:
    yield
    gc.collect()


@contextmanager
def pacs_with(series: list[tuple[str, int | None]]) -> Iterator[Pacs]:
    """A PACS that holds these series: (modality, instances; None where it does not count)."""

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        assert event.identifier.QueryRetrieveLevel == "SERIES"
        for n, (modality, instances) in enumerate(series):
            found = Dataset()
            found.StudyInstanceUID = event.identifier.StudyInstanceUID
            found.SeriesInstanceUID = f"{STUDY}.{n}"
            found.Modality = modality
            if instances is not None:
                found.NumberOfSeriesRelatedInstances = instances
            yield 0xFF00, found
        yield 0x0000, None

    ae = AE(ae_title="PACS")
    ae.add_supported_context(STUDY_ROOT_FIND)
    port = free_port()
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_FIND, find)])
    try:
        yield Pacs(ae_title="PACS", host="127.0.0.1", port=port, timeout_s=5.0)
    finally:
        server.shutdown()


def test_ct_images_are_counted_and_nothing_else() -> None:
    with pacs_with([("CT", 60), ("CT", 2), ("SEG", 1), ("SR", 3)]) as pacs:
        assert count_at_pacs(pacs, "TRIAGED", STUDY) == 62


def test_a_pacs_that_does_not_count_says_nothing() -> None:
    with pacs_with([("CT", None)]) as pacs:
        assert count_at_pacs(pacs, "TRIAGED", STUDY) is None
    with pacs_with([]) as pacs:
        assert count_at_pacs(pacs, "TRIAGED", STUDY) is None


def test_a_pacs_that_is_not_there_says_nothing() -> None:
    assert count_at_pacs(Pacs(ae_title="PACS", host="127.0.0.1", port=free_port(), timeout_s=2.0), "T", STUDY) is None


def test_missing_images_prolong_the_wait_and_their_arrival_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "ASK_AGAIN_S", 0.05)
    quick = "[assembly]\nquiet_s = 0.1\nidle_s = 0.1\nhard_timeout_s = 60.0\n"
    with listening(config_for(tmp_path, quick)) as running, pacs_with([("CT", 2)]) as pacs:
        asked = Counts(running.store, pacs, "TRIAGED")
        send(running.port, data_set(1))

        def state_after(seconds: float) -> StudyState:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                sweep(running.store, running.config.assembly, now(), asked.expected)
                if running.store.studies.get(STUDY).state is StudyState.READY:
                    break
                time.sleep(0.05)
            return running.store.studies.get(STUDY).state

        eventually(lambda: asked.expected(STUDY, now()) is not None)
        assert state_after(1.0) is StudyState.RECEIVING
        send(running.port, data_set(2))
        assert state_after(5.0) is StudyState.READY
        assert asked.expected(STUDY, now()) == ExpectedCount(in_pacs=2, here=2, is_stable=True)
        asked.close()
