"""`triaged train` as a person meets it: what it prints, its exit status, and being stopped."""

from __future__ import annotations

import importlib.util
import io
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from models.bundle import read_card
from tests.unit.training.small_patients import SMALLER, written
from training import studydata, watch
from training.checkpoint import peek
from training.loop import LAST, Progress, TrainingError
from triaged.cli import app


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data"))


def command(data: Path, out: Path, *more: str) -> list[str]:
    words = ["train", "lungs-unet", "--scale", "tiny", "--data", str(data), "--out", str(out), "--device", "cpu"]
    return [*words, *(word for change in SMALLER["lungs-unet"] for word in ("--set", change)), *more]


def test_a_training_prints_its_bundle_and_its_scores(data: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, command(data, tmp_path, "--set", "width=1", "--json"))
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    card = read_card(Path(said["bundle"]))
    assert card.arguments == {"width": 1, "levels": 3}
    assert said["scores"]["lung Dice"] == pytest.approx(card.scores["lung Dice"], abs=1e-4)
    assert "step 8: lung Dice" in ran.stderr


@pytest.mark.parametrize(
    ("more", "words"), [(("--set", "widht=1"), "widht"), (("--scale", "huge"), "huge"), (("--resume",), "no training")]
)
def test_mistakes_end_in_one_line(more: tuple[str, ...], words: str, data: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, command(data, tmp_path, *more))
    assert ran.exit_code == 1
    assert words in ran.stderr
    assert "Traceback" not in ran.output


def test_without_data_the_phantoms_of_the_scale_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    few = replace(studydata.SIZES["tiny"], train=2, validation=1)
    monkeypatch.setattr(studydata, "SIZES", {"tiny": few})
    words = ["train", "lungs-unet", "--scale", "tiny", "--device", "cpu", "--set", "width=1", "--set", "levels=2"]
    ran = CliRunner().invoke(app, [*words, "--json"])
    assert ran.exit_code == 0, ran.output
    card = read_card(tmp_path / json.loads(ran.stdout)["bundle"])
    assert "2 synthetic patients" in card.training_data
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["data-tiny", "lungs-unet-tiny"]
    asked = CliRunner().invoke(app, ["train", "lungs-unet", "--scale", "paper"])
    assert asked.exit_code == 1
    assert "--scale paper needs --data" in asked.stderr
    assert "no recipe lungs-net" in CliRunner().invoke(app, ["train", "lungs-net"]).stderr


def test_interrupted_training_says_so_and_can_be_resumed(data: Path, tmp_path: Path) -> None:
    """Given a training far from its end; when it is told to stop; then it exits 1 and leaves a whole checkpoint."""
    words = [sys.executable, "-m", "triaged", *command(data, tmp_path, "--set", "steps=100000")]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = ""
        for line in process.stderr:
            seen += line
            if "step 4:" in line:
                process.send_signal(signal.SIGTERM)
                break
        seen += process.stderr.read()
        assert process.wait(60) == 1, seen
    assert "--resume continues" in seen
    assert 4 <= peek(tmp_path / LAST).step < 100_000


def test_the_terminal_shows_losses_and_scores() -> None:
    console = Console(file=io.StringIO(), width=160)
    with watch.terminal(console) as show:
        show(Progress(stage="one", step=1, steps=2, losses={"a": 0.25}))
        show(Progress(stage="one", step=2, steps=2, losses={"a": 0.125}, scores={"Dice": 0.5}))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "one, step 2: Dice 0.500" in printed
    assert "2/2" in printed


def test_tensorboard_is_written_or_named_as_missing(tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(TrainingError, match="not installed"), watch.tensorboard(tmp_path):
            pass
        return
    with watch.tensorboard(tmp_path) as show:
        show(Progress(stage="one", step=1, steps=2, losses={"a": 0.25}, scores={"Dice": 0.5}))
    assert any(path.stat().st_size > 0 for path in tmp_path.glob("events*"))
