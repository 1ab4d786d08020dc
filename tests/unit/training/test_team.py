"""Several processes train one network: the same step as one process that adds their gradients, written once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.bundle import read_card, read_tensors
from tests.unit.training.small_patients import SMALLER, written
from training.errors import TrainingError
from training.team import ALONE, team


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data"))


def trained(data: Path, out: Path, *options: str) -> Path:
    """The bundle, by the command as a researcher gives it."""
    words = ["train", "lungs-unet", "--scale", "tiny", "--data", str(data), "--out", str(out), "--threads", "1"]
    words += [word for change in SMALLER["lungs-unet"] for word in ("--set", change)]
    program = [sys.executable, "-m", "triaged", *words, "--device", "cpu", "--json", *options]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=120, env=dict(os.environ), check=False)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)  # one document: the other process keeps silent
    return Path(said["bundle"])


def test_two_processes_step_as_one_that_adds_two_batches(data: Path, tmp_path: Path) -> None:
    """Given the same two batches per step; when two processes take one each; then the weights are those of one process
    that takes both, and not those of one batch."""
    together = trained(data, tmp_path / "two", "--devices", "2")
    added = trained(data, tmp_path / "added", "--accumulate", "2")
    alone = trained(data, tmp_path / "one")
    two, one_of_two, one = (read_tensors(bundle) for bundle in (together, added, alone))
    learned = [name for name in two if name.endswith("weight")]
    apart = {name: float((two[name] - one_of_two[name]).abs().max()) for name in learned}
    assert max(apart.values()) < 1e-4, apart
    assert any(not torch.allclose(two[name], one[name], atol=1e-3) for name in learned)
    assert json.loads((tmp_path / "two" / "manifest.json").read_text())["processes"] == 2
    assert "gradients of 2 batches together" in read_card(together).limits
    assert "together" not in read_card(alone).limits


def test_what_cannot_be_started_is_said() -> None:
    assert team("cpu", 1) == ALONE
    with pytest.raises(TrainingError, match="do not name one"):
        team("cuda:1", 2)
    if torch.cuda.device_count() < 2:
        with pytest.raises(TrainingError, match="2 devices were asked for"):
            team("cuda", 2)
