"""Is this file a database of ours, and whole?"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def is_sound(path: Path) -> bool:
    """Whether SQLite finds nothing wrong with the file, and our tables in it. Nobody else may have it open."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            checked = connection.execute("PRAGMA integrity_check").fetchone()[0]
            connection.execute("SELECT count(*) FROM studies, deliveries WHERE 0").fetchone()
            return bool(checked == "ok")
    except sqlite3.Error:
        return False
