"""The five invariants of the order, over a real store: whatever arrives, fails, is revised, read, pinned or reset.

1. Where every urgency is zero, the list is the baseline list.
2. AI never makes a stored due time later; the urgency is the largest over revisions; only a person lowers it.
3. Within a tier, by AI alone, Y passes X only if received(Y) - received(X) < target(X) - C.
4. STAT is never passed by a promotion, HIGH only where the site allows it.
5. Every received study stays visible until it is read or withdrawn. One switch returns to the baseline at once.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.worklist.house import START, House, analysed, config_of, failed, findings_of, not_analysed
from triaged.clock import Now
from triaged.errors import AlreadyClaimed
from triaged.records import OrderPriority, Outcome, Reading, Study, StudyState, Tier
from triaged.store import Store
from triaged.worklist import policy
from triaged.worklist.board import Board, change_priority, change_urgency, read_board

severities = st.one_of(st.just(0.0), st.floats(0.0, 1.0), st.sampled_from([0.05, 1.0]))
outcomes = st.one_of(
    severities.map(lambda s: analysed(findings_of(s))),
    st.builds(lambda s, p: analysed(findings_of(s, p=p)), severities, st.floats(0.0, 1.0)),
    st.just(not_analysed()),
    st.just(failed()),
)
picks = st.integers(0, 10_000)  # which of the studies there are, by remainder
priorities = st.sampled_from(OrderPriority)
readers = st.sampled_from(["dr.a", "dr.b"])


class Ward(RuleBasedStateMachine):
    """A day at a site: the rules are what can happen to it, the invariants what must hold after each."""

    @initialize(
        name=st.sampled_from(["severity", "identification", "joint", "off"]),
        past_high=st.booleans(),
        mode=st.sampled_from(["live", "live", "shadow"]),
    )
    def open(self, name: str, past_high: bool, mode: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        text = f'[worklist]\npolicy = "{name}"\npromote_past_high = {str(past_high).lower()}\n'
        config = config_of(Path(self.folder.name), text, mode)
        self.house = House(Store(config.database), config)
        self.now = START
        self.numbers = itertools.count(1)
        self.uids: list[str] = []
        self.arrivals: dict[str, tuple[datetime, int]] = {}
        self.urgencies: defaultdict[str, float] = defaultdict(float)  # the model's own, by policy.urgency
        self.dues: dict[str, datetime] = {}
        self.gone: set[str] = set()  # read or withdrawn

    def teardown(self) -> None:
        if hasattr(self, "house"):
            self.house.store.close()
            self.folder.cleanup()

    def _study(self, pick: int) -> str:
        return self.uids[pick % len(self.uids)]

    # -- what can happen ---------------------------------------------------------------------------------------

    @rule(minutes=st.integers(0, 3000))
    def time_passes(self, minutes: int) -> None:
        self.now = self.now.later(60.0 * minutes)

    @rule(hours=st.floats(-50, 50))
    def wall_clock_is_set(self, hours: float) -> None:
        self.now = Now(utc=self.now.utc + timedelta(hours=hours), mono_s=self.now.mono_s + 1)

    @rule(priority=priorities)
    def study_arrives(self, priority: OrderPriority) -> None:
        uid = f"1.2.{next(self.numbers)}"
        self.house.arrive(uid, self.now, priority)
        self.uids.append(uid)
        study = self.house.study(uid)
        self.arrivals[uid] = (study.received_at, study.arrival_seq)
        self.dues[uid] = study.place.due

    @precondition(lambda self: self.uids)
    @rule(pick=picks, priority=priorities)
    def late_slice_arrives(self, pick: int, priority: OrderPriority) -> None:
        self.house.arrive(self._study(pick), self.now, priority, images=1)

    @precondition(lambda self: self.uids)
    @rule(ends=st.lists(outcomes, min_size=1, max_size=4))
    def worker_works(self, ends: list[Outcome]) -> None:
        self._work(ends)

    @precondition(lambda self: self.uids)
    @rule(pick=picks, first=outcomes, second=outcomes)
    def study_is_revised(self, pick: int, first: Outcome, second: Outcome) -> None:
        """Whatever it was, it gets two more results, the second one as often milder as worse."""
        for end in (first, second):
            self.house.arrive(self._study(pick), self.now, images=1)
            self._work([end] * len(self.uids))

    def _work(self, ends: list[Outcome]) -> None:
        self.house.settle(self.now)
        for end in ends[: self.house.store.queue.depth()]:
            uid = self.house.finish_next(end, self.now)
            rules = self.house.config.worklist
            urgency = policy.urgency(
                rules.policy,
                end.findings,
                identification_threshold=rules.identification_threshold,
                severity_threshold=rules.severity_threshold,
            )
            self.urgencies[uid] = max(self.urgencies[uid], urgency)

    @precondition(lambda self: self.uids)
    @rule()
    def worker_dies_with_its_claim(self) -> None:
        self.house.settle(self.now)
        claim = self.house.store.queue.claim("worker-2", self.now)
        if claim is not None:
            self.house.store.queue.release(claim.token, why="stale", count_attempt=True, now=self.now)

    @precondition(lambda self: self.uids)
    @rule(pick=picks, priority=priorities)
    def person_changes_the_priority(self, pick: int, priority: OrderPriority) -> None:
        uid = self._study(pick)
        change_priority(self.house.store, self.house.config, uid, priority, by="dr.a", now=self.now)
        self.dues[uid] = self.house.study(uid).place.due

    @precondition(lambda self: self.uids)
    @rule(pick=picks, urgency=st.floats(0, 1))
    def person_corrects_the_urgency(self, pick: int, urgency: float) -> None:
        uid = self._study(pick)
        change_urgency(self.house.store, self.house.config, uid, urgency, by="dr.a", reason="seen", now=self.now)
        self.urgencies[uid] = urgency
        self.dues[uid] = self.house.study(uid).place.due

    @precondition(lambda self: self.uids)
    @rule(pick=picks, reader=readers, minutes=st.integers(1, 60))
    def reader_claims(self, pick: int, reader: str, minutes: int) -> None:
        until = self.now.later(60.0 * minutes).utc
        study = self.house.study(self._study(pick))
        held = study.reading is Reading.READING and study.reader != reader
        taken = held and study.reading_expires_at is not None and study.reading_expires_at > self.now.utc
        try:
            self.house.store.reading.claim(study.study_uid, reader=reader, until=until, now=self.now)
            assert not taken
            assert study.reading is not Reading.READ
        except AlreadyClaimed:
            assert taken or study.reading is Reading.READ

    @precondition(lambda self: self.uids)
    @rule(pick=picks, reader=readers)
    def reader_reads(self, pick: int, reader: str) -> None:
        uid = self._study(pick)
        holder = self.house.study(uid).reader
        try:
            self.house.store.reading.mark_read(uid, reader=reader, now=self.now)
            self.gone.add(uid)
        except AlreadyClaimed:
            assert holder != reader

    @precondition(lambda self: self.uids)
    @rule(pick=picks)
    def reader_puts_it_back(self, pick: int) -> None:
        uid = self._study(pick)
        self.house.store.reading.mark_unread(uid, reader="dr.a", now=self.now)
        if self.house.study(uid).state is not StudyState.WITHDRAWN:
            self.gone.discard(uid)

    @precondition(lambda self: self.uids)
    @rule(pick=picks, pinned=st.booleans())
    def person_pins_or_unpins(self, pick: int, pinned: bool) -> None:
        uid = self._study(pick)
        if uid in self.gone:
            return
        if pinned:
            self.house.store.reading.pin(uid, by="dr.a", reason="ward round", now=self.now)
        else:
            self.house.store.reading.unpin(uid, by="dr.a", now=self.now)

    @precondition(lambda self: self.uids)
    @rule(pick=picks)
    def study_is_withdrawn(self, pick: int) -> None:
        uid = self._study(pick)
        self.house.store.studies.withdraw(uid, reason="wrong patient", by="dr.a", now=self.now)
        self.gone.add(uid)

    @rule(on=st.booleans())
    def person_turns_the_switch(self, on: bool) -> None:
        self.house.store.switch_baseline(on, by="dr.a", now=self.now)

    @rule(routine_hours=st.sampled_from([24.0, 12.0, 48.0]))
    def house_restarts(self, routine_hours: float) -> None:
        """The monotonic clock begins again; the wall clock may be anywhere; the site may have other targets."""
        self.house.store.close()
        worklist = self.house.config.worklist.model_copy(update={"routine_minutes": 60 * routine_hours})
        self.house.config = self.house.config.model_copy(update={"worklist": worklist})
        self.house.store = Store(self.house.config.database)
        self.now = Now(utc=self.now.utc, mono_s=5.0)
        self.house.store.studies.restart_clocks(self.now)

    # -- what must hold ----------------------------------------------------------------------------------------

    def _board(self, *, mode: str | None = None) -> Board:
        config = self.house.config if mode is None else self.house.config.model_copy(update={"mode": mode})
        return read_board(self.house.store, config, self.now)

    @invariant()
    def the_list_holds_the_five(self) -> None:
        if not hasattr(self, "house"):
            return
        board = self._board()
        listed = [item.study for item in board.items]
        self._all_are_visible(listed)
        self._only_forward(listed)
        self._baseline_where_ai_is_silent(board)
        self._overtaking_is_bounded(board)

    def _all_are_visible(self, listed: list[Study]) -> None:
        uids = [study.study_uid for study in listed]
        assert sorted(uids) == sorted(set(self.uids) - self.gone)  # 5
        tabbed = {s.study_uid for tab in ("read", "withdrawn") for s in self.house.store.reading.tab(tab)}
        assert tabbed == self.gone

    def _only_forward(self, listed: list[Study]) -> None:
        for study in listed:
            uid = study.study_uid
            assert (study.received_at, study.arrival_seq) == self.arrivals[uid]  # set once
            assert study.place.due <= self.dues[uid] <= study.place.baseline_due  # 2
            assert study.urgency == self.urgencies[uid]  # 2: the largest, unless a person said otherwise
            self.dues[uid] = study.place.due

    def _baseline_where_ai_is_silent(self, board: Board) -> None:
        silent = not any(item.study.urgency for item in board.items)
        if silent or board.order == "baseline":
            assert all(item.rank_change == 0 for item in board.items)  # 1, and the switch of 5
            by_hand = sorted(board.items, key=lambda item: _baseline_key(item.study))
            assert list(board.items) == by_hand
        switched = self.house.store.baseline_switch
        assert (board.order == "ai") == (self.house.config.promotes and not switched)

    def _overtaking_is_bounded(self, board: Board) -> None:
        """Over all pairs, on the order that AI would have, whichever is in force."""
        rules = self.house.config.worklist
        critical = timedelta(minutes=rules.critical_minutes)
        items = [item for item in board.items if item.study.pinned_at is None]
        for x, y in itertools.permutations(items, 2):
            passes = y.would_be_position < x.would_be_position and y.baseline_position > x.baseline_position
            if not passes:
                continue
            px, py = x.study.place, y.study.place
            assert px.baseline_tier is not Tier.STAT  # 4
            assert y.study.urgency > 0  # 2: nothing moves but by AI
            if px.baseline_tier is Tier.HIGH and py.baseline_tier is not Tier.HIGH:
                assert rules.promote_past_high  # 4
            if px.tier is py.tier:
                ahead = y.study.received_at - x.study.received_at
                window = px.baseline_due - x.study.received_at - critical  # target(X) - C
                # At the very edge two due times are equal and the order of arrival decides, as it does without AI.
                assert ahead < window or (ahead == window and y.study.arrival_seq < x.study.arrival_seq)  # 3
                until = policy.passable_until(px, rules)
                assert until is None or y.study.received_at <= until  # what the board says holds


def _baseline_key(study: Study) -> tuple[bool, float, Tier, datetime, int]:
    """The baseline order, said once more: pins by time, then tier, due time and arrival."""
    pinned = study.pinned_at is not None
    at = study.pinned_at.timestamp() if study.pinned_at else 0.0
    return (not pinned, at, study.place.baseline_tier, study.place.baseline_due, study.arrival_seq)


Ward.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,  # the same days on every machine; the model beside this draws more
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestOrderOverTheStore = Ward.TestCase
