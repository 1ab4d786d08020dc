"""The worker over a real store and spool: what it takes first, what it leaves, and how a study ends that goes wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pydicom
import pytest

from tests.integration.worker_house import SECRET, Counting, Failing, House, settings
from training.phantom.dicom import StudyInfo, uid_for
from training.phantom.study import SMALL, Options, WrittenStudy, small_study
from triaged import artefacts
from triaged.analysis import worker as worker_module
from triaged.analysis.worker import Worker, give_up_on
from triaged.clock import now
from triaged.config import Config
from triaged.intake.headers import read_headers
from triaged.intake.spool import Kept, Spool
from triaged.logs import JsonFormatter, TextFormatter
from triaged.records import DeliveryState, Flag, OrderPriority, Reason, Role, StudyState
from triaged.results.uids import result_uids
from triaged.store import Store
from triaged.worklist.why import sentence

PRIORITIES = """
[[worklist.priority]]
priority = "STAT"
tag = "StudyDescription"
contains = "STAT"
[[worklist.priority]]
priority = "HIGH"
tag = "StudyDescription"
contains = "URGENT"
"""
FEW = 3  # images: refused from their headers, which is quick


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WrittenStudy]:
    """One whole study, affected on the right, with a localizer; of the others a few images are used."""
    folder = tmp_path_factory.mktemp("studies")
    options = Options(scans=(SMALL,), localizer=True)
    whole = small_study(folder / "whole", seed=3, right=0.3, left=0.05, options=options)
    made = {"whole": whole}
    for name, description in (("first", "CT CHEST"), ("urgent", "CT URGENT"), ("stat", "CT STAT"), ("old", "CT CHEST")):
        info = StudyInfo(
            study_uid=uid_for("worker", name),
            patient_name=SECRET,
            study_description=description,
            acquired_at=datetime.now() - timedelta(days=400 if name == "old" else 0),
        )
        scan = SMALL.__class__(slices=FEW, rows=40, columns=48, slice_mm=7.5, pixel_mm=(8.0, 8.0))
        made[name] = small_study(folder / name, seed=3, info=info, options=Options(scans=(scan,)))
    return made


def housed(config: Config, analyst: Counting | None = None) -> Iterator[House]:
    with Store(config.database) as store:
        yield House(config, store, analyst or Counting(config))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from housed(settings(tmp_path, PRIORITIES))


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[House]:
    config = settings(tmp_path)
    yield from housed(config, Failing(config))


# -- what comes first ---------------------------------------------------------------------------------------------


def test_studies_are_taken_in_reading_order_and_a_stat_never_waits(
    house: House, studies: dict[str, WrittenStudy]
) -> None:
    for name in ("first", "urgent", "stat"):
        house.put(studies[name].paths)
    assert house.work() == 3
    assert house.claimed() == [studies[name].study_uid for name in ("stat", "urgent", "first")]
    assert house.study(studies["stat"]).order_priority is OrderPriority.STAT


def test_a_pinned_study_is_taken_before_all(house: House, studies: dict[str, WrittenStudy]) -> None:
    for name in ("first", "stat"):
        house.put(studies[name].paths)
    house.store.reading.pin(studies["first"].study_uid, by="dr.a", reason="called by the ward", now=now())
    house.work()
    assert house.claimed()[0] == studies["first"].study_uid


def test_a_prior_is_neither_scored_nor_promoted(tmp_path: Path, studies: dict[str, WrittenStudy]) -> None:
    config = settings(tmp_path, "[assembly]\nmax_age_days = 30.0")
    for house in housed(config):
        house.put(studies["old"].paths)
        house.work()
        study = house.study(studies["old"])
        assert (study.state, study.reason_code) == (StudyState.NOT_ANALYSED, Reason.REFERENCE)
        assert house.analyst.calls == 0
        assert study.urgency == 0.0


# -- an analysed study and what comes late -------------------------------------------------------------------------


def test_late_slices_of_the_chosen_series_open_a_second_revision(
    house: House, studies: dict[str, WrittenStudy]
) -> None:
    whole = studies["whole"]
    axial, localizer = whole.series[0].paths, whole.series[1].paths
    house.put(axial[2:])
    assert house.work() == 1
    first = house.study(whole)
    assert (first.state, first.revision) == (StudyState.ANALYSED, 1)
    assert first.choice is not None
    assert first.findings is not None
    assert first.urgency == pytest.approx(first.findings.affected_fraction or 0.0)

    deliveries = house.store.deliveries.of(whole.study_uid)
    uids = result_uids(house.store.installation_uid, whole.study_uid, first.choice, first.findings.provenance)
    assert {d.role: d.sop_uid for d in deliveries} == {role: uids[role].sop_uid for role in Role}
    assert first.completed_at is not None
    quiet = timedelta(seconds=house.config.results.publish_quiet_s)
    assert {d.not_before for d in deliveries} == {first.completed_at + quiet}

    house.put(localizer)  # of a series that is not chosen: looked at, and nothing changes
    assert house.work() == 1
    same = house.study(whole)
    assert (same.revision, same.findings, same.completed_at) == (1, first.findings, first.completed_at)
    assert same.generation == same.examined_generation
    assert house.analyst.calls == 1
    assert house.kinds(whole)[-1] == "selection_unchanged"

    house.put(axial[:2])
    assert house.work() == 1
    second = house.study(whole)
    assert (second.state, second.revision) == (StudyState.ANALYSED, 2)
    assert second.choice is not None
    assert second.choice.slices == first.choice.slices + 2
    assert second.urgency >= first.urgency
    for revision, slices in ((1, first.choice.slices), (2, second.choice.slices)):
        folder = artefacts.folder(house.config.artefacts, whole.study_uid, revision)
        assert len(artefacts.read_masks(folder).sources) == slices
    states = {d.revision: d.state for d in house.store.deliveries.of(whole.study_uid)}
    assert states == {1: DeliveryState.SUPERSEDED, 2: DeliveryState.WAITING}
    assert [revision for revision, _, _ in house.store.studies.outcomes(whole.study_uid)] == [1, 2]


def test_a_refused_study_is_looked_at_again_when_more_arrives(house: House, studies: dict[str, WrittenStudy]) -> None:
    axial = studies["whole"].series[0].paths
    house.put(axial[:4])
    house.work()
    assert house.study(studies["whole"]).reason_code == Reason.TOO_FEW_SLICES
    house.put(axial[4:6])
    house.work()
    still = house.study(studies["whole"])
    assert (still.reason_code, still.revision) == (Reason.TOO_FEW_SLICES, 1), "for the same reason: one revision"
    house.put(axial[6:])
    house.work()
    whole = house.study(studies["whole"])
    assert (whole.state, whole.revision) == (StudyState.ANALYSED, 2)


def test_an_image_corrected_to_another_patient_ends_what_was_found(
    house: House, studies: dict[str, WrittenStudy], tmp_path: Path
) -> None:
    first = studies["first"]
    house.put(first.paths)
    house.work()
    assert house.study(first).reason_code != Reason.CONFLICTING_IDENTITY
    ds = pydicom.dcmread(first.paths[0])
    ds.PatientID = "ANOTHER"
    ds.save_as(tmp_path / "corrected.dcm")
    _, header = read_headers(tmp_path / "corrected.dcm")
    spool = Spool(house.config.spool, min_free_mb=1)
    assert spool.keep(tmp_path / "corrected.dcm", header) is Kept.VERSION
    house.store.studies.came_again(header, is_other_patient=True, now=now())
    house.settle()
    assert house.work() == 1
    study = house.study(first)
    assert (study.state, study.reason_code) == (StudyState.NOT_ANALYSED, Reason.CONFLICTING_IDENTITY)
    assert "1 of its images came again with other content" in sentence(study, house.config.worklist, "")


def test_in_shadow_mode_nothing_is_to_be_delivered(tmp_path: Path, studies: dict[str, WrittenStudy]) -> None:
    for house in housed(settings(tmp_path, mode="shadow")):
        house.put(studies["whole"].series[0].paths)
        pending = house.store.studies.get(studies["whole"].study_uid)
        assert pending.state is StudyState.READY
        house.work()
        study = house.study(studies["whole"])
        assert study.state is StudyState.ANALYSED
        assert study.findings is not None
        assert Flag.PARTIAL not in study.findings.flags
        assert house.store.deliveries.of(studies["whole"].study_uid) == []


# -- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_an_error_is_tried_again_and_then_told_without_quoting(
    formatter: logging.Formatter,
    failing: House,
    studies: dict[str, WrittenStudy],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.handler.setFormatter(formatter)
    caplog.set_level(logging.DEBUG)
    first = studies["first"]
    failing.put(first.paths)
    worker = failing.worker
    for attempt in (1, 2):
        assert worker.step()
        study = failing.study(first)
        assert (study.state, study.attempts) == (StudyState.READY, attempt)
    assert worker.step()
    assert not worker.step(), "it is not taken up a fourth time"
    study = failing.study(first)
    assert (study.state, study.reason_code) == (StudyState.FAILED, "KeyError")
    assert "in 3 attempts" in str(study.reason)
    assert "KeyError < analyse" in str(study.reason)
    assert failing.analyst.calls == failing.config.analysis.max_attempts == 3
    told = [study.reason, caplog.text, *(str(event.detail) for event in failing.store.events.all())]
    assert "analysis failed" in caplog.text
    assert not [text for text in told if "Mustermann" in str(text)]


def test_a_requeued_failure_starts_from_the_beginning(failing: House, studies: dict[str, WrittenStudy]) -> None:
    first = studies["first"]
    failing.put(first.paths)
    failing.work()
    failing.store.queue.requeue(first.study_uid, by="dr.a", now=now())
    failing.analyst = Counting(failing.config)  # the mistake was mended
    assert failing.work() == 1
    assert failing.study(first).reason_code == Reason.TOO_FEW_SLICES
    assert failing.study(first).revision == 2


def test_a_study_that_ends_its_process_again_and_again_is_given_up(
    house: House, studies: dict[str, WrittenStudy]
) -> None:
    first = studies["first"]
    house.put(first.paths)
    for _ in range(house.config.analysis.max_attempts):
        house.crash(now())
    assert house.work() == 1
    study = house.study(first)
    assert (study.state, study.reason_code) == (StudyState.FAILED, "crash_loop")
    assert "requeue" in str(study.reason)
    assert house.analyst.calls == 0, "its pixels are not touched again"


def test_a_result_is_dropped_where_the_study_was_taken_away(house: House, studies: dict[str, WrittenStudy]) -> None:
    """Somebody starts it again while it is being analysed: what the worker has by then is of the past."""
    first = studies["first"]
    house.put(first.paths)
    house.analyst.meanwhile = lambda: house.store.queue.requeue(first.study_uid, by="dr.a", now=now())
    assert house.worker.step()
    study = house.study(first)
    assert (study.state, study.revision) == (StudyState.READY, 0)
    assert house.store.studies.outcomes(first.study_uid) == []
    house.analyst.meanwhile = lambda: None
    assert house.work() == 1
    assert house.study(first).revision == 1


def test_a_worker_that_was_taken_for_dead_touches_nothing_of_what_another_committed(
    house: House, studies: dict[str, WrittenStudy]
) -> None:
    whole = studies["whole"]
    folder = artefacts.folder(house.config.artefacts, whole.study_uid, 1)

    def another_takes_over() -> None:
        house.analyst.meanwhile = lambda: None
        (token,) = house.store.queue.tokens()
        house.store.queue.release(token, why="no sign of life", count_attempt=True, now=now())
        assert Worker(house.config, house.store, "worker-1", house.analyst, None).step()
        (folder / "seg.dcm").write_bytes(b"encoded, about to be sent")

    house.analyst.meanwhile = another_takes_over
    house.put(whole.paths)
    assert house.work() == 1
    assert (house.analyst.calls, house.study(whole).revision) == (2, 1)
    assert (folder / "seg.dcm").read_bytes() == b"encoded, about to be sent"
    assert artefacts.read_masks(folder).sources
    assert [f.name for f in folder.parent.iterdir()] == ["1"]


def test_a_study_whose_images_are_gone_ends_in_a_state(house: House, studies: dict[str, WrittenStudy]) -> None:
    first = studies["first"]
    house.put(first.paths)
    for path in (house.config.spool / first.study_uid).rglob("*.dcm"):
        path.unlink()
    house.work()
    assert house.study(first).state is StudyState.NOT_ANALYSED


def test_the_supervisor_gives_up_on_a_study_and_says_why(house: House, studies: dict[str, WrittenStudy]) -> None:
    first = studies["first"]
    house.put(first.paths)
    claim = house.store.queue.claim("worker-0", now())
    assert claim is not None
    give_up_on(house.store, house.config, claim.token, "analysis took longer than 600 s", now())
    study = house.study(first)
    assert (study.state, study.reason_code) == (StudyState.NOT_ANALYSED, Reason.TIME_LIMIT)
    assert study.reason == "analysis took longer than 600 s"
    give_up_on(house.store, house.config, claim.token, "again", now())
    assert house.study(first).revision == 1, "the claim is gone: nothing to give up"


def test_a_worker_shows_signs_of_life_while_it_works(
    house: House, studies: dict[str, WrittenStudy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "BEAT_S", 0.05)
    silent: list[str] = []

    def work_long() -> None:
        began_s = now().mono_s
        time.sleep(1.0)
        silent.extend(house.store.queue.tokens(silent_since_mono_s=began_s + 0.2))

    house.analyst.meanwhile = work_long
    house.put(studies["first"].paths)
    assert house.work() == 1
    assert silent == []
