"""The same result has the same UIDs, a different result has others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydicom.uid import UID

from tests.unit.results.cases import INSTALLATION, STUDY, case
from triaged.records import Choice, Provenance, Role
from triaged.results.uids import derive, result_uids

CASE = case()
CHOICE, MADE_BY = CASE.choice, CASE.findings.provenance


def everything(choice: Choice = CHOICE, made_by: Provenance = MADE_BY, study: str = STUDY) -> set[str]:
    found = result_uids(INSTALLATION, study, choice, made_by)
    return {uid for uids in found.values() for uid in (uids.sop_uid, uids.series_uid)}


def test_a_uid_is_valid_and_depends_on_every_part() -> None:
    uids = {derive("1.2", "a", "bc"), derive("1.2", "ab", "c"), derive("1.2", "a", "bc", ""), derive("1.3", "a", "bc")}
    assert len(uids) == 4
    assert all(UID(uid).is_valid and len(uid) <= 64 and uid.startswith("2.25.") for uid in uids)
    assert derive("1.2", "a", "bc") in uids


def test_objects_of_one_result_have_uids_of_their_own() -> None:
    assert len(everything()) == 2 * len(Role)
    assert everything() == everything()


@pytest.mark.parametrize(
    "change",
    [
        {"choice": replace(CHOICE, input_digest="e" * 64)},
        {"made_by": replace(MADE_BY, config_digest="other")},
        {"made_by": replace(MADE_BY, triaged_version="0.1.1")},
        {"made_by": replace(MADE_BY, models=(replace(MADE_BY.models[0], sha256="ff"), *MADE_BY.models[1:]))},
        {"study": "1.2.3"},
    ],
)
def test_another_input_configuration_or_algorithm_means_other_uids(change: dict[str, Any]) -> None:
    assert everything() & everything(**change) == set()


def test_time_spent_and_device_leave_the_uids_alone() -> None:
    assert everything(made_by=replace(MADE_BY, seconds={"lungs": 99.0}, device="cuda:0")) == everything()
