"""What the kernel saw: write, fsync of the file, rename, fsync of the folder, then the response; per instance."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass

import pytest

from tests.support import eventually, peer
from tests.unit.intake.making import STUDY, data_set, send

SERVE = """
import sys, time
from pathlib import Path
from tests.unit.intake.making import config_for, listening
with listening(config_for(Path(sys.argv[1]))) as running:
    Path(sys.argv[1], "port.part").write_text(str(running.port))
    Path(sys.argv[1], "port.part").rename(Path(sys.argv[1], "port"))
    sys.stdin.read()
"""
# 12345 write(7</tmp/x/one.part>, ...) = 100    and the halves of a call that another thread interrupted
CALL = re.compile(r"^(?P<thread>\d+)\s+(?:<\.\.\. )?(?P<name>\w+)(?P<rest>.*)$")


@dataclass(frozen=True)
class Call:
    name: str
    text: str
    begun_at: int  # line numbers: calls of different threads interleave
    done_at: int


def calls_of(trace: str) -> list[Call]:
    """Finished system calls, the halves of interrupted ones joined."""
    begun: dict[tuple[str, str], tuple[str, int]] = {}
    calls: list[Call] = []
    for number, line in enumerate(trace.splitlines()):
        match = CALL.match(line)
        if match is None:
            continue
        key = (match["thread"], match["name"])
        if line.rstrip().endswith("<unfinished ...>"):
            begun[key] = (match["rest"], number)
        elif " resumed>" in match["rest"]:
            text, start = begun.pop(key, ("", number))
            calls.append(Call(match["name"], text + match["rest"], start, number))
        else:
            calls.append(Call(match["name"], match["rest"], number, number))
    return calls


def is_response(call: Call) -> bool:
    """A P-DATA-TF PDU (PS3.8 section 9.3.5: type 04) on the socket: this side sends nothing but responses."""
    return call.name == "sendto" and r'"\4\0\0\0\0' in call.text


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """System calls of a listener that received three instances in one association."""
    strace, folder = peer("strace"), tmp_path_factory.mktemp("traced")
    watched = "trace=write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,sendto,sendmsg,mkdir,mkdirat"
    command = [
        strace,
        "-f",
        "-y",
        "-e",
        watched,
        "-o",
        str(folder / "trace"),
        sys.executable,
        "-c",
        SERVE,
        str(folder),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            eventually(lambda: (folder / "port").exists() or process.poll() is not None, within_s=60.0)
            assert process.poll() is None
            port = int((folder / "port").read_text())
            assert send(port, *(data_set(k) for k in range(1, 4))) == [0, 0, 0]
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)
    return (folder / "trace").read_text()


def test_each_instance_is_durable_before_it_is_answered(trace: str) -> None:
    calls = calls_of(trace)
    responses = [c for c in calls if is_response(c)]
    earlier = -1
    for number in range(1, 4):
        target = f"{STUDY}.2.{number}.dcm"
        (rename,) = [c for c in calls if c.name.startswith("rename") and target in c.text]
        temporary = re.findall(r'"([^"]+\.part)"', rename.text)[0]
        folder = f"{STUDY}/{STUDY}.2>"
        writes = [c for c in calls if c.name.startswith(("write", "pwrite")) and f"<{temporary}>" in c.text]
        (file_sync,) = [c for c in calls if c.name == "fsync" and f"<{temporary}>" in c.text]
        folder_sync = next(c for c in calls if c.name == "fsync" and folder in c.text and c.begun_at > rename.done_at)
        response = next(c for c in responses if c.begun_at > earlier and c.begun_at > folder_sync.begun_at)
        assert writes
        assert max(w.done_at for w in writes) < file_sync.begun_at
        assert file_sync.done_at < rename.begun_at
        assert rename.done_at < folder_sync.begun_at
        assert folder_sync.done_at < response.begun_at
        # One C-STORE at a time: between the answer before and this one lies exactly one instance.
        assert [c for c in responses if earlier < c.begun_at < rename.begun_at] == []
        earlier = response.begun_at


def test_new_folders_are_durable_before_a_file_is_renamed_into_them(trace: str) -> None:
    calls = calls_of(trace)
    first = next(c for c in calls if c.name.startswith("rename") and f"{STUDY}.2.1.dcm" in c.text)
    for made, parent in ((f'{STUDY}"', "/spool>"), (f'{STUDY}.2"', f"{STUDY}>")):
        mkdir = next(c for c in calls if c.name.startswith("mkdir") and made in c.text)
        sync = next(c for c in calls if c.name == "fsync" and parent in c.text and c.begun_at > mkdir.done_at)
        assert sync.done_at < first.begun_at


def test_the_row_is_durable_before_the_first_answer(trace: str) -> None:
    calls = calls_of(trace)
    first = next(c for c in calls if c.name.startswith("rename") and f"{STUDY}.2.1.dcm" in c.text)
    response = next(c for c in calls if is_response(c) and c.begun_at > first.done_at)
    syncs = [c for c in calls if c.name in {"fsync", "fdatasync"} and "sqlite3-wal" in c.text]
    assert any(first.done_at < c.begun_at and c.done_at < response.begun_at for c in syncs)
