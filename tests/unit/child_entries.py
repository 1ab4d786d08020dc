"""Child processes for the tests of the supervisor's hands: imported by name in a process of their own."""

from __future__ import annotations

import os
import signal
import sys
import time
from multiprocessing.connection import Connection

from triaged.children import Child
from triaged.clock import now
from triaged.lifeline import Lifeline

SECRET = "Mustermann^Erika"


def orderly(connection: Connection) -> None:
    """Ready at once; leaves when asked."""
    lifeline = Lifeline(connection)
    lifeline.ready({"pid": os.getpid()})
    lifeline.draining.wait()


def busy(connection: Connection) -> None:
    """Says what it works on, then that it is done, then waits."""
    lifeline = Lifeline(connection)
    lifeline.ready()
    lifeline.say(("task", {"token": "t", "study": "1.2.3"}))
    lifeline.draining.wait()
    lifeline.say(("task", None))


def stubborn(connection: Connection) -> None:
    """Hears nothing: no lifeline answers, no signal that can be caught ends it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection.send(("ready", None))
    time.sleep(600)


def dying(_connection: Connection) -> None:
    os._exit(7)


def failing(_connection: Connection) -> None:
    raise ValueError(SECRET)


def supervisor() -> None:
    """A supervisor with two children; prints their process ids and waits to be killed."""
    children = [Child("one", orderly), Child("two", orderly)]
    for child in children:
        child.start(now())
    while not all(child.ready for child in children):
        for child in children:
            child.listen(now())
        time.sleep(0.02)
    print(*(child.pid for child in children), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    supervisor()
