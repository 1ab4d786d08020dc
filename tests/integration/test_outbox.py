"""The outbox against a real Orthanc: what arrives, in which form, when, and what never does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.integration.outbox_house import House, settings
from tests.orthanc import Orthanc, orthanc
from triaged.records import DeliveryState, Role
from triaged.results.encode import encode

SENT, WAITING, PARKED = DeliveryState.SENT, DeliveryState.WAITING, DeliveryState.PARKED
SUPERSEDED = DeliveryState.SUPERSEDED


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("pacs")) as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, pacs: Orthanc) -> Iterator[House]:
    house = House.at(settings(tmp_path, pacs.dicom_port))
    yield house
    house.store.close()


def data_set_of(file: bytes) -> bytes:
    """What follows the File Meta, whose length its first element says (PS3.10 section 7.1)."""
    return file[144 + int.from_bytes(file[140:144], "little") :]


def test_each_result_arrives_once_as_the_bytes_that_were_stored(house: House, pacs: Orthanc) -> None:
    study = house.analysed("arrives")
    assert house.deliver_all() == 3
    assert house.deliver_all() == 0

    deliveries = house.deliveries(study)
    assert pacs.sop_uids(study) == sorted(d.sop_uid for d in deliveries.values())
    for role, delivery in deliveries.items():
        assert delivery.state is SENT
        assert delivery.path == f"results/{study}/1/{role}.dcm"
        stored = (house.config.storage.path / delivery.path).read_bytes()
        assert hashlib.sha256(stored).hexdigest() == delivery.sha256
        assert data_set_of(pacs.file(delivery.sop_uid)) == data_set_of(stored)
        assert dcmread(house.config.storage.path / delivery.path).SeriesInstanceUID == delivery.series_uid


def test_a_study_without_lesions_is_delivered_too(house: House, pacs: Orthanc) -> None:
    study = house.analysed("clear", fraction=0.0)
    assert house.deliver_all() == 3
    assert len(pacs.sop_uids(study)) == 3


def test_nothing_leaves_in_shadow_mode(tmp_path: Path, pacs: Orthanc) -> None:
    house = House.at(settings(tmp_path, pacs.dicom_port, mode="shadow"))
    study = house.analysed("shadow")
    assert house.deliver_all() == 0
    assert set(house.states(study).values()) == {WAITING}
    assert pacs.sop_uids(study) == []
    house.store.close()


def test_results_wait_for_the_publish_quiet_time(house: House, pacs: Orthanc) -> None:
    study = house.analysed("quiet", publish_quiet_s=120.0)
    house.later(119.0)
    assert house.deliver_all() == 0
    house.later(1.0)
    assert house.deliver_all() == 3
    assert len(pacs.sop_uids(study)) == 3


def test_results_wait_while_late_images_are_looked_at(house: House, pacs: Orthanc) -> None:
    study = house.analysed("late", publish_quiet_s=60.0)
    house.requeue(study)
    house.later(60.0)
    assert house.deliver_all() == 0
    house.analyse(study)  # the same result: the same objects, planned once
    assert house.deliver_all() == 3
    assert len(pacs.sop_uids(study)) == 3


def test_a_revision_that_was_overtaken_is_never_sent(house: House, pacs: Orthanc) -> None:
    study = house.analysed("overtaken", publish_quiet_s=60.0)
    house.requeue(study)
    house.analyse(study, version="2", fraction=0.6)
    house.later(3600.0)
    assert house.deliver_all() == 3
    assert set(house.states(study, 1).values()) == {SUPERSEDED}
    assert set(house.states(study, 2).values()) == {SENT}
    second = house.deliveries(study, 2)
    assert pacs.sop_uids(study) == sorted(d.sop_uid for d in second.values())
    assert "PredecessorDocumentsSequence" not in pacs.dataset(second[Role.SR].sop_uid)


def test_a_revised_report_names_the_report_the_pacs_has(house: House, pacs: Orthanc) -> None:
    study = house.analysed("revised")
    house.deliver_all()
    house.requeue(study)
    house.analyse(study, version="2", fraction=0.6)
    house.deliver_all()

    first, second = house.deliveries(study, 1), house.deliveries(study, 2)
    report = pacs.dataset(second[Role.SR].sop_uid)
    (document,) = report.PredecessorDocumentsSequence
    (series,) = document.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == first[Role.SR].series_uid
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first[Role.SR].sop_uid
    assert len(pacs.sop_uids(study)) == 6


def test_a_new_revision_during_encoding_keeps_the_old_one_home(house: House, pacs: Orthanc) -> None:
    study = house.analysed("raced")
    outbox = house.outbox()
    due = house.store.deliveries.due(house.now)
    house.requeue(study)
    house.analyse(study, version="2")
    assert outbox._deliver_study(due, house.now) == 0  # what was read before the revision came
    assert pacs.sop_uids(study) == []
    assert house.deliver_all() == 3
    assert pacs.sop_uids(study) == sorted(d.sop_uid for d in house.deliveries(study, 2).values())


def test_the_making_of_a_revisions_results_is_told_once_with_its_time(house: House, pacs: Orthanc) -> None:
    study = house.analysed("A")
    house.deliver_all()
    house.outbox()._encode(list(house.deliveries(study).values()))
    (made,) = [e for e in house.store.events.of(study) if e.kind == "encoded"]
    assert (made.detail["revision"], made.detail["objects"]) == (1, 3)
    assert isinstance(made.detail["seconds"], float)
    kinds = house.kinds(study)
    assert kinds.index("analysed") < kinds.index("encoded") < kinds.index("delivered")


def test_what_is_encoded_is_not_encoded_again(house: House, pacs: Orthanc) -> None:
    study = house.analysed("once")
    encode(house.store, house.spool, house.config, list(house.deliveries(study).values()))
    before = house.deliveries(study)
    files = {role: house.config.storage.path / str(d.path) for role, d in before.items()}
    written = {role: path.stat().st_ino for role, path in files.items()}
    house.deliver_all()
    assert {role: path.stat().st_ino for role, path in files.items()} == written
    assert {role: d.sha256 for role, d in house.deliveries(study).items()} == {r: d.sha256 for r, d in before.items()}


def test_bytes_that_changed_on_disk_are_not_sent(house: House, pacs: Orthanc) -> None:
    study = house.analysed("changed")
    encode(house.store, house.spool, house.config, list(house.deliveries(study).values()))
    seg = house.deliveries(study)[Role.SEG]
    path = house.config.storage.path / str(seg.path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)

    assert house.deliver_all() == 3
    assert house.states(study) == {Role.SEG: PARKED, Role.SR: SENT, Role.PICTURE: SENT}
    assert house.deliveries(study)[Role.SEG].last_error == "the encoded seg was changed on disk"
    assert seg.sop_uid not in pacs.sop_uids(study)


def test_images_that_are_gone_park_their_study_and_hold_up_no_other(house: House, pacs: Orthanc) -> None:
    bad = house.analysed("gone", minutes=10)
    good = house.analysed("stays", minutes=60)
    (series,) = house.spool.series(bad)
    house.spool.paths(bad, series)[4].unlink()

    assert house.deliver_all() == 6
    assert set(house.states(bad).values()) == {PARKED}
    assert house.deliveries(bad)[Role.SR].last_error == "1 of 10 source images are gone from the spool"
    assert house.kinds(bad).count("delivery_parked") == 3
    assert len(pacs.sop_uids(good)) == 3


def test_an_unreadable_image_parks_its_study_without_quoting_it(house: House) -> None:
    study = house.analysed("broken")
    (series,) = house.spool.series(study)
    house.spool.paths(study, series)[0].write_bytes(b"Test^Oblique is no DICOM file")
    house.deliver_all()
    reason = house.deliveries(study)[Role.SEG].last_error
    assert reason is not None
    assert reason.startswith("source image")
    assert reason.endswith("cannot be read")
    assert "Oblique" not in reason


def test_an_error_nobody_foresaw_parks_its_study_and_names_the_place(
    house: House, pacs: Orthanc, caplog: pytest.LogCaptureFixture
) -> None:
    bad = house.analysed("unforeseen", minutes=10)
    good = house.analysed("foreseen", minutes=60)
    (series,) = house.spool.series(bad)
    path = house.spool.paths(bad, series)[3]
    image = dcmread(path)
    image.FrameOfReferenceUID = "1.2.3"  # the builders refuse a source with two frames of reference
    image.save_as(path)

    assert house.deliver_all() == 6
    reason = house.deliveries(bad)[Role.SEG].last_error
    assert reason is not None
    assert reason.startswith("an error of ours: ValueError")
    assert len(pacs.sop_uids(good)) == 3


def test_a_disk_that_refuses_is_asked_again(house: House, pacs: Orthanc) -> None:
    study = house.analysed("disk")
    obstacle = house.config.artefacts / study / "1" / "sr.tmp"
    obstacle.mkdir()
    assert house.deliver_all() == 0
    assert set(house.states(study).values()) == {WAITING}
    assert "cannot be written" in str(house.deliveries(study)[Role.SR].last_error)
    assert {d.path for d in house.deliveries(study).values()} == {None}  # all or none

    obstacle.rmdir()
    house.later(60.0)
    assert house.deliver_all() == 3
    assert len(pacs.sop_uids(study)) == 3


def test_a_program_that_changed_between_analysis_and_encoding_is_noticed(house: House, pacs: Orthanc) -> None:
    study = house.analysed("updated")
    with house.store.atomic():
        house.store.execute("UPDATE deliveries SET sop_uid = sop_uid || '9' WHERE study_uid = ?", (study,))
    house.deliver_all()
    assert set(house.states(study).values()) == {PARKED}
    assert "not the one that was planned" in str(house.deliveries(study)[Role.SEG].last_error)
    assert pacs.sop_uids(study) == []


def test_a_role_that_is_not_sent_any_more_is_parked(tmp_path: Path, pacs: Orthanc) -> None:
    house = House.at(settings(tmp_path, pacs.dicom_port, results='send = ["sr"]'))
    study = house.analysed("fewer")
    house.deliver_all()
    assert house.states(study) == {Role.SEG: PARKED, Role.SR: SENT, Role.PICTURE: PARKED}
    assert "does not name seg" in str(house.deliveries(study)[Role.SEG].last_error)
    house.store.close()


def test_after_a_repair_results_in_doubt_wait_for_a_person(house: House, pacs: Orthanc) -> None:
    study = house.receive("doubted")
    house.store.deliveries.doubt([study])
    house.analyse(study)
    house.deliver_all()
    assert set(house.states(study).values()) == {PARKED}
    assert "cannot be proved" in str(house.deliveries(study)[Role.SR].last_error)

    house.store.deliveries.unpark(study, by="dr.a", now=house.now)
    assert house.deliver_all() == 3
    assert len(pacs.sop_uids(study)) == 3


# pynetdicom drops the socket of a failed connection without closing it; Python closes it, and says so.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_pacs_that_was_down_gets_everything_once_it_is_up(tmp_path: Path) -> None:
    with orthanc(tmp_path) as pacs:
        house = House.at(settings(tmp_path / "storage", pacs.dicom_port))
        pacs.stop()
        study = house.analysed("down")
        assert house.deliver_all() == 0
        assert set(house.states(study).values()) == {WAITING}
        pacs.start()
        house.later(60.0)
        assert house.outbox().step(house.now) == 3
        assert pacs.sop_uids(study) == sorted(d.sop_uid for d in house.deliveries(study).values())
        house.store.close()
