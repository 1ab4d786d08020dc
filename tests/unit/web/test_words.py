"""What the board says, word by word."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from triaged.records import StudyHeader
from triaged.web import words


def test_a_narrow_duration_keeps_its_unit_where_it_would_be_ambiguous() -> None:
    assert words.brief_duration(7800) == "2 h 10"
    assert words.brief_duration(420) == "7 min"
    assert words.brief_duration(20) == "< 1 min"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("DOE^JANE^M^DR^JR", "DOE, DR JANE M JR"),
        ("MÜLLER", "MÜLLER"),
        ("=山田^太郎", "山田, 太郎"),
        ("YAMADA^TARO=山田^太郎", "YAMADA, TARO"),
        ("^JANE", "JANE"),
        ("^^^^", "no name"),
        ("", "no name"),
    ],
)
def test_names_are_written_as_people_read_them(value: str, said: str) -> None:
    assert words.person_name(value) == said


def test_age_is_as_sent_else_from_the_birth_date_else_said_to_be_unknown() -> None:
    def header(age: str = "", birth: str = "", on: str = "20261120") -> StudyHeader:
        return StudyHeader(study_uid="1.2", patient_age=age, patient_birth_date=birth, study_date=on)

    assert words.age(header("044Y", "19900101")) == "44 y"
    assert words.age(header("006M")) == "6 mo"
    assert words.age(header(birth="19661121")) == "59 y"  # the birthday is tomorrow
    assert words.age(header(birth="19661120")) == "60 y"
    for unknown in (
        header(),
        header("44"),
        header(birth="1966"),
        header(birth="20270101"),
        header(birth="19660101", on=""),
    ):
        assert words.age(unknown) == "age unknown"


def test_acquisition_says_today_only_for_today() -> None:
    today = date(2026, 11, 20)

    def said(on: str, at: str) -> str:
        return words.acquired(StudyHeader(study_uid="1.2", study_date=on, study_time=at), today)

    assert said("20261120", "081455.123") == "today 08:14"
    assert said("20261119", "0814") == "19 Nov 08:14"
    assert said("20251119", "") == "19 Nov 2025"
    assert said("", "0814") == "no study date"
    assert said("20261120", "8h") == "today"


def test_a_moment_names_its_day_unless_it_is_today() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert words.moment(datetime(2026, 11, 20, 9, 5, tzinfo=UTC), now, UTC) == "09:05"
    assert words.moment(datetime(2026, 11, 19, 9, 5, tzinfo=UTC), now, UTC) == "19 Nov 09:05"
