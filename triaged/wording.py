"""Numbers as people read them; the one way in which board, worklist and picture write them."""

from __future__ import annotations

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def percent(fraction: float | None, unknown: str = "–") -> str:
    """ "38 %" from ten upwards, "2.7 %" below, where the thresholds lie; never 0 for something that was found."""
    if fraction is None:
        return unknown
    value = 100.0 * fraction
    if 0.0 < value < 0.1:
        return "< 0.1 %"
    return f"{value:.1f} %" if 0.0 < value < 9.95 else f"{value:.0f} %"


def duration(seconds: float) -> str:
    """A length of time in at most two units: "45 s", "7 min", "2 h 10 min", "3 d 4 h". The sign is the caller's."""
    s = round(abs(seconds))
    if s < MINUTE_S:
        return f"{s} s"
    if s < HOUR_S:
        return f"{s // MINUTE_S} min"
    if s < DAY_S:
        hours, minutes = divmod(s // MINUTE_S, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(s // HOUR_S, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
