"""How much room is left. The listener that refuses images and the board that says so ask here, in one unit."""

from __future__ import annotations

import shutil
from pathlib import Path


def free_mb(folder: Path) -> float:
    """What we may still write to the file system of `folder`, in units of 2^20 bytes. Raises OSError."""
    return shutil.disk_usage(folder).free / 2**20
