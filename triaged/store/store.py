"""The connection, the transaction, and the parts that hold the SQL, one noun each."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from sqlite_utils import Database

from triaged.clock import Now
from triaged.errors import StorageError
from triaged.store.deliveries import Deliveries
from triaged.store.events import Events
from triaged.store.queue import Queue
from triaged.store.reading import ReadingList
from triaged.store.schema import migrations
from triaged.store.studies import Studies

BUSY_TIMEOUT_S = 30.0  # a writer holds the lock for milliseconds; half a minute means that something is broken
PROBE_S = 1.0  # a disk that is slow to sync keeps a writer this long; longer is worth a line on the board
PROBE_KEPT_S = 3.0  # every page and every open board asks whether the database takes writes
WAL_PAUSE_S = 0.02  # between two tries to be the first to open a new database


class Store:
    """One SQLite file. Threads of a process share two connections and take turns; processes open their own.

    Who only looks never waits for who writes: a write-ahead log shows the last commit meanwhile, through a connection
    of its own. Inside `atomic()` one sees what one has written.

    Parts: `studies` (what arrived), `queue` (what is to be analysed), `reading` (the list), `deliveries` (what goes
    back), `events` (what happened). Nothing is written outside `atomic()`.
    """

    def __init__(self, path: Path) -> None:
        """Open, or create, the database at `path` and bring its schema up to date.

        Raises StorageError where the file cannot be opened or is no database.
        """
        self.path = path
        self._lock = threading.RLock()
        self._look_lock = threading.Lock()
        self._probe_lock = threading.Lock()
        self._writer: int | None = None  # the thread that is inside `atomic()`
        self._probed: tuple[float, bool] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = self._open()
            self._switch_to_wal()
            self._looker = self._open()
            for pragma in ("synchronous = FULL", "foreign_keys = ON"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._looker.execute("PRAGMA query_only = ON")
            self._migrate()
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"the database {path} cannot be opened: {error}") from error
        self.events = Events(self)
        self.studies = Studies(self)
        self.queue = Queue(self)
        self.reading = ReadingList(self)
        self.deliveries = Deliveries(self)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        return connection

    def _switch_to_wal(self) -> None:
        # Of several processes that open a new database at once, SQLite turns all but one away from this switch, and
        # does so at once: its own patience does not cover it.
        for _ in range(int(BUSY_TIMEOUT_S / WAL_PAUSE_S)):
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
                time.sleep(WAL_PAUSE_S)
        raise StorageError(f"the database {self.path} stayed locked for {BUSY_TIMEOUT_S:.0f} s")

    def _migrate(self) -> None:
        # Several processes open a new database at once; the first takes the write lock, the others find it done.
        with self.atomic():
            database = Database(self._connection, execute_plugins=False)
            if migrations.pending(database):
                migrations.apply(database)
            _ = self.installation_uid  # made with the database, so that every copy of it has the same

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Everything inside commits together, durably, or not at all. Nested blocks join the outer one.

        BEGIN IMMEDIATE takes the write lock at once, so that what is read inside is still true at the commit.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._run("BEGIN IMMEDIATE")
            self._writer = threading.get_ident()
            try:
                yield
                self._run("COMMIT")
            except BaseException:
                # A commit that failed leaves the transaction open, and the next block must not join it; a full disk
                # ends it by itself, which makes this ROLLBACK the error that it suppresses.
                with suppress(sqlite3.OperationalError):
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._writer = None

    @contextmanager
    def _as_ours(self) -> Iterator[None]:
        """Raises StorageError where the file is locked for too long, full, read-only or broken."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # a mistake of ours, not the file's
        except sqlite3.DatabaseError as error:
            raise StorageError(f"the database {self.path} cannot be used: {error}") from error

    @contextmanager
    def _looking(self) -> Iterator[sqlite3.Connection]:
        """The connection to read by. Raises StorageError as `_as_ours` does."""
        with self._as_ours():
            if self._writer == threading.get_ident():
                yield self._connection
            else:
                with self._look_lock:
                    yield self._looker

    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        with self._as_ours():
            return self._connection.execute(sql, parameters)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one writing statement inside `atomic()`; returns the number of rows it touched."""
        if not self._connection.in_transaction:
            raise StorageError("a write outside atomic()")
        return self._run(sql, parameters).rowcount

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._looking() as connection:
            return connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Row | None:
        with self._looking() as connection:
            found: sqlite3.Row | None = connection.execute(sql, parameters).fetchone()
            return found

    def change_mark(self) -> str:
        """A text that differs whenever anything was committed, by this process or another."""
        with self._as_ours(), self._look_lock:
            return str(self._looker.execute("PRAGMA data_version").fetchone()[0])

    def setting(self, name: str, default: Any = None) -> Any:
        found = self.row("SELECT value FROM settings WHERE name = ?", (name,))
        return default if found is None else json.loads(found["value"])

    def set_setting(self, name: str, value: object) -> None:
        with self.atomic():
            self.execute(
                """INSERT INTO settings (name, value) VALUES (?, ?)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value""",
                (name, json.dumps(value)),
            )

    @property
    def installation_uid(self) -> str:
        """Made once per database (PS3.5 B.2: 2.25 and a UUID); every UID we create derives from it."""
        uid = self.setting("installation_uid")
        if uid is not None:
            return str(uid)
        with self.atomic():
            uid = self.setting("installation_uid")  # another process may have been first
            if uid is None:
                uid = f"2.25.{uuid.uuid4().int}"
                self.set_setting("installation_uid", uid)
            return str(uid)

    @property
    def baseline_switch(self) -> bool:
        """Whether a person has set the list back to the order without AI."""
        return bool(self.setting("baseline_switch", False))

    def switch_baseline(self, on: bool, *, by: str, now: Now) -> None:
        with self.atomic():
            self.set_setting("baseline_switch", on)
            self.events.add("baseline_on" if on else "baseline_off", now, detail={"by": by})

    def writable(self) -> bool:
        """Whether the file takes writes: not locked, not read-only, not broken. A full disk shows in its free space.

        The answer is up to PROBE_KEPT_S old, and comes after PROBE_S at the latest.
        """
        with self._probe_lock:
            if self._probed is None or time.monotonic() - self._probed[0] > PROBE_KEPT_S:
                takes_writes = self._takes_writes()
                self._probed = (time.monotonic(), takes_writes)
            return self._probed[1]

    def _takes_writes(self) -> bool:
        try:
            uri = f"{self.path.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(uri, uri=True, timeout=PROBE_S, isolation_level=None)) as probe:
                probe.execute("BEGIN IMMEDIATE")
                probe.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        return True

    def backup(self, target: Path) -> None:
        """An online copy of the database that another process may be writing to."""
        with self._lock, closing(sqlite3.connect(target)) as copy:
            self._connection.backup(copy)

    def close(self) -> None:
        with self._lock, self._look_lock:
            self._connection.close()
            self._looker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
