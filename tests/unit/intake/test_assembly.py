"""When is a study ready?"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.intake.making import at
from triaged.config import Assembly
from triaged.intake.assembly import ExpectedCount, Ready, Wait, decide
from triaged.records import Pending, StudyState, Touch

RULES = Assembly(quiet_s=5.0, idle_s=7.0, hard_timeout_s=100.0)


def pending(*touches: Touch, first: float = 0.0, last: float = 10.0) -> Pending:
    return Pending(
        study_uid="1.2.3",
        state=StudyState.RECEIVING,
        generation=1,
        first_mono_s=first,
        last_arrival_mono_s=last,
        touches=touches,
    )


def touch(last: float, closed: float | None = None) -> Touch:
    return Touch(last_arrival_mono_s=last, closed_mono_s=closed)


def test_quiet_time_counts_from_the_release() -> None:
    released = pending(touch(10.0, closed=11.0))
    assert decide(released, at(15.9), RULES) == Wait(until_mono_s=16.0)
    assert decide(released, at(16.0), RULES) == Ready(partial=False)


def test_an_association_kept_open_all_day_does_not_hold_its_study() -> None:
    kept_open = pending(touch(10.0))
    assert decide(kept_open, at(21.9), RULES) == Wait(until_mono_s=22.0)
    assert decide(kept_open, at(22.0), RULES) == Ready(partial=False)


def test_a_release_hours_later_does_not_hold_the_study_again() -> None:
    assert decide(pending(touch(10.0, closed=90.0)), at(91.0), RULES) == Ready(partial=False)


def test_the_last_of_several_associations_decides() -> None:
    both = pending(touch(2.0, closed=3.0), touch(10.0, closed=12.0))
    assert decide(both, at(16.9), RULES) == Wait(until_mono_s=17.0)


def test_the_hard_timeout_goes_on_with_what_is_there_and_says_so() -> None:
    busy = pending(touch(99.0), last=99.0)
    assert decide(busy, at(99.5), RULES) == Wait(until_mono_s=100.0)
    assert decide(busy, at(100.0), RULES) == Ready(partial=True)


def test_a_higher_count_at_the_pacs_prolongs_until_the_hard_timeout() -> None:
    released = pending(touch(10.0, closed=10.0))
    missing = ExpectedCount(in_pacs=100, here=60, is_stable=True)
    assert decide(released, at(50.0), RULES, missing) == Wait(until_mono_s=55.0)
    assert decide(released, at(100.0), RULES, missing) == Ready(partial=True)


def test_an_equal_count_shortens_only_when_it_is_stable_and_nobody_is_sending() -> None:
    released = pending(touch(10.0, closed=10.0))
    equal = ExpectedCount(in_pacs=60, here=60, is_stable=False)
    stable = ExpectedCount(in_pacs=60, here=60, is_stable=True)
    assert isinstance(decide(released, at(11.0), RULES, equal), Wait)
    assert decide(released, at(11.0), RULES, stable) == Ready(partial=False)
    assert isinstance(decide(pending(touch(10.0)), at(11.0), RULES, stable), Wait)


def test_a_pacs_that_holds_less_than_we_do_changes_nothing() -> None:
    fewer = ExpectedCount(in_pacs=3, here=60, is_stable=True)
    assert decide(pending(touch(10.0, closed=10.0)), at(14.0), RULES, fewer) == Wait(until_mono_s=15.0)


@given(
    lasts=st.lists(st.floats(0, 80), max_size=4),
    now_s=st.floats(0, 300),
    quiet_s=st.floats(0.1, 20),
    idle_s=st.floats(0, 20),
)
def test_the_time_named_by_wait_is_the_time_at_which_it_is_ready(
    lasts: list[float], now_s: float, quiet_s: float, idle_s: float
) -> None:
    rules = Assembly(quiet_s=quiet_s, idle_s=idle_s, hard_timeout_s=100.0)
    study = pending(*(touch(last) for last in lasts), last=max(lasts, default=10.0))
    decision = decide(study, at(now_s), rules)
    if isinstance(decision, Wait):
        assert decision.until_mono_s > now_s
        assert isinstance(decide(study, at(decision.until_mono_s), rules), Ready)


class Receiving(RuleBasedStateMachine):
    """Senders come, send, fall silent, and go; the study is judged at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.first_s: float | None = None
        self.last_s = 0.0
        self.touches: dict[int, Touch] = {}

    @rule(who=st.integers(0, 3))
    def sends(self, who: int) -> None:
        if self.first_s is None:
            self.first_s = self.now_s
        self.last_s = self.now_s
        self.touches[who] = touch(self.now_s)

    @rule(who=st.integers(0, 3))
    def releases(self, who: int) -> None:
        known = self.touches.get(who)
        if known is not None and known.closed_mono_s is None:
            self.touches[who] = touch(known.last_arrival_mono_s, closed=self.now_s)

    @rule(seconds=st.floats(0.0, 30.0))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    def judge(self, now_s: float) -> Ready | Wait:
        assert self.first_s is not None
        return decide(pending(*self.touches.values(), first=self.first_s, last=self.last_s), at(now_s), RULES)

    @precondition(lambda self: self.first_s is not None)
    @invariant()
    def never_ready_while_someone_is_sending_before_the_hard_timeout(self) -> None:
        assert self.first_s is not None
        active = any(
            t.closed_mono_s is None and self.now_s < t.last_arrival_mono_s + RULES.idle_s for t in self.touches.values()
        )
        if active and self.now_s < self.first_s + RULES.hard_timeout_s:
            assert isinstance(self.judge(self.now_s), Wait)

    @precondition(lambda self: self.first_s is not None)
    @invariant()
    def always_ready_at_last(self) -> None:
        assert self.first_s is not None
        assert isinstance(self.judge(self.first_s + RULES.hard_timeout_s), Ready)

    @precondition(lambda self: self.first_s is not None)
    @invariant()
    def whole_unless_the_hard_timeout_cut_it_short(self) -> None:
        assert self.first_s is not None
        decision = self.judge(self.now_s)
        if isinstance(decision, Ready) and decision.partial:
            assert self.now_s >= self.first_s + RULES.hard_timeout_s

    @precondition(lambda self: self.first_s is not None and isinstance(self.judge(self.now_s), Ready))
    @rule()
    def late_slices_begin_a_new_wait(self) -> None:
        """Settled; the touches that are still open stay, and the next arrival starts over."""
        self.touches = {k: t for k, t in self.touches.items() if t.closed_mono_s is None}
        self.first_s = None


Receiving.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestReceiving = Receiving.TestCase
