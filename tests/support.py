"""Helpers the tests import: the programs we talk to, ports from the system, and waiting."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

# Far more than what tests wait for takes on a busy machine, and less than the time after which the daemon itself gives
# up a silent peer or an unfinished study, which must not pass for what a test waits for.
PATIENCE_S = 25.0


def program(*names: str) -> str | None:
    """Path of the first of these programs that is installed."""
    # pynetdicom installs programs of its own under dcmtk's names; in an activated environment they come first.
    ours = Path(sys.executable).parent
    others = [folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != ours]
    path = os.pathsep.join([*others, "/usr/sbin", "/usr/local/sbin"])
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def peer(*names: str) -> str:
    """Path of the first of these programs that is installed; otherwise skip, or fail where CI promised them all."""
    if found := program(*names):
        return found
    message = f"{' or '.join(names)} is not installed"
    if os.environ.get("TRIAGED_REQUIRE_PEERS") == "1":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    """A TCP port nobody listens on at this moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def eventually(
    holds: Callable[[], object], what: str = "it never came to hold", *, within_s: float = PATIENCE_S
) -> None:
    """Wait until this holds. Raises AssertionError where it does not in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
