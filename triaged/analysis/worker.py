"""The process that claims a study and runs the pipeline: one per device, bounded in time and in attempts."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from triaged import artefacts, logs
from triaged.clock import Now, now
from triaged.config import Config, findings_digest
from triaged.errors import ClaimLost, UnknownStudy
from triaged.intake.spool import Spool
from triaged.lifeline import Lifeline
from triaged.records import Claim, Outcome, PlannedDelivery, Reason, StudyState
from triaged.results.uids import result_uids
from triaged.store import Store
from triaged.worklist.board import commit_outcome

if TYPE_CHECKING:
    from triaged.analysis.analyst import Analyst, Examined

log = logging.getLogger(__name__)

IDLE_S = 0.2  # how often an idle worker looks for a ready study
BEAT_S = 5.0  # well inside the minute after which a silent claim is taken back


def run(config: Config, name: str, device: str, connection: Connection) -> None:
    """Entry of a worker process. Returns when asked to drain, with nothing in hand."""
    from triaged.analysis.analyst import Analyst  # not above: half of what the supervisor would load, and never uses

    logs.set_up(config.log.level, json_lines=config.log.json_lines)
    lifeline = Lifeline(connection)
    with Store(config.database) as store:
        worker = Worker(
            config, store, name, Analyst(config.analysis, device, findings_digest(config.analysis)), lifeline
        )
        lifeline.ready({"device": device, "synthetic": worker.analyst.is_synthetic})
        while not lifeline.draining.is_set():
            if not worker.step():
                lifeline.draining.wait(IDLE_S)


class Worker:
    """Takes one study at a time, in reading order, and leaves it in a named state."""

    def __init__(self, config: Config, store: Store, name: str, analyst: Analyst, lifeline: Lifeline | None) -> None:
        self.config = config
        self.store = store
        self.name = name
        self.analyst = analyst
        self.spool = Spool(config.spool, min_free_mb=config.storage.min_free_mb)
        self._lifeline = lifeline

    def step(self) -> bool:
        """Work on the next study, if there is one. True where there was."""
        claim = self.store.queue.claim(self.name, now())
        if claim is None:
            return False
        self._say({"token": claim.token, "study": claim.study.study_uid})
        try:
            with self._beating(claim.token):
                self._work(claim)
        except (ClaimLost, UnknownStudy):
            log.warning("claim lost; the result is dropped", extra={"study": claim.study.study_uid})
        except Exception as error:  # noqa: BLE001 - the job's edge: whatever went wrong, the study ends in a state
            self._failed(claim, error)
        finally:
            self._say(None)
        return True

    def _work(self, claim: Claim) -> None:
        uid = claim.study.study_uid
        if claim.study.attempts > self.config.analysis.max_attempts:
            words = f"analysis ended its process {self.config.analysis.max_attempts} times; requeue to try again"
            self._commit(claim, Outcome(state=StudyState.FAILED, reason_code="crash_loop", reason=words), None)
            return
        examined = self.analyst.examine(self._files(uid), self.spool.version_paths(uid))
        if claim.is_recheck and _same_selection(claim, examined):
            self.store.queue.unchanged(claim, now())
            return
        if claim.is_recheck:
            claim = self.store.queue.reopen(claim, now())
        if claim.study.is_reference:
            words = "a prior, kept for reference; priors are neither scored nor promoted"
            self._commit(
                claim, Outcome(state=StudyState.NOT_ANALYSED, reason_code=Reason.REFERENCE, reason=words), None
            )
            return
        made = self.analyst.analyse(examined, partial=claim.study.partial, revision=claim.study.revision + 1)
        self._commit(claim, made.outcome, made.artefacts)

    def _files(self, study_uid: str) -> list[Path]:
        return [path for series in self.spool.series(study_uid) for path in self.spool.paths(study_uid, series)]

    def _commit(self, claim: Claim, outcome: Outcome, left: artefacts.Artefacts | None) -> None:
        uid = claim.study.study_uid
        aside = None if left is None else artefacts.write_aside(self.config.artefacts, uid, left)
        at = now()
        planned = plan_deliveries(self.store, self.config, uid, outcome, at)
        try:
            with self.store.atomic():
                revision = commit_outcome(self.store, self.config, claim, outcome, planned, at)
                if aside is not None:
                    artefacts.place(aside, artefacts.folder(self.config.artefacts, uid, revision))
        finally:
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)  # where it has not taken its place
        log.info("outcome", extra={"study": uid, "state": outcome.state, "revision": revision})

    def _failed(self, claim: Claim, error: Exception) -> None:
        uid, attempts = claim.study.study_uid, claim.study.attempts
        log.exception("analysis failed", extra={"study": uid, "attempt": attempts})
        if attempts < self.config.analysis.max_attempts:
            self.store.queue.release(claim.token, why=type(error).__name__, count_attempt=True, now=now())
            return
        words = f"internal error ({logs.where(error)}) in {attempts} attempts"
        with suppress(ClaimLost):
            self._commit(claim, Outcome(state=StudyState.FAILED, reason_code=type(error).__name__, reason=words), None)

    @contextmanager
    def _beating(self, token: str) -> Iterator[None]:
        """Show signs of life from a thread of its own while the work goes on."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(BEAT_S):
                self.store.queue.beat(token, now())

        thread = threading.Thread(target=beat, name="beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _say(self, task: dict[str, str] | None) -> None:
        if self._lifeline is not None:
            self._lifeline.say(("task", task))


def _same_selection(claim: Claim, examined: Examined) -> bool:
    """Whether late images leave the outcome as it is: the same series chosen, or refused for the same reason."""
    before, after = claim.study.choice, examined.selection.choice
    if before is None or after is None:
        return before is after and claim.study.reason_code == examined.selection.reason_code
    return before.input_digest == after.input_digest


def plan_deliveries(store: Store, config: Config, study_uid: str, outcome: Outcome, at: Now) -> list[PlannedDelivery]:
    """The objects that an outcome calls for, with the UIDs they will have; none in shadow mode."""
    if not config.delivers or outcome.findings is None or outcome.choice is None:
        return []
    uids = result_uids(store.installation_uid, study_uid, outcome.choice, outcome.findings.provenance)
    not_before = at.utc + timedelta(seconds=config.results.publish_quiet_s)
    return [
        PlannedDelivery(role=role, sop_uid=uids[role].sop_uid, series_uid=uids[role].series_uid, not_before=not_before)
        for role in config.results.send
    ]


def give_up_on(store: Store, config: Config, token: str, words: str, at: Now) -> None:
    """The supervisor had to end a worker over this claim: the study is not analysed, and says why."""
    claim = store.queue.claim_of(token)
    if claim is not None:
        outcome = Outcome(state=StudyState.NOT_ANALYSED, reason_code=Reason.TIME_LIMIT, reason=words)
        with suppress(ClaimLost):
            commit_outcome(store, config, claim, outcome, [], at)
