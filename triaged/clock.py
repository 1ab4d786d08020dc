"""The one place that asks what time it is. Everything else is given a `Now`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, kw_only=True)
class Now:
    """One instant on two clocks: `utc` for what people read, `mono_s` for waiting.

    `mono_s` is CLOCK_MONOTONIC: the same in every process of this machine, untouched when the wall clock is set,
    and reset by a reboot (which is why start-up releases every claim and closes every association).
    """

    utc: datetime
    mono_s: float

    def later(self, seconds: float) -> Now:
        return Now(utc=self.utc + timedelta(seconds=seconds), mono_s=self.mono_s + seconds)


def now() -> Now:
    return Now(utc=datetime.now(UTC), mono_s=time.monotonic())
