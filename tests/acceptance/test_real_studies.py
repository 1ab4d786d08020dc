"""The real studies, through a real Orthanc: received, decided, reported, and the reports read back by others' code."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.daemon import Daemon, running_daemon
from tests.orthanc import Orthanc, orthanc
from tests.support import free_port, peer
from triaged.artefacts import folder, read_masks
from triaged.records import OrderPriority, StudyState
from triaged.worklist.policy import place, urgency

STUDIES = ("normal-001", "covid-P001", "cap-001", "lungdx-A0001", "cip-ct64")
IDENTITY = ("PatientID", "PatientName", "PatientBirthDate", "AccessionNumber", "StudyID", "SpecificCharacterSet")


@dataclass(frozen=True)
class House:
    pacs: Orthanc
    daemon: Daemon
    uids: dict[str, str]  # name -> Study Instance UID


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[House]:
    tmp_path = tmp_path_factory.mktemp("real")
    port = free_port()
    with orthanc(tmp_path, forward_to=("TRIAGED", port)) as pacs:
        sections = {
            "dicom": {"port": port},
            "pacs": {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.dicom_port},
        }
        with running_daemon(tmp_path, sections) as daemon:
            uids = {}
            for name in STUDIES:
                files = sorted(p for p in (shared_data / "studies" / name).rglob("*") if p.is_file())
                uids[name] = str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)
                pacs.upload(*files)
            daemon.wait_until_decided(*uids.values(), limit_s=400)
            daemon.wait_until_delivered(*uids.values(), limit_s=120)
            yield House(pacs, daemon, uids)


@pytest.mark.timeout(600)
def test_every_real_study_ends_in_a_state_with_both_lungs_found(house: House) -> None:
    with house.daemon.store() as store:
        for name, uid in house.uids.items():
            study = store.studies.get(uid)
            assert study.state is StudyState.ANALYSED, (name, study.reason)
            found = study.findings
            assert found is not None
            assert found.lung_volume_ml_left
            assert found.lung_volume_ml_right
            both = found.lung_volume_ml_left + found.lung_volume_ml_right
            assert 1500 <= both <= 9000, name
            assert 0.8 <= found.lung_volume_ml_right / found.lung_volume_ml_left <= 1.8, name
            if name == "cip-ct64":
                assert both == pytest.approx(4554, rel=0.10)
            if name == "normal-001":
                assert found.affected_fraction is not None
                assert found.affected_fraction <= 0.02


def test_the_more_affected_study_stands_above_the_normal_one(house: House) -> None:
    order = [item["study_uid"] for item in house.daemon.worklist()]
    assert order.index(house.uids["covid-P001"]) < order.index(house.uids["normal-001"])


@pytest.mark.parametrize("first", ["normal-001", "covid-P001"])
def test_their_findings_put_them_in_that_order_whichever_came_first(house: House, first: str) -> None:
    with house.daemon.store() as store:
        stored = {name: store.studies.get(house.uids[name]) for name in ("normal-001", "covid-P001")}
    arrived = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
    rules = house.daemon.config.worklist
    due = {}
    for name, study in stored.items():
        at = arrived if name == first else arrived + timedelta(minutes=5)
        found = urgency(
            "severity",
            study.findings,
            identification_threshold=rules.identification_threshold,
            severity_threshold=rules.severity_threshold,
        )
        due[name] = place(at, OrderPriority.UNKNOWN, found, rules).due
    assert due["covid-P001"] < due["normal-001"]


def test_two_kernels_of_one_study_become_one_choice_with_its_reason(house: House) -> None:
    with house.daemon.store() as store:
        choice = store.studies.get(house.uids["lungdx-A0001"]).choice
        assert choice is not None
        assert "B" in choice.reason
        assert len(store.studies.outcomes(house.uids["lungdx-A0001"])) == 1


def test_seg_sr_and_picture_are_in_the_pacs_under_the_patient_they_belong_to(house: House) -> None:
    for uid in house.uids.values():
        source = house.pacs.dataset(house.pacs.sop_uids_of_modality(uid, "CT")[0])
        for modality in ("SEG", "SR", "OT"):
            objects = house.pacs.sop_uids_of_modality(uid, modality)
            assert len(objects) == 1, modality
            result = house.pacs.dataset(objects[0])
            assert result.StudyInstanceUID == uid
            for keyword in IDENTITY:
                assert result.get(keyword) == source.get(keyword), (modality, keyword)


def test_dciodvfy_finds_no_error_in_what_the_pacs_holds(house: House, tmp_path: Path) -> None:
    validator = peer("dciodvfy")
    for uid in house.uids.values():
        for modality in ("SEG", "SR", "OT"):
            path = tmp_path / "object.dcm"
            path.write_bytes(house.pacs.file(house.pacs.sop_uids_of_modality(uid, modality)[0]))
            said = subprocess.run([validator, str(path)], capture_output=True, text=True, check=False)
            errors = re.findall(r"^Error.*$", said.stdout + said.stderr, re.MULTILINE)
            assert not errors, (modality, errors[:5])


def test_the_seg_read_from_the_pacs_is_our_mask_in_patient_coordinates(house: House) -> None:
    for uid in house.uids.values():
        with house.daemon.store() as store:
            revision = store.studies.get(uid).revision
        ours = read_masks(folder(house.daemon.config.artefacts, uid, revision))
        seg = dcmread(BytesIO(house.pacs.file(house.pacs.sop_uids_of_modality(uid, "SEG")[0])))
        sources = {sop: index for index, (sop, _) in enumerate(ours.sources)}
        read = _masks_by_segment(seg, sources, ours.lungs.shape)
        assert ours.lesions is not None
        expected = {
            ("Right", "lung"): ours.lungs == 1,
            ("Left", "lung"): ours.lungs == 2,
            ("Right", "lesion"): (ours.lungs == 1) & ours.lesions,
            ("Left", "lesion"): (ours.lungs == 2) & ours.lesions,
        }
        for key, mask in expected.items():
            np.testing.assert_array_equal(read.get(key, np.zeros_like(mask)), mask, err_msg=str(key))
        _assert_frames_lie_on_their_sources(house.pacs, seg)


def _masks_by_segment(
    seg: Dataset, sources: dict[str, int], shape: tuple[int, ...]
) -> dict[tuple[str, str], np.ndarray]:
    """By hand from the bytes: nothing of the writer's, nothing of highdicom's."""
    frames = int(seg.NumberOfFrames)
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    planes = bits[: frames * seg.Rows * seg.Columns].reshape(frames, seg.Rows, seg.Columns).astype(bool)
    found: dict[tuple[str, str], np.ndarray] = {}
    for plane, group in zip(planes, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        number = _segment_number(seg, group)
        segment = next(s for s in seg.SegmentSequence if s.SegmentNumber == number)
        mask = found.setdefault(_side_and_kind(segment), np.zeros(shape, bool))
        mask[sources[source]] = plane
    return found


def _segment_number(seg: Dataset, group: Dataset) -> int:
    if "SegmentIdentificationSequence" not in group:
        group = seg.SharedFunctionalGroupsSequence[0]
    return int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _side_and_kind(segment: Dataset) -> tuple[str, str]:
    kind = "lesion" if "Lesion" in segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning else "lung"
    if kind == "lung":
        side = segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    else:
        side = segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0]
    return str(side.CodeMeaning), kind


def _assert_frames_lie_on_their_sources(pacs: Orthanc, seg: Dataset) -> None:
    """The frame's own position in the patient is the position of the image it names."""
    seen: dict[str, Dataset] = {}
    groups = list(seg.PerFrameFunctionalGroupsSequence)
    for group in groups[:: max(1, len(groups) // 8)]:
        sop = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        source = seen.setdefault(sop, pacs.dataset(sop))
        position = group.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(position, source.ImagePositionPatient, atol=1e-3)
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    np.testing.assert_allclose(orientation, source.ImageOrientationPatient, atol=1e-4)
    np.testing.assert_allclose(shared.PixelMeasuresSequence[0].PixelSpacing, source.PixelSpacing, atol=1e-4)
    assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
