"""Children: restarted when they die, with growing pauses; drained; killed at the limit. Real processes, told times."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from tests.support import PATIENCE_S, eventually
from tests.unit import child_entries
from triaged.children import LONGEST_PAUSE_S, SETTLED_AFTER_S, Child
from triaged.clock import Now
from triaged.lifeline import ORPHANED

START = Now(utc=datetime(2026, 3, 9, 8, tzinfo=UTC), mono_s=1000.0)


@contextmanager
def started(entry: Callable[..., None]) -> Iterator[Child]:
    child = Child("child", entry)
    child.start(START)
    try:
        yield child
    finally:
        child.kill()
        child.join(1.0)


def until_ready(child: Child, at: Now = START) -> None:
    def ready() -> bool:
        child.listen(at)
        return child.ready

    eventually(ready)


def until_dead(child: Child) -> None:
    eventually(lambda: not child.alive)


def test_a_child_says_when_it_is_ready_and_leaves_when_asked() -> None:
    with started(child_entries.orderly) as child:
        assert not child.ready
        until_ready(child)
        assert child.detail == {"pid": child.pid}
        child.drain()
        assert child.join(PATIENCE_S)
        assert child.exit_status == 0


def test_what_a_child_works_on_is_known_since_when() -> None:
    with started(child_entries.busy) as child:
        until_ready(child, START.later(3.0))

        def at_work() -> bool:
            child.listen(START.later(3.0))
            return child.task is not None

        eventually(at_work)
        assert (child.task, child.task_since_s) == ({"token": "t", "study": "1.2.3"}, 1003.0)
        child.drain()
        until_dead(child)
        child.listen(START.later(5.0))
        assert child.task is None


def test_a_killed_child_is_started_again_at_once_the_first_time() -> None:
    with started(child_entries.orderly) as child:
        until_ready(child)
        first = child.pid
        child.kill()
        assert child.revive(START.later(1.0))
        assert child.alive
        assert (child.ready, child.restarts) == (False, 1)
        until_ready(child)
        assert child.pid != first
        assert not child.revive(START.later(1.1)), "it lives"


def test_a_child_that_keeps_dying_waits_longer_each_time() -> None:
    pauses, at = [], START
    with started(child_entries.dying) as child:
        for _ in range(8):
            until_dead(child)
            assert child.exit_status == 7
            noticed_s, before = at.mono_s, child.restarts
            assert child.revive(at), "the death is told once"
            while child.restarts == before:
                at = at.later(0.5)
                assert not child.revive(at), "and not again"
            pauses.append(at.mono_s - noticed_s)
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_a_child_that_lived_long_is_started_again_at_once() -> None:
    with started(child_entries.orderly) as child:
        at = START
        for _ in range(2):  # the second restart has to wait
            child.kill()
            child.revive(at)
            at = at.later(2.0)
            child.revive(at)
        assert child.restarts == 2
        at = at.later(SETTLED_AFTER_S + 1.0)
        child.kill()
        assert child.revive(at)
        assert child.restarts == 3


def test_a_child_that_hears_nothing_is_killed_at_the_limit() -> None:
    with started(child_entries.stubborn) as child:
        until_ready(child)
        child.drain()
        assert not child.join(0.3)
        assert not child.alive
        assert child.exit_status == -signal.SIGKILL


def test_signals_of_the_terminal_are_the_supervisors_business() -> None:
    """Ctrl-C reaches the whole group; the order in which the house stops is not the terminal's."""
    with started(child_entries.orderly) as child:
        until_ready(child)
        assert child.pid is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(child.pid, number)
        time.sleep(0.2)
        assert child.alive
        child.drain()
        assert child.join(PATIENCE_S)


def test_a_child_whose_supervisor_is_gone_leaves_at_once() -> None:
    with started(child_entries.orderly) as child:
        until_ready(child)
        child._close()
        until_dead(child)
        assert child.exit_status == ORPHANED


def test_children_do_not_outlive_a_killed_supervisor() -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.child_entries"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with supervisor:
        assert supervisor.stdout is not None
        pids = [int(pid) for pid in supervisor.stdout.readline().split()]
        assert len(pids) == 2
        children = [psutil.Process(pid) for pid in pids]
        supervisor.kill()
        _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
    assert not alive


def test_draining_a_dead_child_is_no_error() -> None:
    with started(child_entries.dying) as child:
        until_dead(child)
        child.drain()
        assert child.join(1.0)


def test_a_child_never_started_has_nothing_to_stop() -> None:
    child = Child("child", child_entries.orderly)
    child.listen(START)
    child.drain()
    assert not child.revive(START)
    assert child.join(0.1)
    assert (child.pid, child.alive, child.exit_status) == (None, False, None)


def test_a_child_ended_by_an_error_does_not_quote_it(capfd: pytest.CaptureFixture[str]) -> None:
    with started(child_entries.failing) as child:
        until_dead(child)
        assert child.exit_status == 1
    said = capfd.readouterr().err
    assert child_entries.SECRET not in said
    assert "ValueError < failing:" in said
