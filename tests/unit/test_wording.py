"""Numbers as words."""

from __future__ import annotations

import pytest

from triaged.wording import duration, percent


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


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (45, "45 s"),
        (59.6, "1 min"),
        (420, "7 min"),
        (59 * 60 + 59, "59 min"),
        (7200, "2 h"),
        (7800, "2 h 10 min"),
        (86400, "1 d"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said
    assert duration(-seconds) == said
