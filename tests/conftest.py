"""Fixtures every tier may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Where more processes than cores run, OpenMP threads wait for each other a hundred times longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real CT studies beside the checkout: for checking, never part of the project."""
    folder = Path(os.environ.get("TRIAGED_SHARED_DATA", REPO.parent / "shared" / "data"))
    if not (folder / "MANIFEST.md").is_file():
        pytest.skip(f"no real CT data at {folder} (set TRIAGED_SHARED_DATA)")
    return folder
