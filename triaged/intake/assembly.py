"""When is a study ready? Pure: (what arrived, now, rules) -> Ready | Wait(until).

A release alone is no proof of completeness, and routers keep associations open all day: so the study is ready when
nothing came for `quiet_s` after the last association that touched it was released or fell silent for `idle_s`. The
hard timeout never discards: it goes on with what is there, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from triaged.clock import Now
from triaged.config import Assembly
from triaged.records import Pending, Touch

ASK_AGAIN_S = 5.0  # between two counts that are asked of the PACS: an archive that is still writing moves within it


@dataclass(frozen=True, kw_only=True)
class ExpectedCount:
    """What the PACS says it holds of a study, and what we hold. `is_stable`: two queries in a row said the same."""

    in_pacs: int
    here: int
    is_stable: bool


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The study can be analysed. `partial`: the hard timeout passed while it was still coming."""

    partial: bool


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Nothing to decide before `until_mono_s`, unless something arrives."""

    until_mono_s: float


def decide(pending: Pending, now: Now, rules: Assembly, expected: ExpectedCount | None = None) -> Ready | Wait:
    """Whether a study's arrivals are complete. A higher count at the PACS prolongs, a stable equal one shortens."""
    ends = [_end(touch, rules) for touch in pending.touches]
    over_at = max([pending.last_arrival_mono_s, *ends])
    ready_at = over_at + rules.quiet_s
    limit = pending.first_mono_s + rules.hard_timeout_s
    is_missing = expected is not None and expected.in_pacs > expected.here
    is_whole = expected is not None and expected.is_stable and expected.in_pacs == expected.here
    if is_whole and now.mono_s >= over_at:
        return Ready(partial=False)
    if now.mono_s >= ready_at and not is_missing:
        return Ready(partial=False)
    if now.mono_s >= limit:
        return Ready(partial=True)
    if is_missing:
        return Wait(until_mono_s=min(now.mono_s + ASK_AGAIN_S, limit))
    return Wait(until_mono_s=min(ready_at, limit))


def _end(touch: Touch, rules: Assembly) -> float:
    """When an association ended for this study: released, or silent for long enough."""
    silent_at = touch.last_arrival_mono_s + rules.idle_s
    return silent_at if touch.closed_mono_s is None else min(touch.closed_mono_s, silent_at)
