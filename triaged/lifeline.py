"""A child process's tie to the supervisor: a pipe that closes when the supervisor dies, however it dies.

The supervisor holds one end. A child that reads end-of-file knows that nobody is left to restart it, to answer for
it, or to free the port it holds, and exits at once. A `drain` message asks it to finish what it has in hand.
"""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing.connection import Connection

ORPHANED = 70  # exit status of a child whose supervisor is gone (sysexits.h: EX_SOFTWARE)


class Lifeline:
    """The child's end. `draining` is set once the supervisor asks for an orderly stop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._send_lock = threading.Lock()
        self.draining = threading.Event()
        # The terminal's Ctrl-C reaches every process of the group; stopping in order is the supervisor's business.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def ready(self, detail: object = None) -> None:
        """Tell the supervisor that start-up is over; `detail` is whatever it needs to know (a port, say)."""
        self.say(("ready", detail))

    def say(self, message: tuple[str, object]) -> None:
        with self._send_lock:
            self._connection.send(message)

    def _watch(self) -> None:
        try:
            while self._connection.recv() != "drain":
                pass
            self.draining.set()
            self._connection.recv()
        except (EOFError, OSError):
            # os._exit, not sys.exit: no handler, no thread and no lock may keep an orphan alive.
            os._exit(ORPHANED)
