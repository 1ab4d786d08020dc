"""The study page's content, from a store as a hospital has one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.web import sample
from triaged.clock import now
from triaged.config import Config
from triaged.records import Flag
from triaged.store import Store
from triaged.web.studypage import FLAGS, StudyPage, study_page
from triaged.worklist.board import read_board

UID = sample.of("TANAKA")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return sample.config(tmp_path)


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    with Store(config.database) as store:
        sample.fill(store, config, now())
        yield store


def page(store: Store, config: Config) -> StudyPage:
    at = now()
    return study_page(store, config, read_board(store, config, at), UID, at, "Dr. A")


def test_making_the_results_is_a_stage_like_those_of_the_analysis(store: Store, config: Config) -> None:
    before = [stage for stage, _, _ in page(store, config).stages]
    deliveries = store.deliveries.of(UID)
    store.deliveries.encoded([(d, f"results/{d.role}.dcm", "a" * 64) for d in deliveries], seconds=4.25, now=now())
    shown = page(store, config)
    assert [stage for stage, _, _ in shown.stages] == [*before, "encode"]
    assert shown.stages[-1][1] == 4.25
    assert "Results made" in [what for _, what, _ in shown.milestones]


def test_the_particulars_of_a_flag_follow_the_flags(store: Store, config: Config) -> None:
    outcome = store.studies.outcomes(UID)[-1][2]
    assert outcome.findings is not None
    remark = "unfamiliar: noise in soft tissue 95 HU, trained on 0 to 40 HU (lungs-unet)"
    found = replace(outcome.findings, flags=(Flag.UNFAMILIAR,), remarks=(remark,))
    sample.analyse_again(store, config, UID, now(), replace(outcome, findings=found))
    assert page(store, config).flags == (FLAGS[Flag.UNFAMILIAR], f"U{remark[1:]}.")
