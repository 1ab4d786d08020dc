"""The demonstration's plans; what is drawn of them is looked at where the demonstration runs."""

from __future__ import annotations

from training.phantom.demo import PLANS
from training.phantom.population import draw


def test_no_two_are_the_same_person_and_each_is_of_the_sex_in_the_headers() -> None:
    chests = [plan for plan in PLANS if plan.drawn is not None]
    assert len({plan.patient for plan in chests}) == len(chests)
    for plan in chests:
        body = draw(plan.patient, kind=plan.drawn).phantom.body
        assert body is not None
        assert (body.breasts_mm > 0) == (plan.sex == "F"), plan.kind
