"""Fractions as words."""

from __future__ import annotations

import pytest

from triaged.percent import percent


@pytest.mark.parametrize(
    ("fraction", "words"),
    [
        (0.0, "0 %"),
        (0.0004, "< 0.1 %"),
        (0.004, "0.4 %"),
        (0.027, "2.7 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.381, "38 %"),
        (1.0, "100 %"),
    ],
)
def test_percentages_carry_no_digits_that_mean_nothing(fraction: float, words: str) -> None:
    assert percent(fraction) == words


def test_what_is_not_known_is_no_number() -> None:
    assert percent(None) == "–"
    assert percent(None, "unknown") == "unknown"
