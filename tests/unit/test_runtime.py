"""Where the running daemon listens is told while it runs, and only then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from triaged.runtime import NAME, Runtime, read_runtime, write_runtime

NOBODY = 65534


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    runtime = Runtime(pid=os.getpid(), dicom_port=11112, web_port=8080)
    assert write_runtime(tmp_path, runtime) == tmp_path / NAME
    assert read_runtime(tmp_path) == runtime
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


def test_a_killed_daemon_does_not_run(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_runtime(tmp_path, Runtime(pid=ended.pid, dicom_port=11112, web_port=8080))
    assert read_runtime(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": 1}', '{"pid": "x", "dicom_port": 1, "web_port": 2}'])
def test_a_file_that_says_nothing_means_that_none_runs(content: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(content)
    assert read_runtime(tmp_path) is None


def test_no_file_means_that_none_runs(tmp_path: Path) -> None:
    assert read_runtime(tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_daemon_of_another_user_is_seen_to_run() -> None:
    """An admin asks about the daemon of the service's account: not being allowed to signal it proves that it lives."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        write_runtime(Path(folder), Runtime(pid=os.getpid(), dicom_port=11112, web_port=8080))
        program = (
            "import os; from pathlib import Path; from triaged.runtime import read_runtime; "
            f"os.setuid({NOBODY}); print(read_runtime(Path({folder!r})))"
        )
        asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"pid={os.getpid()}" in asked.stdout


def test_the_file_holds_numbers_only(tmp_path: Path) -> None:
    path = write_runtime(tmp_path, Runtime(pid=1, dicom_port=2, web_port=3))
    assert json.loads(path.read_text()) == {"pid": 1, "dicom_port": 2, "web_port": 3}
