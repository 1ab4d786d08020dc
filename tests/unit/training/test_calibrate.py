"""Fitting a site's map: what it recovers, what it refuses, and the command around it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.calibration import Calibration, Method, log_odds
from training import calibrate, reliability
from training.calibrate import CannotCalibrate
from training.scores import calibration_error
from triaged.cli import app

ON = date(2026, 2, 3)
METHODS: tuple[Method, ...] = ("platt", "isotonic")


def _cases(n: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Overconfident scores: the true log odds are a third of what the score says, less one."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.5, 0.5, n)
    return scores, rng.random(n) < 1 / (1 + np.exp(1.0 - log_odds(scores) / 3.0))


@pytest.mark.parametrize("method", METHODS)
def test_a_fitted_map_finds_the_probabilities_behind_the_scores(method: Method) -> None:
    scores, labels = _cases(4000)
    made = calibrate.fit(scores, labels, method, made_on=ON)
    at = np.array([0.05, 0.3, 0.5, 0.7, 0.95])
    truth = 1 / (1 + np.exp(1.0 - log_odds(at) / 3.0))
    assert made.probabilities_of(at) == pytest.approx(truth, abs=0.06)
    assert (made.cases, made.positives, made.made_on) == (4000, labels.sum(), "2026-02-03")


@pytest.mark.parametrize("method", METHODS)
def test_the_error_after_is_measured_on_cases_the_map_never_saw(method: Method) -> None:
    scores, labels = _cases(400)
    verdict = calibrate.judge(scores, labels, method)
    assert verdict.helps
    assert verdict.ece_after.value < verdict.ece_before.value / 2
    assert verdict.ece_before.value == pytest.approx(calibration_error(scores, labels))
    made = calibrate.fit(scores, labels, method, made_on=ON)
    own = made.probabilities_of(scores)
    assert np.abs(own - verdict.held_out).max() > 1e-4


def test_classes_that_do_not_overlap_give_a_finite_map() -> None:
    scores = np.concatenate([np.linspace(0.0, 0.2, 40), np.linspace(0.8, 1.0, 40)])
    labels = scores > 0.5
    made = calibrate.fit(scores, labels, "platt", made_on=ON)
    assert 0.0 < made.probability(0.0) < 0.1
    assert 0.9 < made.probability(1.0) < 1.0


def test_no_sample_shows_that_something_is_always_so() -> None:
    scores = np.concatenate([np.linspace(0.0, 0.2, 150), np.linspace(0.8, 1.0, 50)])
    made = calibrate.fit(scores, scores > 0.5, "isotonic", made_on=ON)
    assert made.probability(1.0) == pytest.approx(1 - 1 / 202)
    assert made.probability(0.0) == pytest.approx(1 / 202)


@pytest.mark.parametrize(
    ("n", "positives", "method", "words"),
    [
        (300, 0, "platt", "all 300 cases are negative"),
        (300, 300, "isotonic", "all 300 cases are positive"),
        (49, 25, "platt", "too few for platt: it needs 50 cases, 20 of each class"),
        (300, 19, "platt", "19 positives and 281 negatives are too few"),
        (199, 99, "isotonic", "too few for isotonic.*platt needs fewer"),
    ],
)
def test_too_few_cases_are_refused_in_words(n: int, positives: int, method: Method, words: str) -> None:
    labels = np.arange(n) >= n - positives
    with pytest.raises(CannotCalibrate, match=words):
        calibrate.fit(np.linspace(0, 1, n), labels, method, made_on=ON)


@pytest.mark.parametrize("method", METHODS)
def test_reversed_labels_are_refused(method: Method) -> None:
    scores, labels = _cases(400)
    with pytest.raises(CannotCalibrate, match="are the labels reversed"):
        calibrate.fit(scores, ~labels, method, made_on=ON)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "missing: label, score|missing: score, label"),
        ("score,Name\n0.1,Doe\n", "missing: label"),
        ("score,label\n0.1,1\n1.2,0\n", "line 3: a score"),
        ("score,label\nnan,1\n", "line 2: a score"),
        ("score,label\nDoe,1\n", "line 2: a score"),
        ("score,label\n0.5,Doe\n", "line 2: a label"),
        ("score,label\n0.5\n", "line 2: a label"),
    ],
)
def test_a_bad_line_is_named_and_never_quoted(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(CannotCalibrate, match=words) as refused:
        calibrate.read_cases(path)
    assert "Doe" not in str(refused.value)


def test_other_columns_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("study,score,label\n1.2,0.25,0\n1.3,1, 1 \n", encoding="utf-8-sig")
    scores, labels = calibrate.read_cases(path)
    assert scores.tolist() == [0.25, 1.0]
    assert labels.tolist() == [False, True]


def test_bins_of_the_plot_hold_what_was_said_and_what_was_so() -> None:
    said = np.array([0.12, 0.18, 0.15, 0.95])
    (first, last) = reliability.bins(said, np.array([True, False, False, True]))
    assert first[:2] == pytest.approx((0.15, 1 / 3))
    assert first[2] < 1 / 3 < first[3]
    assert last[0] == 0.95
    assert (last[1], last[4]) == (1.0, 1)


def _csv(path: Path, scores: np.ndarray, labels: np.ndarray) -> Path:
    lines = [f"{score},{int(label)}" for score, label in zip(scores, labels, strict=True)]
    path.write_text("\n".join(["score,label", *lines]))
    return path


def test_the_command_writes_a_map_a_plot_and_what_they_are_worth(tmp_path: Path) -> None:
    table = _csv(tmp_path / "s.csv", *_cases(80))
    said = CliRunner().invoke(app, ["calibrate", str(table), "--out", str(tmp_path / "map.json"), "--json"])
    assert said.exit_code == 0, said.output
    made = Calibration.from_json((tmp_path / "map.json").read_text())
    assert (made.method, made.cases, made.model) == ("platt", 80, "")
    report = json.loads(said.stdout)
    assert report["cases"] == 80
    assert " to " in report["ece_after"]
    assert "scores of another model" in " ".join(said.stderr.split())
    with Image.open(tmp_path / "map.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    halves = np.split(pixels, [pixels.shape[1] // 2], axis=1)
    assert all((half == reliability.POINT).all(axis=-1).any() for half in halves)


def test_the_command_refuses_without_leaving_a_file(tmp_path: Path) -> None:
    table = _csv(tmp_path / "s.csv", *_cases(30))
    out = tmp_path / "map.json"
    for extra, words in (
        ([], "too few for platt"),
        (["--method", "spline"], "--method is one of platt, isotonic"),
        (["--model", "thresholding"], "gives no score"),
        (["--model", "no-such-model"], "neither a model nor the folder"),
    ):
        said = CliRunner().invoke(app, ["calibrate", str(table), "--out", str(out), *extra])
        assert said.exit_code != 0
        assert words in " ".join(said.stderr.split())
    assert list(tmp_path.iterdir()) == [table]
