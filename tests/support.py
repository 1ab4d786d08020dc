"""Helpers the tests import: the programs we talk to, and ports from the system."""

from __future__ import annotations

import os
import shutil
import socket

import pytest


def peer(*names: str) -> str:
    """Path of the first of these programs that is installed; otherwise skip, or fail where CI promised them all."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if found:
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
