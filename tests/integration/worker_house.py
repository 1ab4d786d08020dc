"""A worker's house: a real store and spool, studies put there as the listener leaves them, and analysts that fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.phantom.study import WrittenStudy
from triaged.analysis.analyst import Analysed, Analyst, Examined
from triaged.analysis.worker import Worker
from triaged.clock import Now, now
from triaged.config import Config, findings_digest, parse
from triaged.intake.headers import read_headers
from triaged.intake.reconcile import reconcile
from triaged.intake.spool import Spool
from triaged.intake.sweep import sweep
from triaged.records import Study
from triaged.store import Store

SECRET = "Mustermann^Erika"


def settings(folder: Path, extra: str = "", *, mode: str = "live") -> Config:
    return parse(
        f"""
        mode = "{mode}"
        [storage]
        path = "{folder / "storage"}"
        min_free_mb = 1
        [pacs]
        ae_title = "PACS"
        host = "127.0.0.1"
        port = 104
        [analysis]
        lungs = "classical-lungs"
        triage = "thresholding"
        {extra}
        """
    )


class Counting(Analyst):
    """Says how often it was asked to analyse, and what `meanwhile` is to happen while it does."""

    def __init__(self, config: Config, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__(config.analysis, "cpu", findings_digest(config.analysis))
        self.calls = 0
        self.meanwhile = meanwhile

    def analyse(self, examined: Examined, **how: Any) -> Analysed:
        self.calls += 1
        self.meanwhile()
        return super().analyse(examined, **how)


class Failing(Counting):
    """Has a mistake in it, and its errors quote the patient."""

    def analyse(self, examined: Examined, **how: Any) -> Analysed:
        self.calls += 1
        raise KeyError(f"no place for {SECRET}")


@dataclass
class House:
    config: Config
    store: Store
    analyst: Counting

    @property
    def worker(self) -> Worker:
        return Worker(self.config, self.store, "worker-0", self.analyst, None)

    def put(self, paths: Sequence[Path]) -> None:
        """Files into the spool, rows after them, and assembly long past its quiet time."""
        for path in paths:
            _, header = read_headers(path)
            target = self.config.spool / header.study_uid / header.series_uid / f"{header.sop_uid}.dcm"
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
        spool = Spool(self.config.spool, min_free_mb=1)
        reconcile(self.store, spool, self.config, now())
        self.settle()

    def settle(self) -> None:
        sweep(self.store, self.config.assembly, now().later(self.config.assembly.quiet_s + 60.0))

    def work(self) -> int:
        """Until nothing is left; returns how many studies were taken up."""
        worker, taken = self.worker, 0
        while worker.step():
            taken += 1
            assert taken < 20, "it never ends"
        return taken

    def study(self, written: WrittenStudy) -> Study:
        return self.store.studies.get(written.study_uid)

    def kinds(self, written: WrittenStudy) -> list[str]:
        return [event.kind for event in self.store.events.of(written.study_uid)]

    def claimed(self) -> list[str]:
        """Studies in the order in which they were taken up."""
        return [str(e.study_uid) for e in self.store.events.all() if e.kind == "claimed"]

    def crash(self, at: Now) -> None:
        """A worker takes the next study and its process ends."""
        claim = self.store.queue.claim("worker-0", at)
        assert claim is not None
        self.store.queue.release(claim.token, why="worker-0 ended unexpectedly", count_attempt=True, now=at)
