"""A calibration keeps the order, stays a probability, and refuses a file that says otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import Calibration

PLATT = Calibration(method="platt", slope=0.8, intercept=-1.5, cases=120, positives=40, made_on="2026-02-03")
ISOTONIC = replace(
    PLATT,
    method="isotonic",
    slope=0.0,
    intercept=0.0,
    scores=(0.1, 0.4, 0.6, 0.9),
    probabilities=(0.05, 0.05, 0.7, 0.95),
    model="ct-triage 2",
    model_sha256="ab" * 32,
)

SCORES = st.floats(0.0, 1.0)
PLATTS = st.builds(
    lambda slope, intercept: replace(PLATT, slope=slope, intercept=intercept), st.floats(1e-6, 50), st.floats(-50, 50)
)


@st.composite
def isotonics(draw: st.DrawFn) -> Calibration:
    knots = sorted(draw(st.sets(SCORES, min_size=2, max_size=8)))
    values = sorted(draw(st.lists(SCORES, min_size=len(knots), max_size=len(knots))))
    return replace(ISOTONIC, scores=tuple(knots), probabilities=tuple(values))


@given(st.one_of(PLATTS, isotonics()), st.lists(SCORES, min_size=2, max_size=20))
def test_no_map_reverses_two_studies_or_leaves_zero_to_one(made: Calibration, scores: list[float]) -> None:
    found = made.probabilities_of(sorted(scores))
    assert ((found >= 0.0) & (found <= 1.0)).all()
    assert (np.diff(found) >= -1e-15).all()


@given(st.one_of(PLATTS, isotonics()))
def test_a_map_survives_its_file(made: Calibration) -> None:
    assert Calibration.from_json(made.to_json()) == made


def test_platt_is_the_logistic_function_of_the_log_odds() -> None:
    assert PLATT.probability(0.5) == pytest.approx(1 / (1 + np.exp(1.5)))
    assert PLATT.probability(0.9) == pytest.approx(1 / (1 + np.exp(1.5 - 0.8 * np.log(9.0))))
    assert 0.0 < PLATT.probability(0.0) < PLATT.probability(1.0) < 1.0


def test_isotonic_is_a_line_through_its_knots_and_flat_beyond_them() -> None:
    assert ISOTONIC.probabilities_of([0.0, 0.1, 0.5, 0.6, 0.75, 1.0]) == pytest.approx(
        [0.05, 0.05, 0.375, 0.7, 0.825, 0.95]
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "spline"}, "none of platt, isotonic"),
        ({"slope": -0.1}, "must be positive"),
        ({"slope": float("nan")}, "must be positive"),
        ({"slope": None}, "not a calibration"),
        ({"positives": 120}, "both classes"),
        ({"format": 2}, "reads format 1"),
        ({"author": "nobody"}, "not a calibration"),
    ],
)
def test_a_file_that_holds_no_rising_map_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Calibration.from_json(json.dumps({**json.loads(PLATT.to_json()), **change}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scores": [0.1, 0.6, 0.4, 0.9]}, "ascend"),
        ({"scores": [0.1, 0.4, 0.6, 1.1]}, "ascend"),
        ({"probabilities": [0.05, 0.7, 0.05, 0.95]}, "must not fall"),
        ({"probabilities": [0.05, 0.05, 0.7, 1.2]}, "within"),
        ({"probabilities": [0.05, 0.7]}, "as many"),
        ({"scores": [0.1], "probabilities": [0.1]}, "two at least"),
        ({"probabilities": [0.05, float("nan"), 0.7, 0.95]}, "must not fall"),
    ],
)
def test_knots_that_fall_or_leave_the_range_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Calibration.from_json(json.dumps({**json.loads(ISOTONIC.to_json()), **change}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '"platt"'])
def test_what_is_no_calibration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a calibration|Expecting value"):
        Calibration.from_json(text)
