"""`triaged serve` as a process: what it refuses, how it ends a hanging analysis, what it never says."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil
import pytest
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from tests.daemon import Daemon, configured, running_daemon
from tests.integration.test_odd_files import data_set_bytes, store_raw
from tests.support import free_port
from training.phantom.dicom import StudyInfo, Syntax, uid_for
from training.phantom.study import SMALL, Options, WrittenStudy, small_study
from triaged.demo_pacs import send_files
from triaged.records import Reason, StudyState

SHADOW = {"": {"mode": "shadow"}}
TINY = replace(SMALL, slices=3, rows=40, columns=48, pixel_mm=(8.0, 8.0))
PATIENT = StudyInfo(
    study_uid=uid_for("serve", "sick"),
    patient_name="Geheimnis^Ottokar",
    patient_id="PID-GEHEIMNIS-77",
    patient_birth_date="19310717",
)
SECRETS = ("geheimnis", "ottokar", "19310717", "1931-07-17")


def serve(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    """A start that is expected to end by itself."""
    command = [sys.executable, "-m", "triaged", "serve", "--config", str(daemon.toml)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def few(folder: Path, name: str, *, syntax: Syntax = Syntax.EXPLICIT) -> WrittenStudy:
    """Three small images: refused from their headers, which is quick."""
    info = replace(PATIENT, study_uid=uid_for("serve", name))
    return small_study(folder / name, seed=2, info=info, options=Options(scans=(TINY,), syntax=syntax))


def send(daemon: Daemon, study: WrittenStudy) -> None:
    send_files(study.paths, port=daemon.dicom_port, called="TRIAGED", calling="CT1")


# -- what it refuses ----------------------------------------------------------------------------------------------


def test_images_without_their_database_are_not_taken_over(tmp_path: Path) -> None:
    daemon = configured(tmp_path, SHADOW)
    (daemon.config.spool / "1.2.3" / "1.2.3.4").mkdir(parents=True)
    ran = serve(daemon)
    assert ran.returncode == 1
    assert "triaged repair" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not daemon.config.database.exists()


def test_a_model_that_there_is_not_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    daemon = configured(tmp_path, {**SHADOW, "analysis": {"lungs": "unet-of-tomorrow"}})
    ran = serve(daemon)
    assert ran.returncode == 2
    assert "unet-of-tomorrow" in ran.stderr


@pytest.mark.parametrize("section", ["dicom", "web"])
def test_a_port_that_is_taken_ends_the_start_and_leaves_no_process(section: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        daemon = configured(tmp_path, {**SHADOW, section: {"port": port}})
        ran = serve(daemon)
    assert ran.returncode == 1
    assert f"127.0.0.1:{port}" in ran.stderr
    assert "Traceback" not in ran.stderr
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if str(daemon.toml) in (p.info["cmdline"] or [])]
    assert left == []
    assert not (daemon.config.storage.path / "daemon.json").exists()


# -- the time limit -----------------------------------------------------------------------------------------------


def test_a_study_that_takes_too_long_is_ended_and_the_next_one_is_taken(tmp_path: Path) -> None:
    """One second is what a small study needs; the limit stands for a hanging analysis."""
    slow = small_study(tmp_path / "slow", seed=3, right=0.3)
    with running_daemon(tmp_path, {**SHADOW, "analysis": {"time_limit_s": 0.3}}) as daemon:
        send(daemon, slow)
        daemon.wait_until_decided(slow.study_uid)
        with daemon.store() as store:
            study = store.studies.get(slow.study_uid)
            assert (study.state, study.reason_code) == (StudyState.NOT_ANALYSED, Reason.TIME_LIMIT)
            assert study.reason == "analysis took longer than 0.3 s"
            assert study.revision == 1
        following = few(tmp_path, "following")
        send(daemon, following)
        daemon.wait_until_decided(following.study_uid)
        daemon.wait_until_ready()  # on a busy machine that one is ended too, and its worker started anew
        assert daemon.stop() == 0


# -- what it never says -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Day:
    """A daemon's day with an identity that must not be said: one study of each end."""

    daemon: Daemon
    ends: dict[str, str]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("day")
    sections: dict[str, dict[str, object]] = {
        "log": {"level": "DEBUG", "json_lines": True},
        "analysis": {"max_attempts": 1},
        "pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": free_port(), "timeout_s": 2.0},  # nobody is there
    }
    sick = small_study(folder / "sick", seed=3, right=0.3, info=PATIENT)
    crashed = small_study(folder / "crashed", seed=4, info=replace(PATIENT, study_uid=uid_for("serve", "crashed")))
    undecodable = few(folder, "undecodable", syntax=Syntax.GARBAGE)
    with running_daemon(folder, sections) as daemon:
        send(daemon, sick)
        daemon.wait_until_decided(sick.study_uid)
        send(daemon, undecodable)
        malformed = _send_malformed(daemon, few(folder, "malformed"))
        send(daemon, crashed)
        _end_the_worker_over(daemon, crashed.study_uid)
        uids = [sick.study_uid, undecodable.study_uid, malformed, crashed.study_uid]
        daemon.wait_until_decided(*uids)
        with httpx.Client(base_url=daemon.url, trust_env=False) as client:
            client.get("/", params={"q": PATIENT.patient_name})
            client.get(f"/api/studies/{PATIENT.patient_id}")
        daemon.wait_for(lambda: "no association with the PACS" in daemon.log, 30)
        with daemon.store() as store:
            yield Day(daemon, {uid: store.studies.get(uid).state.value for uid in uids})


def _send_malformed(daemon: Daemon, study: WrittenStudy) -> str:
    """Bytes where numbers and dates belong: what a library would quote in a warning."""
    for path in study.paths:
        ds = dcmread(path)
        for keyword, vr in (("InstanceNumber", "IS"), ("ImagePositionPatient", "DS"), ("StudyDate", "DA")):
            tag, value = Tag(tag_for_keyword(keyword) or 0), b"Geheimnis^"
            ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
        ds.save_as(path)
        identity, payload = data_set_bytes(path)
        assert store_raw(daemon.dicom_port, identity, payload) == 0x0000
    return study.study_uid


def _end_the_worker_over(daemon: Daemon, study_uid: str) -> None:
    """kill -9 while it analyses this study. The worker is the child that has the image library loaded."""
    with daemon.store() as store:
        daemon.wait_for(
            lambda: (s := store.studies.find(study_uid)) is not None and s.state is StudyState.ANALYSING, 60
        )
    for child in daemon.processes().values():
        if any("SimpleITK" in mapped.path for mapped in child.memory_maps()):
            child.kill()


def test_each_study_came_to_its_end(day: Day) -> None:
    assert list(day.ends.values()) == ["analysed", "not_analysed", "not_analysed", "failed"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_identity_is_in_the_log(day: Day) -> None:
    assert "outcome" in day.daemon.log, "the log is not empty"
    assert "child ended unasked" in day.daemon.log
    for secret in SECRETS:
        assert secret not in day.daemon.log.lower()


def test_no_identity_is_in_the_metrics(day: Day) -> None:
    with httpx.Client(base_url=day.daemon.url, trust_env=False) as client:
        text = client.get("/metrics").raise_for_status().text
    assert 'triaged_studies{state="analysed"} 1.0' in text
    for secret in (*SECRETS, *day.ends):
        assert secret not in text.lower()


def test_no_identity_is_in_the_events(day: Day) -> None:
    with day.daemon.store() as store:
        events = store.events.all()
    assert {"received", "claimed", "analysed", "not_analysed", "failed"} <= {event.kind for event in events}
    for event in events:
        for secret in SECRETS:
            assert secret not in str(event).lower(), event.kind


def test_no_identity_is_in_a_file_name(day: Day) -> None:
    names = [str(p.relative_to(day.daemon.config.storage.path)) for p in day.daemon.config.storage.path.rglob("*")]
    assert any(name.endswith("thumbnail.png") for name in names)
    for name in names:
        for secret in SECRETS:
            assert secret not in name.lower()


def test_no_identity_is_in_a_reason(day: Day) -> None:
    with day.daemon.store() as store:
        said = [(s.reason, s.choice, s.priority_source, s.reason_code) for s in store.studies.all()]
    for secret in SECRETS:
        assert secret not in str(said).lower()


def test_a_second_daemon_on_the_same_storage_does_not_start(day: Day) -> None:
    ran = serve(day.daemon)
    assert ran.returncode == 1
    assert "another daemon is using" in ran.stderr
    assert day.daemon.get("/readyz"), "and does not disturb the first"


def test_status_finds_it_running(day: Day) -> None:
    command = [sys.executable, "-m", "triaged", "status", "--config", str(day.daemon.toml)]
    began = time.monotonic()
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert str(day.daemon.dicom_port) in ran.stdout
    assert time.monotonic() - began < 30
