"""The supervisor's own decisions that no process is needed for."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apscheduler.schedulers.background import BackgroundScheduler

from triaged.clock import Now, now
from triaged.config import parse
from triaged.daemon import Daemon


def test_rounds_go_on_when_the_clock_is_set_back(tmp_path: Path) -> None:
    daemon = Daemon(parse(f'[storage]\npath = "{tmp_path}"'))
    ran = threading.Event()
    daemon.scheduler = BackgroundScheduler(timezone="UTC")
    # An hour was taken off the clock: what was due in a moment is due in an hour.
    daemon.scheduler.add_job(ran.set, "interval", seconds=1, next_run_time=datetime.now(UTC) + timedelta(hours=1))
    daemon.scheduler.start()
    try:
        at = now()
        daemon._follow_the_clock(at)
        assert not ran.wait(0.3)
        daemon._follow_the_clock(Now(utc=at.utc, mono_s=at.mono_s + 3600.0))
        assert ran.wait(10)
    finally:
        daemon.scheduler.shutdown()
