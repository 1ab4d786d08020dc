"""The listener over real associations: who may send, what is kept, what the store knows afterwards."""

from __future__ import annotations

import logging
import shutil
import socket
import subprocess
import threading
import time
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

from tests.support import eventually, peer
from tests.unit.intake.making import STUDY, Running, associated, config_for, data_set, listening, send
from triaged.clock import now
from triaged.config import Config
from triaged.intake.sweep import sweep
from triaged.records import (
    DeliveryState,
    OrderPriority,
    Place,
    PlannedDelivery,
    Role,
    StudyState,
    Tier,
)
from triaged.store import Store

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
QUICK = "[assembly]\nquiet_s = 0.2\nidle_s = 0.2\nhard_timeout_s = 60.0\n"


def settled(running: Running) -> bool:
    sweep(running.store, running.config.assembly, now())
    return all(s.generation == s.settled_generation > 0 for s in running.store.studies.all())


# -- who may talk to us ----------------------------------------------------------------------------------------------


def test_echo_and_store_from_dcmtk(tmp_path: Path) -> None:
    echo, store = peer("echoscu"), peer("storescu")
    ds = data_set()
    ds.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    with listening(config_for(tmp_path)) as running:
        where = ["-aec", "TRIAGED", "127.0.0.1", str(running.port)]
        subprocess.run([echo, *where], check=True, timeout=30)
        subprocess.run([store, *where, str(tmp_path / "one.dcm")], check=True, timeout=30)
        (kept,) = running.spool.paths(STUDY, f"{STUDY}.2")
        assert pydicom.dcmread(kept).PixelData == ds.PixelData


@pytest.mark.parametrize(
    ("dicom", "called", "calling", "reason"),
    [
        ("", "SOMEONE", "CT1", (1, 1, 7)),
        ('calling_ae_titles = ["PACS"]', "TRIAGED", "CT1", (1, 1, 3)),
    ],
)
def test_a_stranger_is_rejected_in_the_words_of_the_standard(
    tmp_path: Path, dicom: str, called: str, calling: str, reason: tuple[int, int, int]
) -> None:
    with listening(config_for(tmp_path, dicom=dicom)) as running:
        ae = AE(ae_title=calling)
        ae.add_requested_context("1.2.840.10008.1.1")
        association = ae.associate("127.0.0.1", running.port, ae_title=called)
        assert association.is_rejected
        answer = association.acceptor.primitive
        assert (answer.result, answer.result_source, answer.diagnostic) == reason
        assert running.store.studies.all() == []


def test_an_address_that_no_rule_admits_is_hung_up_on(tmp_path: Path) -> None:
    with (
        listening(config_for(tmp_path, dicom='networks = ["10.0.0.0/8"]')) as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=5.0) as stranger,
    ):
        assert stranger.recv(1) == b""


def test_further_called_titles_are_ours_too(tmp_path: Path) -> None:
    with listening(config_for(tmp_path, dicom='also_called = ["STATCT"]')) as running:
        assert send(running.port, data_set(), called="STATCT") == [0]
        assert running.store.studies.get(STUDY).called_ae == "STATCT"


def test_more_associations_than_allowed_are_asked_to_come_back(tmp_path: Path) -> None:
    with (
        listening(config_for(tmp_path, dicom="max_associations = 1")) as running,
        associated(running.port, [data_set()]),
    ):
        ae = AE()
        ae.add_requested_context("1.2.840.10008.1.1")
        association = ae.associate("127.0.0.1", running.port, ae_title="TRIAGED")
        assert association.is_rejected
        assert association.acceptor.primitive.result == 0x02  # transient


# -- what is kept ----------------------------------------------------------------------------------------------------


def test_study_series_and_counts_reach_the_store(tmp_path: Path) -> None:
    sent = [data_set(k, series=s, StudyDescription="Thorax") for s in (2, 3) for k in range(1, 5)]
    with listening(config_for(tmp_path, QUICK)) as running:
        assert send(running.port, *sent) == [0] * 8
        eventually(lambda: running.store.studies.get(STUDY).instance_count == 8)
        study = running.store.studies.get(STUDY)
        assert (study.header.patient_name, study.header.study_description) == ("Doe^Jane", "Thorax")
        assert (study.calling_ae, study.called_ae, study.state) == ("CT1", "TRIAGED", StudyState.RECEIVING)
        assert [(s.series_uid, s.instance_count) for s in running.store.studies.series(STUDY)] == [
            (f"{STUDY}.2", 4),
            (f"{STUDY}.3", 4),
        ]
        eventually(lambda: settled(running))
        assert running.store.studies.get(STUDY).state is StudyState.READY


def test_the_row_is_there_before_the_first_success(tmp_path: Path) -> None:
    with listening(config_for(tmp_path)) as running, associated(running.port, [data_set()]) as association:
        assert association.send_c_store(data_set()).Status == 0
        assert running.store.studies.get(STUDY).generation == 1


def test_an_identical_duplicate_changes_nothing(tmp_path: Path) -> None:
    with listening(config_for(tmp_path, QUICK)) as running:
        assert send(running.port, data_set(1), data_set(2)) == [0, 0]
        eventually(lambda: settled(running))
        before, events = running.store.studies.get(STUDY), len(running.store.events.of(STUDY))
        assert send(running.port, data_set(2), data_set(1)) == [0, 0]
        time.sleep(0.7)
        assert running.store.studies.get(STUDY) == before
        assert len(running.store.events.of(STUDY)) == events
        assert running.leftovers() == []


def test_other_content_under_the_same_uid_is_kept_and_audited(tmp_path: Path) -> None:
    other = data_set(1, PatientName="Roe^Richard")
    with listening(config_for(tmp_path)) as running:
        assert send(running.port, data_set(1), other, other) == [0, 0, 0]
        (first,) = running.spool.paths(STUDY, f"{STUDY}.2")
        assert pydicom.dcmread(first).PatientName == "Doe^Jane"
        (version,) = running.spool.versions.rglob("*.dcm")
        assert pydicom.dcmread(version).PatientName == "Roe^Richard"
        assert running.store.studies.get(STUDY).other_versions == 1
        audited = [e for e in running.store.events.of(STUDY) if e.kind == "conflicting_version"]
        assert [e.detail["sop"] for e in audited] == [f"{STUDY}.2.1"]
        assert running.store.studies.get(STUDY).instance_count == 1


def test_an_image_that_comes_again_for_another_patient_is_looked_at_like_a_new_one(tmp_path: Path) -> None:
    """What a PACS sends after it has merged two patients: the same UIDs, another PatientID."""
    with listening(config_for(tmp_path, QUICK)) as running:
        assert send(running.port, data_set(1)) == [0]
        eventually(lambda: settled(running))
        before = running.store.studies.get(STUDY)
        assert send(running.port, data_set(1, PatientName="Doe^Jane^Maria")) == [0]
        assert running.store.studies.get(STUDY).generation == before.generation, "the same patient, spelt otherwise"
        assert send(running.port, data_set(1, PatientID="P2")) == [0]
        after = running.store.studies.get(STUDY)
        assert (after.generation, after.other_versions) == (before.generation + 1, 2)
        assert len(running.spool.version_paths(STUDY)) == 2
        assert [e.detail.get("names") for e in running.store.events.of(STUDY) if e.kind == "conflicting_version"] == [
            None,
            "another patient",
        ]


def test_private_and_lossy_objects_are_kept(tmp_path: Path) -> None:
    private = data_set(1, SOPClassUID="1.3.46.670589.11.0.0.12.1")
    lossy = data_set(2)
    lossy.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    lossy.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    lossy["PixelData"].VR = "OB"
    with listening(config_for(tmp_path)) as running:
        assert send(running.port, private, lossy) == [0, 0]
        kept = [pydicom.dcmread(p) for p in running.spool.paths(STUDY, f"{STUDY}.2")]
        assert [k.file_meta.TransferSyntaxUID for k in kept] == ["1.2.840.10008.1.2.1", JPEGBaseline8Bit]


def test_a_study_without_any_ct_ends_its_wait_too(tmp_path: Path) -> None:
    with listening(config_for(tmp_path, QUICK)) as running:
        assert send(running.port, data_set(1, SOPClassUID=SECONDARY_CAPTURE, Modality="OT")) == [0]
        eventually(lambda: settled(running))
        assert running.store.studies.get(STUDY).state is StudyState.READY


def test_a_report_that_comes_later_does_not_reopen_the_study_but_a_slice_does(tmp_path: Path) -> None:
    with listening(config_for(tmp_path, QUICK)) as running:
        send(running.port, data_set(1))
        eventually(lambda: settled(running))
        generation = running.store.studies.get(STUDY).generation
        send(running.port, data_set(1, series=9, SOPClassUID=SECONDARY_CAPTURE, Modality="OT"))
        eventually(lambda: running.store.studies.get(STUDY).instance_count == 2)
        assert running.store.studies.get(STUDY).generation == generation
        send(running.port, data_set(2))
        assert running.store.studies.get(STUDY).generation == generation + 1


def test_our_own_objects_coming_back_are_evidence_of_delivery_and_nothing_else(tmp_path: Path) -> None:
    with listening(config_for(tmp_path, QUICK)) as running:
        send(running.port, data_set(1))
        eventually(lambda: settled(running))
        before, moment = running.store.studies.get(STUDY), now()
        planned = PlannedDelivery(
            role=Role.PICTURE, sop_uid=f"{STUDY}.77.1", series_uid=f"{STUDY}.77", not_before=moment.utc
        )
        running.store.deliveries.plan(STUDY, 1, [planned], moment)
        ours = data_set(1, series=77, SOPClassUID=SECONDARY_CAPTURE, Modality="OT")
        assert send(running.port, ours) == [0]
        assert send(running.port, ours) == [0]
        time.sleep(0.7)
        assert running.store.studies.get(STUDY) == before
        assert running.spool.series(STUDY) == [f"{STUDY}.2"]
        (delivery,) = running.store.deliveries.of(STUDY)
        assert delivery.state is DeliveryState.CONFIRMED
        assert [e.kind for e in running.store.events.of(STUDY)].count("delivery_confirmed") == 1
        assert running.leftovers() == []


def test_priors_and_priorities_are_recognised_on_arrival(tmp_path: Path) -> None:
    rules = """
[assembly]
max_age_days = 30
[[worklist.priority]]
priority = "STAT"
tag = "RequestedProcedurePriority"
equals = "STAT"
"""
    old = (now().utc - timedelta(days=40)).strftime("%Y%m%d")
    with listening(config_for(tmp_path, rules)) as running:
        send(running.port, data_set(1, study="1.2.3", RequestedProcedurePriority="STAT"))
        send(running.port, data_set(1, study="1.2.4", StudyDate=old))
        urgent, prior = running.store.studies.get("1.2.3"), running.store.studies.get("1.2.4")
        assert (urgent.order_priority, urgent.place.tier, urgent.is_reference) == (OrderPriority.STAT, Tier.STAT, False)
        assert urgent.priority_source.startswith("rule 1")
        assert (prior.order_priority, prior.is_reference) == (OrderPriority.UNKNOWN, True)
        assert isinstance(prior.place, Place)


def test_the_log_names_no_patient(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="triaged")
    secrets = {"PatientName": "Zebra^Zoe", "PatientID": "ZID77", "PatientBirthDate": "19440404"}
    with listening(config_for(tmp_path, QUICK)) as running:
        good, conflicting = data_set(1, **secrets), data_set(1, **secrets, StudyDescription="other")
        assert send(running.port, good, conflicting) == [0, 0]
        with associated(running.port, [good]) as association:
            assert _store_as(association, "1.2.3", good) == 0xA900
        eventually(lambda: settled(running))
    said = "\n".join(f"{r.getMessage()} {vars(r)}" for r in caplog.records if r.name.startswith("triaged"))
    assert all(fact in said for fact in ("association over", "object refused", "study ready", "conflicting content"))
    events = str(running_events(running.config))
    assert not [secret for secret in (*secrets.values(), "Zebra") if secret in said or secret in events]


def running_events(config: Config) -> list[object]:
    with Store(config.database) as store:
        return [(e.kind, e.detail) for e in store.events.all()]


# -- what is refused -------------------------------------------------------------------------------------------------


def test_low_disk_is_answered_before_anything_is_lost_and_it_recovers(tmp_path: Path) -> None:
    free_mb = shutil.disk_usage(tmp_path).free // 2**20
    with listening(config_for(tmp_path, min_free_mb=free_mb * 2)) as running:
        assert send(running.port, data_set(1), data_set(2)) == [0xA700, 0xA700]
        assert running.store.studies.all() == []
        assert running.leftovers() == []
        running.spool._min_free_mb = 0  # room again
        assert send(running.port, data_set(1)) == [0]


def test_a_disk_that_fails_is_answered_too(tmp_path: Path) -> None:
    with listening(config_for(tmp_path)) as running, associated(running.port, [data_set()]) as association:
        running.spool.temporary.rmdir()
        running.spool.temporary.write_text("no folder any more")  # even root cannot create a file in it
        assert association.send_c_store(data_set(1)).Status == 0xA700
        running.spool.temporary.unlink()
        running.spool.temporary.mkdir()
        assert association.send_c_store(data_set(1)).Status == 0


def test_uids_that_differ_or_may_not_become_paths_are_refused(tmp_path: Path) -> None:
    uid = f"{STUDY}.2.1"
    with listening(config_for(tmp_path)) as running, associated(running.port, [data_set()]) as association:
        assert _store_as(association, "1.2.3", data_set(1)) == 0xA900
        for harmless, harmful in ((b"1.2.9999", b"1.2..999"), (b"1.2.9999", b"../../.."), (b"1.2.9999", b" " * 8)):
            broken = data_set(1, StudyInstanceUID=harmless.decode())
            assert _store_as(association, uid, broken, (harmless, harmful)) & 0xF000 == 0xC000
        assert running.store.studies.all() == []
        assert [p for p in running.spool.root.iterdir() if p != running.spool.temporary] == []
        assert running.leftovers() == []
        assert association.send_c_store(data_set(1)).Status == 0


def _store_as(association: Association, uid: str, ds: Dataset, damage: tuple[bytes, bytes] = (b"", b"")) -> int:
    """Status of a C-STORE whose command names `uid` and whose encoded data set is damaged in one place."""
    payload = encode(ds, False, True) or b""
    request = C_STORE()
    request.MessageID = 7
    request.AffectedSOPClassUID = ds.SOPClassUID
    request.AffectedSOPInstanceUID = uid
    request.Priority = 2
    request.DataSet = BytesIO(payload.replace(*damage) if damage[0] else payload)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return int(answer.Status)


# -- many at once ----------------------------------------------------------------------------------------------------


def test_twenty_senders_at_once_lose_nothing(tmp_path: Path) -> None:
    statuses: dict[int, list[int]] = {}

    def one(n: int) -> None:
        statuses[n] = send(running.port, *(data_set(k, study=f"1.2.{n}") for k in range(1, 6)))

    with listening(config_for(tmp_path)) as running:
        senders = [threading.Thread(target=one, args=(n,)) for n in range(1, 21)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert statuses == {n: [0] * 5 for n in range(1, 21)}
        eventually(lambda: all(s.instance_count == 5 for s in running.store.studies.all()))
        assert len(running.store.studies.all()) == 20
        assert all(len(running.spool.paths(f"1.2.{n}", f"1.2.{n}.2")) == 5 for n in range(1, 21))
