"""One worker per card; the CPU where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from triaged.analysis.devices import devices


@pytest.fixture
def two_cards(tmp_path: Path) -> Path:
    for name in ("nvidia1", "nvidia0", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    return tmp_path


def test_auto_takes_every_card_in_order(two_cards: Path) -> None:
    assert devices("auto", 1, two_cards) == ["cuda:0", "cuda:1"]


def test_auto_without_a_card_is_the_cpu(tmp_path: Path) -> None:
    assert devices("auto", 1, tmp_path) == ["cpu"]


def test_what_was_asked_for_is_taken_as_often_as_wanted(two_cards: Path) -> None:
    assert devices("cpu", 3, two_cards) == ["cpu"] * 3
    assert devices("auto", 2, two_cards) == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]
