"""A fraction as people read it; the one way in which board, worklist and picture write it."""

from __future__ import annotations


def percent(fraction: float | None, unknown: str = "–") -> str:
    """ "38 %" from ten upwards, "2.7 %" below, where the thresholds lie; never 0 for something that was found."""
    if fraction is None:
        return unknown
    value = 100.0 * fraction
    if 0.0 < value < 0.1:
        return "< 0.1 %"
    return f"{value:.1f} %" if 0.0 < value < 9.95 else f"{value:.0f} %"
