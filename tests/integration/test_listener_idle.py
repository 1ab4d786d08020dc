"""Associations that a router keeps open all day: they cost next to nothing, and are as quick as any when used."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.intake.making import associated, config_for, data_set, listening
from triaged.intake import wire

STUDIES = tuple(f"1.2.826.0.1.3680043.10.{k}" for k in range(1, 4))


def test_open_associations_are_waited_for_not_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both threads of an association look some fifty times a second; pynetdicom's own look a thousand times."""
    looks = {"socket": 0, "messages": 0}
    look_at_socket, look_for_message = wire._Socket._wait, wire._Messages.get_msg

    def counted_socket(self: Any, *arguments: Any) -> None:
        looks["socket"] += 1
        look_at_socket(self, *arguments)

    def counted_messages(self: Any, block: bool = False) -> Any:
        looks["messages"] += 1
        return look_for_message(self, block)

    with listening(config_for(tmp_path)) as running, associated(running.port, [data_set()]):
        monkeypatch.setattr(wire._Socket, "_wait", counted_socket)
        monkeypatch.setattr(wire._Messages, "get_msg", counted_messages)
        time.sleep(2.0)
        counted = dict(looks)
    assert 0 < counted["socket"] < 300
    assert 0 < counted["messages"] < 300


def test_an_association_that_was_silent_takes_the_next_study(tmp_path: Path) -> None:
    images = [data_set(1, study=study) for study in STUDIES]
    with listening(config_for(tmp_path)) as running:
        with associated(running.port, images) as association:
            for image in images:
                assert association.send_c_store(image).Status == 0x0000
                time.sleep(0.3)
            assert association.is_established
        assert sorted(running.spool.studies()) == sorted(STUDIES)


def test_every_request_counts_as_handled_once_it_is_answered(tmp_path: Path) -> None:
    """A count that never comes to rest would have the association polled for ever."""
    with listening(config_for(tmp_path)) as running, associated(running.port, [data_set()]) as association:
        for number in range(1, 6):
            assert association.send_c_store(data_set(number)).Status == 0x0000
        served: list[Any] = running.listener._ae.active_associations
        time.sleep(0.1)
        assert [(a.dimse.received, a.served, a.is_busy) for a in served] == [(5, 5, False)]
