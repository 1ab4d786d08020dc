"""Running pipelines over a data set: nothing is measured twice, nothing is taken for what it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.predict import UnknownModel
from tests.unit.training.some_cases import SomeCases
from training import judge as judging
from training.datasets.heldout import HeldOutPhantoms
from training.evaluate import CLASSICAL, Contender
from training.judge import Judged, judge
from training.measure import Measured

GENERIC = Contender(label="generic", lungs="generic-lungs", triage="thresholding")


def _untimed(judged: Judged) -> list[list[Measured]]:
    return [[replace(one, seconds=0.0) for one in measured] for measured in judged.measured]


def _asked(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def test_a_run_that_was_stopped_is_continued(tmp_path: Path) -> None:
    log, keep = tmp_path / "log", tmp_path / "kept"
    with pytest.raises(FileNotFoundError):
        judge(SomeCases(count=3, log=log, missing=1), [], keep=keep)
    assert _asked(log) == [0, 1]
    log.unlink()
    done: list[tuple[int, int]] = []
    judged = judge(SomeCases(count=3, log=log), [], keep=keep, progress=lambda n, of: done.append((n, of)))
    assert _asked(log) == [1, 2]
    assert done == [(n, 3) for n in (1, 2, 3)]
    assert [case.name for case in judged.cases] == ["c0", "c1", "c2"]
    assert judged == judge(SomeCases(count=3, log=log), [], keep=keep)
    assert _asked(log) == [1, 2]


def test_who_joins_later_runs_alone(tmp_path: Path) -> None:
    first = judge(SomeCases(count=3), [], keep=tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    both = judge(SomeCases(count=3), [GENERIC], keep=tmp_path)
    assert len(files) == 3
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert len(list(tmp_path.iterdir())) == 6
    assert both.measured[0] == first.measured[0]
    assert both.measured[1] != both.measured[0]


def test_what_other_code_measured_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    judge(SomeCases(count=3, log=log), [], keep=tmp_path / "kept")
    monkeypatch.setattr(judging, "code", lambda: "changed")
    judge(SomeCases(count=3, log=log), [], keep=tmp_path / "kept")
    assert _asked(log) == [0, 1, 2, 0, 1, 2]


def test_an_unknown_model_is_told_before_any_case_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        judge(SomeCases(count=3, log=tmp_path / "log"), [replace(GENERIC, triage="hope")])
    assert _asked(tmp_path / "log") == []


def test_two_processes_measure_what_one_measures() -> None:
    phantoms = HeldOutPhantoms(count=2, pixels=72, slice_mm=30.0)
    alone, together = judge(phantoms, []), judge(phantoms, [], workers=2)
    assert together.cases == alone.cases
    assert _untimed(together) == _untimed(alone)
    assert together.contenders == (CLASSICAL,)
    assert all(measured.seconds > 0 for measured in together.measured[0])
