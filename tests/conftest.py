"""What the tests stand on: the real data where it is, the programs we talk to, and ports from the system."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


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


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real CT studies that stands beside the checkout; it is for checking and never part of the project."""
    folder = Path(os.environ.get("TRIAGED_SHARED_DATA", REPO.parent / "shared" / "data"))
    if not (folder / "MANIFEST.md").is_file():
        pytest.skip(f"no real CT data at {folder} (set TRIAGED_SHARED_DATA)")
    return folder
