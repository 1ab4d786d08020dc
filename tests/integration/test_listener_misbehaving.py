"""Peers that break off, talk nonsense or say nothing: the listener goes on, and nothing half-received stays."""

from __future__ import annotations

import multiprocessing
import os
import socket
import struct
import threading
import time
from contextlib import ExitStack
from io import BytesIO
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import psutil
import pydicom
import pytest
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import P_DATA

from tests.support import eventually, free_port
from tests.unit.intake.making import STUDY, Running, associated, config_for, data_set, listening, send
from triaged.config import Config
from triaged.intake import wire
from triaged.intake.listener import SILENT_PER_ADDRESS, run
from triaged.intake.spool import Spool
from triaged.store import Store

A_ASSOCIATE_RQ, P_DATA_TF = 0x01, 0x04


def still_serves(running: Running) -> bool:
    return send(running.port, data_set(99, study="1.2.99")) == [0]


def until_gone(running: Running) -> None:
    eventually(lambda: not running.listener._ae.active_associations, within_s=10.0)


def begin_object(association: Any) -> None:
    """A C-STORE request and the first half of its data set, as a peer would send it before it dies."""
    ds = data_set(1)
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    request.DataSet = BytesIO(encode(ds, False, True) or b"")
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    pieces = list(message.encode_msg(association.accepted_contexts[0].context_id, 300))
    assert len(pieces) > 4
    for piece in pieces[: len(pieces) // 2]:
        assert isinstance(piece, P_DATA)
        association.dul.send_pdu(piece)


@pytest.mark.parametrize("how", ["abort", "hang up"])
def test_an_object_broken_off_in_the_middle_leaves_nothing(tmp_path: Path, how: str) -> None:
    with listening(config_for(tmp_path)) as running:
        with associated(running.port, [data_set()]) as association:
            assert association.send_c_store(data_set(7)).Status == 0
            begin_object(association)
            eventually(running.leftovers, within_s=5.0)
            if how == "abort":
                association.abort()
            else:
                association.dul.socket._shutdown_socket()
                association.kill()
        until_gone(running)
        assert running.leftovers() == []
        assert len(running.spool.paths(STUDY, f"{STUDY}.2")) == 1
        (pending,) = running.store.studies.pending()
        assert all(touch.closed_mono_s is not None for touch in pending.touches)
        assert still_serves(running)


def test_a_peer_that_does_not_wait_for_answers_and_leaves_leaves_nothing(tmp_path: Path) -> None:
    with listening(config_for(tmp_path)) as running:
        with associated(running.port, [data_set()]) as association:
            for number in range(1, 30):
                ds, request = data_set(number), C_STORE()
                request.MessageID, request.Priority = number, 2
                request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
                request.DataSet = BytesIO(encode(ds, False, True) or b"")
                association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
            time.sleep(0.1)
            association.abort()
        until_gone(running)
        assert running.leftovers() == []
        assert still_serves(running)


@pytest.mark.parametrize(
    "words",
    [
        b"GET / HTTP/1.1\r\nHost: triaged\r\n\r\n",
        bytes(range(256)) * 8,
        struct.pack(">BBL", A_ASSOCIATE_RQ, 0, 68) + b"\0" * 68,
        struct.pack(">BBL", A_ASSOCIATE_RQ, 0, 0xFFFFFFF0) + b"\0" * 100,
    ],
    ids=["http", "noise", "empty request", "four gigabytes"],
)
def test_nonsense_is_hung_up_on(tmp_path: Path, words: bytes) -> None:
    with listening(config_for(tmp_path)) as running:
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as peer:
            peer.sendall(words)
            answer = b""
            try:
                while chunk := peer.recv(4096):
                    answer += chunk
            except ConnectionResetError:
                pass
            assert len(answer) < 100  # an abort at most
        until_gone(running)
        assert still_serves(running)


def test_a_store_that_names_no_instance_is_aborted_not_ignored(tmp_path: Path) -> None:
    with listening(config_for(tmp_path)) as running:
        with associated(running.port, [data_set()]) as association:
            request = C_STORE()
            request.MessageID, request.Priority = 1, 2
            request.AffectedSOPClassUID = data_set().SOPClassUID
            request.DataSet = BytesIO(encode(data_set(), False, True) or b"")
            association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
            eventually(lambda: association.is_aborted, within_s=5.0)
        until_gone(running)
        assert running.leftovers() == []
        assert still_serves(running)


def test_half_open_connections_do_not_hold_others_up(tmp_path: Path) -> None:
    with listening(config_for(tmp_path)) as running:
        silent = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(5)]
        silent[0].sendall(struct.pack(">BBL", A_ASSOCIATE_RQ, 0, 1000) + b"half")
        assert still_serves(running)
        for one in silent:
            one.close()
        until_gone(running)


def test_connections_that_say_nothing_take_no_place_and_are_bounded(tmp_path: Path) -> None:
    with listening(config_for(tmp_path, dicom="max_associations = 2")) as running, ExitStack() as open_ones:
        for _ in range(26):
            open_ones.enter_context(socket.create_connection(("127.0.0.1", running.port)))
        assert still_serves(running)
        for _ in range(SILENT_PER_ADDRESS - 26):
            open_ones.enter_context(socket.create_connection(("127.0.0.1", running.port)))
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:  # until those before it have their threads
            with socket.create_connection(("127.0.0.1", running.port), timeout=0.5) as one_more:
                try:
                    assert one_more.recv(1) == b""
                    return
                except TimeoutError:
                    continue
        pytest.fail("there is no limit to connections that say nothing")


def test_a_peer_that_stalls_in_the_middle_of_a_pdu_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with listening(config_for(tmp_path)) as running, associated(running.port, [data_set()]) as association:
        assert association.send_c_store(data_set(1)).Status == 0
        association.dul.socket.socket.sendall(struct.pack(">BBL", P_DATA_TF, 0, 100_000) + b"half")
        time.sleep(0.2)
        began = time.monotonic()
        running.listener.close(drain_s=0.2)
        assert time.monotonic() - began < 5.0
        assert running.store.studies.get(STUDY).instance_count == 1
        association.abort()


def test_a_full_disk_in_the_middle_of_an_object_is_answered_not_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(config_for(tmp_path)) as running, associated(running.port, [data_set()]) as association:

        def no_space_left(self: wire.Incoming, data: bytes) -> None:
            raise OSError(28, os.strerror(28))

        with monkeypatch.context() as disk:
            disk.setattr(wire.Incoming, "_append", no_space_left)
            assert association.send_c_store(data_set(1)).Status == 0xA700
        assert association.send_c_store(data_set(1)).Status == 0


# -- the process -------------------------------------------------------------------------------------------------------


def started(config: Config) -> tuple[SpawnProcess, Connection, int]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=run, args=(config, theirs))
    process.start()
    theirs.close()
    assert ours.poll(30)
    said, port = ours.recv()
    assert said == "ready"
    return process, ours, port


def test_the_process_drains_and_exits_with_nothing_lost(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    process, supervisor, port = started(config)
    with associated(port, [data_set()]) as association:
        assert association.send_c_store(data_set(1)).Status == 0
        supervisor.send("drain")
        time.sleep(0.5)
        assert association.send_c_store(data_set(2)).Status == 0  # an open association may finish
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
    process.join(20)
    assert process.exitcode == 0
    with Store(config.database) as store:
        assert store.studies.get(STUDY).instance_count == 2


def test_the_process_dies_with_its_supervisor_and_frees_the_port(tmp_path: Path) -> None:
    config = config_for(tmp_path, dicom="").model_copy(deep=True)
    config = config.model_copy(update={"dicom": config.dicom.model_copy(update={"port": free_port()})})
    process, supervisor, port = started(config)
    with associated(port, [data_set()]) as association:
        assert association.send_c_store(data_set(1)).Status == 0
        supervisor.close()  # as a killed supervisor's end would
        process.join(20)
        assert process.exitcode not in (0, None)
        association.abort()
    again, supervisor, port = started(config)  # the very same port
    assert send(port, data_set(1), data_set(2)) == [0, 0]
    supervisor.send("drain")
    again.join(20)
    assert again.exitcode == 0


def test_a_killed_listener_has_lost_nothing_it_answered_with_success(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    process, supervisor, port = started(config)
    answered = []
    killer = threading.Timer(0.4, lambda: psutil.Process(process.pid).kill())
    with associated(port, [data_set()]) as association:
        for k in range(1, 100_000):
            status = association.send_c_store(data_set(k))
            if "Status" not in status:
                break
            assert status.Status == 0
            if not answered:
                killer.start()  # not before: on a busy machine the first answer may take longer
            answered.append(k)
        process.join(20)
        association.abort()
    supervisor.close()
    assert answered
    with Store(config.database) as store, store.atomic():
        store.execute("DELETE FROM touches")
        store.execute("DELETE FROM series")  # as if the crash had come before the rows
    again, supervisor, port = started(config)  # puts right what the dead one left before it opens the door
    supervisor.send("drain")
    again.join(20)
    spool = Spool(config.spool, min_free_mb=0)
    with Store(config.database) as store:
        kept = {int(path.stem.rpartition(".")[2]): path for path in spool.paths(STUDY, f"{STUDY}.2")}
        assert set(answered) <= set(kept)
        assert all(pydicom.dcmread(kept[k]).PixelData == data_set(k).PixelData for k in answered)
        assert store.studies.get(STUDY).instance_count == len(kept)
