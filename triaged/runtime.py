"""Where the running daemon listens: a small file in the storage folder, there only while it runs."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from triaged.artefacts import sync

NAME = "daemon.json"


@dataclass(frozen=True, kw_only=True)
class Runtime:
    pid: int
    dicom_port: int
    web_port: int


def write_runtime(storage: Path, runtime: Runtime) -> Path:
    """Write the file whole or not at all; returns its path, to be removed at the end."""
    path = storage / NAME
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(runtime)))
    sync(temporary)
    temporary.rename(path)
    return path


def read_runtime(storage: Path) -> Runtime | None:
    """What the running daemon wrote; None where none runs, a killed one having left its file behind included."""
    try:
        runtime = Runtime(**json.loads((storage / NAME).read_text()))
        return runtime if _is_alive(runtime.pid) else None
    except (OSError, ValueError, TypeError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's, the service account's, and lives
        return True
    return True
