"""What can be said of a study is said by somebody, and in the same sense wherever it is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.refusal import Refusal
from triaged.records import DeliveryState, Flag, Reason, Role
from triaged.results import codes
from triaged.web import studypage

REPO = Path(__file__).resolve().parents[2]
SOURCE = "\n".join(path.read_text() for path in (REPO / "triaged").rglob("*.py"))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_given_by_somebody(reason: Reason) -> None:
    assert f"Reason.{reason.name}" in SOURCE or reason.value in set(Refusal)


def test_the_study_page_has_words_for_everything() -> None:
    assert set(studypage.FLAGS) == set(Flag)
    assert set(studypage.DELIVERIES) == set(DeliveryState)
    assert set(studypage.ROLES) == set(Role)


def test_the_study_page_has_words_for_every_event_of_a_study() -> None:
    added = set(re.findall(r'events\.add\(\s*"(\w+)",[^)]*study_uid=', SOURCE))
    assert len(added) > 10
    assert added - set(studypage.EVENTS) == set()


def test_methods_that_disagree_are_methods_in_page_and_report_alike() -> None:
    for words in (studypage.FLAGS[Flag.LUNGS_DISAGREE], codes.FLAGS[Flag.LUNGS_DISAGREE].meaning):
        assert "methods disagree" in words
