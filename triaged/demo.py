"""`triaged demo`: the whole thing without a person, from synthetic studies to results in a PACS."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from training.phantom.demo import STAT_DESCRIPTION, DemoStudy, demonstration_studies
from triaged.clock import now
from triaged.config import Config, parse
from triaged.demo_pacs import DemoPacs, PacsKind, demo_pacs, send_files
from triaged.errors import TriagedError
from triaged.records import Delivery, DeliveryState, Study
from triaged.runtime import Runtime, read_runtime
from triaged.store import Store
from triaged.worklist.board import item_json, read_board

START_LIMIT_S = 120.0
ANALYSIS_LIMIT_S = 600.0
DELIVERY_LIMIT_S = 180.0
POLL_S = 0.3
ARRIVED = {DeliveryState.SENT, DeliveryState.CONFIRMED}

CONFIGURATION = """
mode = "live"
installation = "test"
[dicom]
port = 0
[pacs]
ae_title = "{pacs_ae}"
host = "127.0.0.1"
port = {pacs_port}
[storage]
path = "{storage}"
min_free_mb = 256
[assembly]
quiet_s = 1.0
idle_s = 1.0
[analysis]
accept_research_weights = true
[worklist]
policy = "joint"
[[worklist.priority]]
priority = "STAT"
tag = "StudyDescription"
equals = "{stat}"
[results]
publish_quiet_s = 2.0
retry_first_s = 1.0
[web]
port = {web_port}
[log]
level = "WARNING"
"""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the demonstration did: everything as it was sent, scored, delivered, and the order before and after."""

    pacs: str
    sent: list[dict[str, object]]
    before: list[str]  # Study Instance UIDs in the order without AI
    after: list[dict[str, object]]  # the items of the worklist, in reading order
    delivered: list[dict[str, object]]
    complete: bool

    def as_json(self) -> dict[str, object]:
        return {
            "complete": self.complete,
            "synthetic": True,
            "pacs": self.pacs,
            "sent": self.sent,
            "scored": [item for item in self.after if item["state"] == "analysed"],
            "delivered": self.delivered,
            "order_before": self.before,
            "order_after": [item["study_uid"] for item in self.after],
            "worklist": self.after,
        }

    def listed(self) -> list[dict[str, object]]:
        """The worklist's items, in reading order, each with what `sent` says was drawn."""
        drawn = {entry["study_uid"]: entry for entry in self.sent}
        return [item | drawn[item["study_uid"]] for item in self.after]


class Demo:
    """The demonstration's house of cards: set up on entry, taken down on exit."""

    def __init__(
        self,
        *,
        say: Callable[[str], None],
        web_port: int = 8080,
        folder: Path | None = None,
        pacs: PacsKind = PacsKind.AUTO,
        draw: Callable[[Path], Iterable[DemoStudy]] = demonstration_studies,
    ) -> None:
        """`draw` writes the studies below a folder and gives each as it is done, in order of arrival."""
        self._say = say
        self._kind = pacs
        self._draw = draw
        self._web_port = web_port
        self._kept = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        self._pacs: DemoPacs | None = None

    def __enter__(self) -> Self:
        if self._kept is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="triaged-demo-")
        self._folder = self._kept or Path(str(self._temporary and self._temporary.name))
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._daemon is not None:
            self._daemon.terminate()
            try:
                self._daemon.wait(60)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
        if self._pacs is not None:
            self._pacs.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def board_url(self) -> str:
        return f"http://127.0.0.1:{self._runtime.web_port}/"

    def run(self) -> Report:
        """From nothing to every result in the PACS. Raises TriagedError where a part does not come up."""
        pacs = self._pacs = demo_pacs(self._folder / "pacs", self._kind)
        pacs.start()
        self._say(f"PACS: {pacs.name}, AE title {pacs.ae_title}, port {pacs.port}")
        self._serve(pacs)
        self._say(f"triaged: DICOM port {self._runtime.dicom_port}, board {self.board_url}")
        self._say("drawing synthetic studies ...")
        studies: list[DemoStudy] = []
        with Store(self.config.database) as store:
            for study in self._draw(self._folder / "studies"):
                send_files(study.paths, port=pacs.port, called=pacs.ae_title, calling="SCANNER")
                pacs.forward(study.study_uid)
                studies.append(study)
                self._say(f"sent {study.kind}")
            self._wait("analysed", ANALYSIS_LIMIT_S, lambda: self._all_decided(store, studies))
            self._wait("delivered", DELIVERY_LIMIT_S, lambda: self._all_delivered(store, studies))
            return self._report(store, pacs, studies)

    def wait(self) -> None:
        """Until Ctrl-C, or until the daemon ends."""
        assert self._daemon is not None
        try:
            self._daemon.wait()
        except KeyboardInterrupt:
            self._say("ending")

    def _serve(self, pacs: DemoPacs) -> None:
        path = self._folder / "triaged.toml"
        text = CONFIGURATION.format(
            pacs_ae=pacs.ae_title,
            pacs_port=pacs.port,
            storage=self._folder / "triaged",
            stat=STAT_DESCRIPTION,
            web_port=self._web_port,
        )
        path.write_text(text)
        self.config: Config = parse(text)
        self._daemon = subprocess.Popen([sys.executable, "-m", "triaged", "serve", "--config", str(path)])
        self._runtime: Runtime = self._await_runtime()
        pacs.know(self.config.dicom.ae_title, self._runtime.dicom_port)

    def _await_runtime(self) -> Runtime:
        assert self._daemon is not None
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self._daemon.poll() is None:
            runtime = read_runtime(self.config.storage.path)
            if runtime is not None:
                return runtime
            time.sleep(0.1)
        raise TriagedError("the daemon did not start; its log lines above say why")

    def _wait(self, what: str, limit_s: float, done: Callable[[], tuple[int, int]]) -> None:
        deadline = time.monotonic() + limit_s
        said = -1
        while time.monotonic() < deadline:
            count, wanted = done()
            if count != said:
                self._say(f"{what}: {count} of {wanted}")
                said = count
            if count == wanted:
                return
            time.sleep(POLL_S)

    @staticmethod
    def _all_decided(store: Store, sent: list[DemoStudy]) -> tuple[int, int]:
        found = [store.studies.find(study.study_uid) for study in sent]
        return sum(_is_decided(study) for study in found), len(sent)

    @staticmethod
    def _all_delivered(store: Store, sent: list[DemoStudy]) -> tuple[int, int]:
        wanted = _wanted(store, sent)
        return sum(delivery.state in ARRIVED for delivery in wanted), len(wanted)

    def _report(self, store: Store, pacs: DemoPacs, sent: list[DemoStudy]) -> Report:
        items = read_board(store, self.config, now()).items
        held = {study.study_uid: pacs.held(study.study_uid) for study in sent}
        delivered: list[dict[str, object]] = [
            {
                "study_uid": delivery.study_uid,
                "role": delivery.role.value,
                "sop_uid": delivery.sop_uid,
                "state": delivery.state.value,
                "in_pacs": delivery.sop_uid in held[delivery.study_uid],
            }
            for delivery in _wanted(store, sent)
        ]
        decided, _ = self._all_decided(store, sent)
        analysed = sum(item.study.findings is not None for item in items)
        return Report(
            pacs=pacs.name,
            sent=[_sent_json(study) for study in sent],
            before=[item.study.study_uid for item in sorted(items, key=lambda item: item.baseline_position)],
            after=[item_json(item) for item in items],
            delivered=delivered,
            complete=decided == len(sent)
            and len(delivered) == analysed * len(self.config.results.send)
            and all(bool(entry["in_pacs"]) for entry in delivered),
        )


def _is_decided(study: Study | None) -> bool:
    return study is not None and study.state.has_outcome and study.generation == study.examined_generation


def _wanted(store: Store, sent: list[DemoStudy]) -> list[Delivery]:
    every = [delivery for study in sent for delivery in store.deliveries.of(study.study_uid)]
    return [delivery for delivery in every if delivery.state is not DeliveryState.SUPERSEDED]


def _sent_json(study: DemoStudy) -> dict[str, object]:
    """What was drawn, so that what was found can be held against it."""
    truth = study.affected_fraction
    return {
        "study_uid": study.study_uid,
        "kind": study.kind,
        "label": study.label or None,
        "images": len(study.paths),
        "expected": list(study.ends),
        "true_affected_percent": None if truth is None else round(100 * truth, 1),
    }
