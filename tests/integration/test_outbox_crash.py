"""The outbox as a process: killed where it hurts, orphaned, asked to stop."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from tests.integration.odd_pacs import OddPacs, odd_pacs
from tests.integration.outbox_house import House, settings
from tests.integration.test_outbox import data_set_of
from tests.orthanc import orthanc
from tests.support import eventually
from triaged import clock
from triaged.config import Config
from triaged.lifeline import ORPHANED
from triaged.records import DeliveryState, Role
from triaged.results.outbox import run

PATIENCE_S = 60.0


@dataclass
class Process:
    process: SpawnProcess
    pipe: Connection

    def kill(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join(10)


@contextmanager
def outbox_process(config: Config) -> Iterator[Process]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run, args=(config, theirs))
    process.start()
    theirs.close()
    try:
        assert ours.poll(PATIENCE_S), "the outbox did not become ready"
        assert ours.recv() == ("ready", None)
        yield Process(process, ours)
    finally:
        ours.close()
        process.join(20)
        if process.is_alive():
            process.kill()
            process.join()
        process.close()


def all_sent(house: House, study: str) -> bool:
    return set(house.states(study).values()) == {DeliveryState.SENT}


def test_killed_between_encoding_and_sending_it_sends_those_bytes_once(tmp_path: Path) -> None:
    with socket.socket() as door:  # takes the connection and never says a word
        door.bind(("127.0.0.1", 0))
        door.listen()
        port = door.getsockname()[1]
        house = House.at(settings(tmp_path, port))
        house.now = clock.now()
        study = house.analysed("killed")
        with outbox_process(house.config) as outbox:
            eventually(lambda: all(d.path for d in house.deliveries(study).values()), within_s=PATIENCE_S)
            outbox.kill()
    encoded = {d.sop_uid: d.sha256 for d in house.deliveries(study).values()}
    assert set(house.states(study).values()) == {DeliveryState.SENDING}

    with orthanc(tmp_path, extra={"DicomPort": port}) as pacs, outbox_process(house.config):
        eventually(lambda: all_sent(house, study), within_s=PATIENCE_S)
        assert pacs.sop_uids(study) == sorted(encoded)
        for delivery in house.deliveries(study).values():
            stored = (house.config.storage.path / str(delivery.path)).read_bytes()
            assert delivery.sha256 == encoded[delivery.sop_uid]
            assert data_set_of(pacs.file(delivery.sop_uid)) == data_set_of(stored)
    house.store.close()


@contextmanager
def disturbed(folder: Path, act: Callable[[Process], None]) -> Iterator[tuple[OddPacs, House, str, Process]]:
    """An outbox that has ended, after something was done to it once: when the PACS had its first object of a study, and
    before that was answered."""
    running: list[Process] = []

    def once(sop_uid: str) -> None:
        if running:
            act(running.pop())

    with odd_pacs(OddPacs(before_answer=once)) as pacs:
        house = House.at(settings(folder, pacs.port))
        house.now = clock.now()
        study = house.receive("disturbed")
        with outbox_process(house.config) as outbox:
            running.append(outbox)
            house.analyse(study)
            outbox.process.join(PATIENCE_S)
            yield pacs, house, study, outbox
    house.store.close()


def test_killed_between_sending_and_marking_it_sends_the_same_bytes_again(tmp_path: Path) -> None:
    with disturbed(tmp_path, Process.kill) as (pacs, house, study, _):
        assert house.states(study)[Role.SEG] is DeliveryState.SENDING
        with outbox_process(house.config):
            eventually(lambda: all_sent(house, study), within_s=PATIENCE_S)
    assert [role for _, role, _ in pacs.received] == [Role.SEG, Role.SEG, Role.SR, Role.PICTURE]
    assert pacs.received[0] == pacs.received[1]


def test_asked_to_stop_it_finishes_the_object_in_hand_and_keeps_the_others(tmp_path: Path) -> None:
    def ask(outbox: Process) -> None:
        outbox.pipe.send("drain")
        time.sleep(1.0)  # longer than the message takes

    with disturbed(tmp_path, ask) as (pacs, house, study, outbox):
        assert outbox.process.exitcode == 0
        waiting = DeliveryState.WAITING
        assert house.states(study) == {Role.SEG: DeliveryState.SENT, Role.SR: waiting, Role.PICTURE: waiting}
        assert [d.attempts for d in house.deliveries(study).values()] == [1, 0, 0]
    assert len(pacs.received) == 1


def test_it_does_not_outlive_its_supervisor(tmp_path: Path) -> None:
    house = House.at(settings(tmp_path, 9))
    with outbox_process(house.config) as outbox:
        outbox.pipe.close()
        outbox.process.join(10)
        assert outbox.process.exitcode == ORPHANED
    house.store.close()
