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

PATIENCE_S = 60.0  # far more than anything here takes, also where more runs on the machine than it has cores for


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


def eventually(holds: Callable[[], object], what: str = "it never came to hold") -> None:
    """Wait until this holds; it is a failure where it does not within `PATIENCE_S`."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
