"""kill -9 of any process while studies arrive: nothing that was answered with Success is missing afterwards."""

from __future__ import annotations

import gc
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from pydicom import dcmread
from pynetdicom import AE, build_context
from pynetdicom.association import Association

from tests.daemon import Daemon, configured, running_daemon
from training.phantom.study import WrittenStudy, small_study

# A listener that is killed between our look at its port and the association refuses the association, and pynetdicom
# leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

STUDIES = 4


@dataclass
class Sender:
    """Sends studies one after the other and remembers what was answered with Success, whatever happens meanwhile."""

    port: int
    studies: list[WrittenStudy]
    confirmed: set[str] = field(default_factory=set)

    def run(self, limit_s: float = 150.0) -> None:
        """Until every instance was confirmed: what failed is sent again, as a PACS would."""
        deadline = time.monotonic() + limit_s
        waiting = [path for study in self.studies for path in study.paths]
        while waiting and time.monotonic() < deadline:
            if not self._is_open():
                time.sleep(0.2)
                continue
            association = self._associate()
            raw = association.dul.socket.socket if association.is_established else None
            while waiting and association.is_established:
                dataset = dcmread(waiting[0])
                status = association.send_c_store(dataset)
                if not status or status.Status != 0x0000:
                    break
                self.confirmed.add(str(dataset.SOPInstanceUID))
                waiting.pop(0)
            if association.is_established:
                association.release()
            if raw is not None:
                raw.close()  # which pynetdicom leaves to the garbage collector where the peer was killed
        gc.collect()  # here, where what pynetdicom leaves behind of refused connections is forgiven
        assert not waiting, f"{len(waiting)} instances were never taken"

    def _is_open(self) -> bool:
        """Asked first, because pynetdicom leaves the socket of a refused connection to the garbage collector."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def _associate(self) -> Association:
        ae = AE(ae_title="PACS")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
        context = build_context("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
        return ae.associate("127.0.0.1", self.port, contexts=[context], ae_title="TRIAGED")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[WrittenStudy]:
    folder = tmp_path_factory.mktemp("studies")
    return [small_study(folder / str(seed), seed=seed, right=0.1 * seed) for seed in range(1, STUDIES + 1)]


def _held(daemon: Daemon) -> set[str]:
    return {path.stem for path in daemon.config.spool.rglob("*.dcm")}


@pytest.mark.parametrize("victim", [0, 1], ids=["one child", "the other child"])
def test_a_killed_child_loses_nothing(victim: int, studies: list[WrittenStudy], tmp_path: Path) -> None:
    port = _fixed_port()
    with running_daemon(tmp_path, {"dicom": {"port": port}, "": {"mode": "shadow"}}) as daemon:
        sender = Sender(daemon.dicom_port, studies)
        thread = threading.Thread(target=sender.run)
        thread.start()
        for _ in range(3):
            time.sleep(1.0)
            children = sorted(daemon.processes().values(), key=lambda p: p.create_time())
            children[victim % len(children)].kill()
        thread.join()
        daemon.wait_until_decided(*(s.study_uid for s in studies))
        assert sender.confirmed == _held(daemon)


def test_a_killed_supervisor_leaves_nothing_behind_and_is_taken_up_again(
    studies: list[WrittenStudy], tmp_path: Path
) -> None:
    daemon = configured(tmp_path, {"dicom": {"port": _fixed_port()}, "": {"mode": "shadow"}})
    daemon.start()
    port = daemon.dicom_port
    sender = Sender(daemon.dicom_port, studies)
    thread = threading.Thread(target=sender.run)
    thread.start()
    time.sleep(1.5)
    children = list(daemon.processes().values())
    assert children
    daemon.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, "a child outlived its supervisor"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    daemon.start()
    try:
        thread.join()
        daemon.wait_until_decided(*(s.study_uid for s in studies))
        assert sender.confirmed == _held(daemon)
    finally:
        assert daemon.stop() == 0


def test_sigterm_drains_and_exits_0(studies: list[WrittenStudy], tmp_path: Path) -> None:
    with running_daemon(tmp_path, {"": {"mode": "shadow"}}) as daemon:
        Sender(daemon.dicom_port, studies[:1]).run()
        assert daemon.stop() == 0
        assert not (daemon.config.storage.path / "daemon.json").exists()


def _fixed_port() -> int:
    """A restarted daemon must answer where the sender knows it."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
