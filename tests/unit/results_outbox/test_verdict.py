"""What an answer of the PACS means, and when to try again."""

from __future__ import annotations

import pytest

from triaged.config import Results
from triaged.results.verdict import Verdict, back_off_s, judge

RULES = Results(retry_first_s=30.0, retry_longest_s=3600.0)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.SENT),
        (0xB000, Verdict.SENT),  # coercion of data elements
        (0xB006, Verdict.SENT),
        (0xB007, Verdict.SENT),
        (0x0107, Verdict.SENT),  # attribute list error: a warning
        (0x0111, Verdict.SENT),  # duplicate SOP instance: the PACS has it
        (0xA700, Verdict.RETRY),
        (0xA7FF, Verdict.RETRY),
        (0x0110, Verdict.RETRY),  # processing failure
        (0x0213, Verdict.RETRY),  # resource limitation
        (0x1234, Verdict.RETRY),  # of no standard
        (None, Verdict.RETRY),
        (0x0122, Verdict.PARK),
        (0x0124, Verdict.PARK),
        (0xA800, Verdict.PARK),
        (0xA900, Verdict.PARK),
        (0xA9FF, Verdict.PARK),
        (0xC000, Verdict.PARK),
        (0xCFFF, Verdict.PARK),
    ],
)
def test_every_status_has_its_verdict(status: int | None, verdict: Verdict) -> None:
    assert judge(status)[0] is verdict


@pytest.mark.parametrize("status", [0x0122, 0xA700, 0xA900, 0xC123, 0x1234, 0xB007])
def test_the_reason_names_the_status(status: int) -> None:
    assert f"0x{status:04X}" in judge(status)[1]


def test_the_wait_doubles_up_to_its_bound() -> None:
    waits = [back_off_s(attempt, "1.2.3", RULES) for attempt in range(1, 100)]
    for attempt, wait in enumerate(waits[:7], start=1):
        assert 0.75 * 30 * 2 ** (attempt - 1) <= wait <= 30 * 2 ** (attempt - 1)
    assert all(0.75 * 3600 <= wait <= 3600 for wait in waits[7:])


def test_the_jitter_differs_from_object_to_object_and_not_from_time_to_time() -> None:
    waits = [back_off_s(3, f"1.2.{i}", RULES) for i in range(50)]
    assert len(set(waits)) == 50
    assert max(waits) - min(waits) > 0.15 * 120
    assert waits == [back_off_s(3, f"1.2.{i}", RULES) for i in range(50)]
