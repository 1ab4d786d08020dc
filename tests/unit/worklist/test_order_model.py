"""The order as arithmetic: the invariants over lists and sites that no store has to hold, and many more of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given, settings

from tests.unit.worklist.house import START, config_of
from triaged.config import Worklist
from triaged.records import OrderPriority, Place, Tier
from triaged.worklist import policy

RULES = config_of(Path("unused")).worklist


@dataclass(frozen=True)
class Row:
    seq: int
    received_at: datetime
    priority: OrderPriority
    urgency: float
    place: Place

    @property
    def ai_key(self) -> tuple[Tier, datetime, int]:
        return self.place.tier, self.place.due, self.seq

    @property
    def baseline_key(self) -> tuple[Tier, datetime, int]:
        return self.place.baseline_tier, self.place.baseline_due, self.seq


@st.composite
def sites(draw: st.DrawFn) -> Worklist:
    names = ("critical_minutes", "high_minutes", "routine_minutes", "low_minutes")
    values = sorted(draw(st.lists(st.integers(1, 5000).map(float), min_size=4, max_size=4)))
    past_high = draw(st.booleans())
    return RULES.model_copy(update={**dict(zip(names, values, strict=True)), "promote_past_high": past_high})


urgencies = st.one_of(st.just(0.0), st.just(1.0), st.floats(0, 1))
# Whole minutes, so that equal due times and the very edge of the window come up; the wall clock may go back.
arrivals = st.tuples(st.integers(-600, 600), st.sampled_from(OrderPriority), st.lists(urgencies, max_size=3))


def _rows(site: Worklist, drawn: list[tuple[int, OrderPriority, list[float]]]) -> list[Row]:
    """Each study with its revisions applied one after the other, as commits do."""
    rows = []
    at = START.utc
    for seq, (minutes, priority, revisions) in enumerate(drawn, start=1):
        at += timedelta(minutes=minutes)
        place, urgency = policy.place(at, priority, 0.0, site), 0.0
        for found in revisions:
            urgency = max(urgency, found)
            moved = policy.promoted(place, policy.place(at, priority, urgency, site))
            assert moved.due <= place.due
            assert moved.tier <= place.tier
            place = moved
        rows.append(Row(seq, at, priority, urgency, place))
    return rows


def _passes(y: Row, x: Row) -> bool:
    return y.ai_key < x.ai_key and y.baseline_key > x.baseline_key


@settings(max_examples=250, deadline=None)
@given(sites(), st.lists(arrivals, max_size=8))
def test_list_without_urgency_is_the_baseline_list(
    site: Worklist, drawn: list[tuple[int, OrderPriority, list[float]]]
) -> None:
    rows = _rows(site, [(minutes, priority, [0.0 for _ in found]) for minutes, priority, found in drawn])
    assert sorted(rows, key=lambda r: r.ai_key) == sorted(rows, key=lambda r: r.baseline_key)


@settings(max_examples=400, deadline=None)
@given(sites(), st.lists(arrivals, min_size=2, max_size=8))
def test_passing_is_bounded_by_the_window_and_by_the_tiers(
    site: Worklist, drawn: list[tuple[int, OrderPriority, list[float]]]
) -> None:
    critical = timedelta(minutes=site.critical_minutes)
    for x, y in itertools.permutations(_rows(site, drawn), 2):
        if not _passes(y, x):
            continue
        assert y.urgency > 0
        assert x.priority is not OrderPriority.STAT
        if x.priority is OrderPriority.HIGH and y.priority is not OrderPriority.HIGH:
            assert site.promote_past_high
        if x.place.tier is y.place.tier:
            ahead, window = y.received_at - x.received_at, policy.target(x.priority, site) - critical
            assert ahead < window or (ahead == window and y.seq < x.seq)


@settings(max_examples=150, deadline=None)
@given(sites(), st.lists(arrivals, min_size=1, max_size=6), st.integers(0, 5), urgencies)
def test_more_urgency_never_moves_a_study_back(
    site: Worklist, drawn: list[tuple[int, OrderPriority, list[float]]], pick: int, urgency: float
) -> None:
    pick %= len(drawn)
    minutes, priority, found = drawn[pick]
    more = [*drawn[:pick], (minutes, priority, [*found, urgency]), *drawn[pick + 1 :]]

    def position(rows: list[Row]) -> int:
        return [r.seq for r in sorted(rows, key=lambda r: r.ai_key)].index(pick + 1)

    assert position(_rows(site, more)) <= position(_rows(site, drawn))
