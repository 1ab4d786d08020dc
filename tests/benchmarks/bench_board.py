"""The board with a thousand studies, beside asking SQLite for the same rows and nothing else.

Over HTTP the list is kept for those who ask while nothing changes, and the page begins with its first rows.

    python -m tests.benchmarks board

A hospital's list is a tenth of that.
"""

from __future__ import annotations

import sqlite3
import tempfile
from datetime import timedelta
from pathlib import Path

import httpx

from tests.benchmarks.measured import Measured, in_turns, seconds
from tests.unit.web import sample
from tests.unit.web.serving import serving
from tests.unit.worklist.house import START, House, analysed, config_of, findings_of
from triaged.clock import Now
from triaged.records import OrderPriority
from triaged.store import Store
from triaged.worklist.board import read_board

STUDIES = 1000
REPEATS = 5
PRIORITIES = (OrderPriority.ROUTINE, OrderPriority.HIGH, OrderPriority.LOW, OrderPriority.STAT, OrderPriority.UNKNOWN)


def filled(house: House, number: int) -> Now:
    """Studies of every priority and severity, two minutes apart; returns the time after the last."""
    at = START
    with house.store.atomic():  # one commit: what is measured is reading
        for k in range(number):
            at = Now(utc=START.utc + timedelta(minutes=2 * k), mono_s=START.mono_s + 120.0 * k)
            house.ready(f"1.2.3.{k + 1}", at, PRIORITIES[k % 7 % 5])
            house.finish_next(analysed(findings_of((k * 37 % 100) / 100), digest=f"d{k}"), at)
    return at


def by_sql(database: Path) -> float:
    with sqlite3.connect(database) as connection:
        taken = seconds(lambda: connection.execute("SELECT * FROM studies ORDER BY tier, due, arrival_seq").fetchall())
    connection.close()
    return taken


def run() -> list[Measured]:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        config = config_of(top)
        with Store(config.database) as store:
            house = House(store, config)
            at = filled(house, STUDIES)
            best = in_turns(
                REPEATS,
                {
                    "ours": lambda: seconds(lambda: read_board(store, config, at)),
                    "sql": lambda: by_sql(config.database),
                },
            )
            assert len(read_board(store, config, at).items) == STUDIES
        served = _served(top / "served")
    what = f"the list of {STUDIES} studies, each with its place and why"
    sql = {"peer": "SELECT of the same rows", "peer_ms": 1000 * best["sql"]}
    return [
        Measured(what=what, ours_ms=1000 * best["ours"], **sql),
        *(
            Measured(what=f"{path} with {STUDIES} studies, over HTTP", ours_ms=1000 * s, **sql)
            for path, s in served.items()
        ),
    ]


def _served(folder: Path) -> dict[str, float]:
    """Seconds for the page and for the API, over HTTP, with as many studies."""
    folder.mkdir()
    with serving(folder, cases=sample.CASES[:1]) as house, house.client() as client:
        filled(House(house.store, house.config), STUDIES - 1)
        assert len(client.get("/api/worklist").json()) == STUDIES

        def asked(path: str) -> float:
            return seconds(lambda: _ok(client.get(path)))

        return in_turns(REPEATS, {path: (lambda p=path: asked(p)) for path in ("/api/worklist", "/")})


def _ok(answer: httpx.Response) -> None:
    answer.raise_for_status()
