"""Keeps open boards up to date: reads the list once for all of them, and tells them when to look again.

One thread watches the store's change mark; each open board is one event stream that a browser reconnects by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Mapping

from triaged.clock import Now, now
from triaged.config import Config
from triaged.errors import TriagedError
from triaged.store import Store
from triaged.worklist.board import Board, read_board

log = logging.getLogger(__name__)

WATCH_S = 0.5  # a person does not notice half a second, the database does not notice the question
STATUS_S = 5.0  # how often a board hears that we are alive; far below [web] stale_s
FRESH_S = 5.0  # with nothing committed since, a list this young is the list: only its minutes pass
STREAM_S = 600.0  # then the browser reconnects: a session that is over does not keep looking


class Boards:
    """The reading list as it stands, read at most once for all who ask at the same time."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        self._lock = threading.Lock()
        self._kept: tuple[str, float, Board] | None = None

    def read(self, now: Now) -> Board:
        with self._lock:
            mark = self._store.change_mark()
            if self._kept is not None:
                kept_mark, kept_at_s, board = self._kept
                if kept_mark == mark and 0 <= now.mono_s - kept_at_s < FRESH_S:
                    return board
            board = read_board(self._store, self._config, now)
            self._kept = (mark, now.mono_s, board)
            return board

    def mark(self) -> str:
        return self._store.change_mark()

    def fingerprint(self, now: Now) -> str:
        """Differs where the list shows something else: a worker's heartbeat, say, is a change that nobody sees."""
        board = self.read(now)
        shown = [
            (
                item.study.study_uid,
                item.study.state,
                item.study.revision,
                item.study.order_priority,
                item.study.reading,
                item.study.reader,
                item.study.pinned_at,
                item.study.pin_reason,
            )
            for item in board.items
        ]
        return hashlib.sha256(repr((board.order, shown)).encode()).hexdigest()


class Live:
    """The event streams. `stop()` ends them all, so that the server can close."""

    def __init__(self, boards: Boards, status: Callable[[], Mapping[str, object]]) -> None:
        self._boards = boards
        self._status = status
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._seen = ""  # the fingerprint of the list that open boards were told of
        self._version = 0
        self._open_streams = 0

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        mark = ""
        while not self._stopping.is_set():
            if self._open_streams:
                mark = self._look(mark)
            self._stopping.wait(WATCH_S)

    def _look(self, mark: str) -> str:
        """Look at the list where anything was committed since `mark`; returns the mark that was seen."""
        try:
            newer = self._boards.mark()
            if newer == mark:
                return mark
            seen = self._boards.fingerprint(now())
        except (TriagedError, sqlite3.Error):  # boards still refresh by themselves
            log.exception("the list could not be read for open boards")
            self._stopping.wait(STATUS_S)
            return mark
        if self._seen and seen != self._seen:
            self._version += 1
        self._seen = seen
        return newer

    async def stream(self) -> AsyncIterator[str]:
        """Server-sent events: `board` when the list shows something new, `status` every few seconds."""
        self._open_streams += 1
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="board-watch", daemon=True)
                self._thread.start()
        try:
            version, waited_s, lived_s = self._version, STATUS_S, 0.0
            while not self._stopping.is_set() and lived_s < STREAM_S:
                if waited_s >= STATUS_S:
                    waited_s = 0.0
                    try:
                        yield _event("status", await asyncio.to_thread(self._status))
                    except TriagedError:  # silence is what a board takes for trouble; it says so by itself
                        log.exception("the state of the daemon could not be read for an open board")
                if self._version != version:
                    version = self._version
                    yield _event("board", {"version": version})
                await asyncio.sleep(WATCH_S)
                waited_s += WATCH_S
                lived_s += WATCH_S
        finally:
            self._open_streams -= 1


def _event(name: str, content: Mapping[str, object]) -> str:
    return f"event: {name}\ndata: {json.dumps(content)}\n\n"
