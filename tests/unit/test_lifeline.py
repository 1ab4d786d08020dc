"""The child's end of the pipe: asks once, tells in whole messages. What ends the process is in test_children."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from triaged.lifeline import Lifeline


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Lifeline]]:
    """The supervisor's end and the child's. Neither is closed: an end-of-file would end this very process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ours, theirs = Pipe()
    KEPT.append((ours, theirs))
    yield ours, Lifeline(theirs)
    for number, handler in before.items():
        signal.signal(number, handler)


KEPT: list[tuple[Connection, Connection]] = []  # the lifeline's thread reads its end for as long as the process lives


def test_ready_tells_what_the_supervisor_has_to_know(ends: tuple[Connection, Lifeline]) -> None:
    ours, lifeline = ends
    lifeline.ready(11112)
    assert ours.recv() == ("ready", 11112)


def test_draining_is_asked_for_once_and_anything_else_is_not_it(ends: tuple[Connection, Lifeline]) -> None:
    ours, lifeline = ends
    ours.send("hello")
    assert not lifeline.draining.wait(0.1)
    ours.send("drain")
    assert lifeline.draining.wait(10.0)


def test_messages_of_several_threads_arrive_whole(ends: tuple[Connection, Lifeline]) -> None:
    ours, lifeline = ends

    def talk(who: int) -> None:
        for n in range(200):
            lifeline.say(("task", {"who": who, "n": n, "long": "x" * 500}))

    threads = [threading.Thread(target=talk, args=(who,)) for who in range(3)]
    for thread in threads:
        thread.start()
    heard = [ours.recv() for _ in range(600)]
    for thread in threads:
        thread.join()
    for who in range(3):
        assert [detail["n"] for _, detail in heard if detail["who"] == who] == list(range(200))
