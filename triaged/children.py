"""Child processes and their restarts: the supervisor's hands.

Each child gets one end of a pipe (lifeline.py). It says when it is ready and what it is working on; it dies when the
supervisor does. A child that dies is started again, at once the first time, then after a pause that doubles.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from triaged.clock import Now
from triaged.logs import NoQuotes

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.0
LONGEST_PAUSE_S = 30.0  # a crash loop should neither eat the machine nor leave it idle for minutes
SETTLED_AFTER_S = 60.0  # a child that lived this long has earned a restart without a pause

Entry = Callable[..., None]


def _enter(entry: Entry, *arguments: object) -> None:
    with NoQuotes():
        entry(*arguments)


class Child:
    """One supervised process. Not thread-safe: only the supervisor's main loop calls it."""

    def __init__(self, name: str, entry: Entry, *arguments: object) -> None:
        self.name = name
        self.detail: Any = None  # what the child said when it became ready
        self.ready = False
        self.task: dict[str, Any] | None = None  # what it is working on, if it says so
        self.task_since_s = 0.0
        self.restarts = 0
        self._entry = entry
        self._arguments = arguments
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._started_s = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._not_before_s = 0.0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    @property
    def exit_status(self) -> int | None:
        return None if self._process is None else self._process.exitcode

    def start(self, now: Now) -> None:
        # Spawned, not forked: a fork would copy the web server's threads and the database connection.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=_enter, args=(self._entry, *self._arguments, theirs), name=self.name)
        self._process.start()
        theirs.close()
        self._pipe = ours
        self.ready, self.task, self._started_s = False, None, now.mono_s

    def listen(self, now: Now) -> None:
        """Take in what the child has said."""
        if self._pipe is None:
            return
        try:
            while self._pipe.poll():
                kind, detail = self._pipe.recv()
                if kind == "ready":
                    self.ready, self.detail = True, detail
                elif kind == "task":
                    self.task, self.task_since_s = detail, now.mono_s
        except (EOFError, OSError):
            self._pipe.close()
            self._pipe = None

    def revive(self, now: Now) -> bool:
        """Start it again if it has died and its pause is over. True in the call that notices the death."""
        if self._process is None or self._process.is_alive():
            return False
        noticed = self._not_before_s == 0.0
        if noticed:
            lived_s = now.mono_s - self._started_s
            self._pause_s = FIRST_PAUSE_S if lived_s > SETTLED_AFTER_S else self._pause_s
            self._not_before_s = now.mono_s + self._pause_s
            self._pause_s = min(max(1.0, 2 * self._pause_s), LONGEST_PAUSE_S)
            self.ready, self.task = False, None
            detail = {"child": self.name, "exit_status": self.exit_status, "lived_s": round(lived_s, 1)}
            log.error("child ended unasked", extra=detail)
        if now.mono_s >= self._not_before_s:
            self._close()
            self.start(now)
            self.restarts += 1
            self._not_before_s = 0.0
        return noticed

    def drain(self) -> None:
        """Ask it to finish what it has in hand and leave."""
        if self._pipe is not None and self.alive:
            try:
                self._pipe.send("drain")
            except OSError:
                log.warning("child left before it was asked to", extra={"child": self.name})

    def join(self, limit_s: float) -> bool:
        """Wait for it to leave; kill it at the limit. True where it left by itself."""
        if self._process is None:
            return True
        self._process.join(limit_s)
        left = not self._process.is_alive()
        if not left:
            log.error("child did not leave in time", extra={"child": self.name, "limit_s": limit_s})
            self.kill()
        self._close()
        return left

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
