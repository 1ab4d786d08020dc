"""`triaged serve`: what happens to a CT, from its first slice to the report in the PACS.

    listener (process)      C-STORE -> spool, durable before Success -> a row per study and series
    assembly (scheduler)    quiet long enough? -> ready
    worker   (process)      claims in reading order -> series, volume, lungs, lesions -> outcome and due time
    board    (thread)       the list in its new order, at once
    outbox   (process)      SEG, SR and picture, encoded once, delivered until the PACS has them

This file builds the parts from the settings, starts them in that order and stops them in reverse. Processes meet in
the database and the spool only, so that any of them may be killed at any time: a crash may repeat work, never lose it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import timedelta
from types import FrameType

from apscheduler.schedulers.background import BackgroundScheduler

from triaged import artefacts, telemetry
from triaged.analysis.devices import devices
from triaged.analysis.worker import give_up_on
from triaged.analysis.worker import run as run_worker
from triaged.children import Child
from triaged.clock import Now, now
from triaged.config import Config
from triaged.disk import free_mb
from triaged.errors import StorageError
from triaged.intake.counts import Counts
from triaged.intake.listener import run as run_listener
from triaged.intake.spool import Spool
from triaged.intake.sweep import Expect, nobody_was_asked, sweep
from triaged.records import DeliveryState
from triaged.repair import backup_daily, is_lost
from triaged.results.outbox import run as run_outbox
from triaged.retention import sweep_retention
from triaged.runtime import Runtime, write_runtime
from triaged.store import Store
from triaged.web.app import create_app
from triaged.web.serve import WebServer
from triaged.web.status import DaemonStatus
from triaged.worklist.board import realign

log = logging.getLogger(__name__)

CLOCK_STEP_S = 5.0  # slewing is slower than this; setting the clock is not
FIRST_ROUND_S = 30.0
TICK_S = 0.2  # how often the supervisor looks at its children
SWEEP_S = 0.5  # how often assembly is asked; a tenth of the shortest sensible quiet time
CLAIM_SILENCE_S = 60.0  # a worker beats every few seconds; a minute of silence means that it hangs or is gone
DRAIN_LISTENER_S = 15.0
DRAIN_WORKER_S = 120.0  # a study on the CPU takes well under a minute
DRAIN_OUTBOX_S = 45.0
FILLING_FACTOR = 2.0  # the board warns while there is still as much room again as will be kept free
START_LIMIT_S = 120.0  # a cold disk takes its time to load torch


class Daemon:
    """The house: a store, a spool, and the processes that meet in them."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._stopping = threading.Event()
        self._failure: str | None = None
        self.children: list[Child] = []
        self.workers: list[Child] = []
        self._clock_offset_s = now().utc.timestamp() - now().mono_s

    # -- the life of the process ----------------------------------------------------------------------------------

    def run(self) -> int:
        """Start, stay, stop in reverse. Returns the exit status: 0 after an orderly stop, 1 where a part gave up."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        with ExitStack() as house:
            self._start(house)
            while not self._stopping.wait(TICK_S):
                try:
                    self._supervise(now())
                except StorageError:
                    # A locked or full disk passes; the listener must stay up meanwhile, to answer 0xA700.
                    log.exception("the database could not be used; supervision goes on")
        log.info("stopped", extra={"failure": self._failure})
        return 1 if self._failure else 0

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        log.info("asked to stop", extra={"signal": signal.Signals(number).name})
        self._stopping.set()

    def _start(self, house: ExitStack) -> None:
        """From the back of the house to the door, so that the door opens last and, in reverse, closes first."""
        config = self.config
        self._take_storage(house)
        self.store = house.enter_context(Store(config.database))
        self.spool = self._spool()
        house.callback(self._let_go_of_claims)
        self._begin_again(now())
        registry = telemetry.registry_of(self.store, self._readiness, self._free_mb)
        app = create_app(config, self.store, status=self.status, registry=registry)
        self.web = WebServer(app, config.web.host, config.web.port)
        self.web.start()
        house.callback(self.web.stop)
        if config.delivers:
            self._launch(Child("outbox", run_outbox, config), DRAIN_OUTBOX_S, house)
        for i, device in enumerate(devices(config.analysis.device, config.analysis.workers)):
            worker = Child(f"worker-{i}", run_worker, config, f"worker-{i}", device)
            self.workers.append(worker)
            self._launch(worker, DRAIN_WORKER_S, house)
        self.scheduler = self._schedule(self._expectation(house))
        house.callback(self.scheduler.shutdown, wait=True)
        self.listener = Child("listener", run_listener, config)
        self._launch(self.listener, DRAIN_LISTENER_S, house)
        house.callback(self._drain_all)  # everybody finishes at once what the stops below then wait for, one by one
        if not self._await_door():
            return
        runtime = Runtime(pid=os.getpid(), dicom_port=self.listener.detail, web_port=self.web.port)
        house.callback(write_runtime(config.storage.path, runtime).unlink, missing_ok=True)
        log.info("serving", extra={"dicom_port": self.listener.detail, "web_port": self.web.port})

    def _take_storage(self, house: ExitStack) -> None:
        """One daemon per storage folder: two would answer for the same studies."""
        self.config.storage.path.mkdir(parents=True, exist_ok=True)
        lock = house.enter_context((self.config.storage.path / "daemon.lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(f"another daemon is using {self.config.storage.path}") from error
        if is_lost(self.config):
            raise StorageError(f"{self.config.database} is missing but its images are not: run `triaged repair` first")

    def _spool(self) -> Spool:
        return Spool(self.config.spool, min_free_mb=self.config.storage.min_free_mb)

    def _begin_again(self, at: Now) -> None:
        """Take up what the last run left: waits begin anew, claims are free. The listener finds files without rows."""
        self.store.studies.restart_clocks(at)
        for token in self.store.queue.tokens():
            self.store.queue.release(token, why="the daemon was restarted", count_attempt=True, now=at)
        artefacts.remove_unfinished(self.config.artefacts)
        realign(self.store, self.config, at)
        sent = self.config.results.send if self.config.delivers else ()
        self.store.deliveries.drop_all_but(sent, why="the settings do not deliver it any more", now=at)

    def _launch(self, child: Child, drain_limit_s: float, house: ExitStack) -> None:
        child.start(now())
        self.children.append(child)
        house.callback(self._end, child, drain_limit_s)

    def _await_door(self) -> bool:
        """A listener that cannot bind is an error of this start, not to be restarted into. False: asked to stop."""
        deadline_s = now().mono_s + START_LIMIT_S
        while not self.listener.ready and not self._stopping.wait(0.02):
            self.listener.listen(now())
            if not self.listener.alive or now().mono_s > deadline_s:
                raise StorageError(
                    f"the listener did not open {self.config.dicom.host}:{self.config.dicom.port} "
                    f"(exit status {self.listener.exit_status}); its log lines say why"
                )
        return self.listener.ready

    def _drain_all(self) -> None:
        for child in self.children:
            child.drain()

    def _end(self, child: Child, limit_s: float) -> None:
        if not child.join(limit_s):
            self._failure = f"{child.name} had to be killed"

    def _let_go_of_claims(self) -> None:
        with suppress(StorageError):  # what is not let go of now is let go of at the next start
            for token in self.store.queue.tokens():
                self.store.queue.release(token, why="the daemon stopped", count_attempt=False, now=now())

    # -- supervision ----------------------------------------------------------------------------------------------

    def _supervise(self, at: Now) -> None:
        for child in self.children:
            child.listen(at)
            if child.revive(at):
                self._clean_up_after(child, at)
        for worker in self.workers:
            self._enforce_time_limit(worker, at)
        self._follow_the_clock(at)
        if not self.web.is_alive:
            self._failure = "the web server ended"
            self._stopping.set()

    def _clean_up_after(self, child: Child, at: Now) -> None:
        """What a worker held when it died is free again. The listener sets its own affairs in order as it starts."""
        for token in self.store.queue.tokens_of(child.name):
            self.store.queue.release(token, why=f"{child.name} ended unexpectedly", count_attempt=True, now=at)

    def _enforce_time_limit(self, worker: Child, at: Now) -> None:
        limit_s = self.config.analysis.time_limit_s
        if worker.task is None or at.mono_s - worker.task_since_s <= limit_s:
            return
        log.error("analysis took too long", extra={"study": worker.task["study"], "limit_s": limit_s})
        token = worker.task["token"]
        worker.kill()
        give_up_on(self.store, self.config, token, f"analysis took longer than {limit_s:g} s", at)
        worker.task = None

    def _expectation(self, house: ExitStack) -> Expect:
        """What assembly may know of the PACS's own count of a study."""
        config = self.config
        if config.pacs is None or not config.assembly.ask_pacs_for_counts:
            return nobody_was_asked
        counts = Counts(self.store, config.pacs, config.dicom.ae_title)
        house.callback(counts.close)
        return counts.expected

    def _schedule(self, expect: Expect) -> BackgroundScheduler:
        scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1})
        every: list[tuple[float, Callable[[], object]]] = [  # seconds between two rounds, what is done in one
            (SWEEP_S, lambda: sweep(self.store, self.config.assembly, now(), expect)),
            (5.0, lambda: self.store.reading.expire(now())),
            (10.0, lambda: self._release_silent(now())),
            (600.0, lambda: sweep_retention(self.store, self.spool, self.config, now())),
            (3600.0, lambda: backup_daily(self.store, self.config, now())),
        ]
        for seconds, job in every:
            # The first round comes soon, or a daemon that is often restarted would never make a copy.
            first = now().utc + timedelta(seconds=min(seconds, FIRST_ROUND_S))
            scheduler.add_job(job, "interval", seconds=seconds, next_run_time=first)
        scheduler.start()
        return scheduler

    def _follow_the_clock(self, at: Now) -> None:
        """The scheduler plans by the wall clock: where that is set back, its rounds would stay away for as long."""
        offset_s = at.utc.timestamp() - at.mono_s
        if abs(offset_s - self._clock_offset_s) > CLOCK_STEP_S:
            log.warning("the clock was set", extra={"by_s": round(offset_s - self._clock_offset_s, 1)})
            for job in self.scheduler.get_jobs():
                job.modify(next_run_time=at.utc)
            self._clock_offset_s = offset_s

    def _release_silent(self, at: Now) -> None:
        for token in self.store.queue.tokens(silent_since_mono_s=at.mono_s - CLAIM_SILENCE_S):
            self.store.queue.release(token, why="no sign of life from its worker", count_attempt=True, now=at)

    # -- what others ask of us --------------------------------------------------------------------------------------

    def _readiness(self) -> dict[str, bool]:
        return {child.name: child.ready and child.alive for child in self.children}

    def _free_mb(self) -> float:
        return free_mb(self.config.storage.path)

    def status(self) -> DaemonStatus:
        """What the board's trust line and /readyz say."""
        ready = self._readiness()
        least_mb, left_mb = self.config.storage.min_free_mb, self._free_mb()
        return DaemonStatus(
            listener_up=ready.get("listener", False),
            workers_up=sum(ready.get(w.name, False) for w in self.workers),
            workers_wanted=len(self.workers),
            outbox_up=ready.get("outbox"),
            database_writable=self.store.writable(),
            disk_free_mb=int(left_mb),
            disk_filling=left_mb < FILLING_FACTOR * least_mb,
            disk_full=left_mb < least_mb,
            parked_deliveries=self.store.deliveries.counts_by_state().get(DeliveryState.PARKED, 0),
            pacs_refusal=(self.store.deliveries.refusal or "") if self.config.delivers else "",
            void_studies=self.store.deliveries.void_studies(),
            synthetic_weights=any(bool((w.detail or {}).get("synthetic")) for w in self.workers),
        )
