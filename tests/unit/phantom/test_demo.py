"""The demonstration's studies hold what the demonstration promises."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pydicom
import pytest

from training.phantom.demo import PLANS, STAT_DESCRIPTION, DemoStudy, demonstration_studies

NOW = datetime(2026, 1, 5, 8, 30)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[DemoStudy]:
    return demonstration_studies(tmp_path_factory.mktemp("demo"), seed=3, now=NOW)


def _headers(study: DemoStudy) -> list[pydicom.FileDataset]:
    return [pydicom.dcmread(p, stop_before_pixels=True) for p in study.paths]


def test_there_are_at_least_twelve_of_every_promised_kind(studies: list[DemoStudy]) -> None:
    assert len(studies) == len(PLANS) >= 12
    assert len({s.study_uid for s in studies}) == len({s.patient_id for s in studies}) == len(studies)
    normals = [s for s in studies if s.affected_fraction == 0.0]
    assert len(normals) >= 3
    assert [s.reason for s in studies if s.state == "not_analysed"] == ["not_chest", "syntax", "lung_opaque"]
    assert [s.affected_fraction for s in normals if s.priority == "STAT"] == [0.0]


def test_severity_rises_over_the_set_but_not_in_order_of_arrival(studies: list[DemoStudy]) -> None:
    found = [s.affected_fraction for s in studies if s.state == "analysed" and s.affected_fraction]
    assert sorted(found) == pytest.approx([0.03, 0.08, 0.15, 0.28, 0.42, 0.60, 0.78], abs=0.01)
    assert found not in (sorted(found), sorted(found, reverse=True))


def test_files_say_what_the_records_say(studies: list[DemoStudy]) -> None:
    times = []
    for study in studies:
        headers = _headers(study)
        assert {h.StudyInstanceUID for h in headers} == {study.study_uid}
        assert {h.PatientID for h in headers} == {study.patient_id}
        assert {str(h.PatientName) for h in headers} == {study.patient_name}
        assert {h.AccessionNumber for h in headers} == {study.accession_number}
        assert study.patient_name.startswith("Demo^")
        assert (headers[0].StudyDescription == STAT_DESCRIPTION) == (study.priority == "STAT")
        assert len({h.SOPInstanceUID for h in headers}) == len(study.paths)
        times.append(headers[0].StudyDate + headers[0].StudyTime)
    assert times == sorted(times)
    assert times[-1] == NOW.strftime("%Y%m%d%H%M%S")


def test_one_study_brings_two_kernels_and_a_localizer(studies: list[DemoStudy]) -> None:
    (study,) = (s for s in studies if "two kernels" in s.kind)
    headers = _headers(study)
    assert len({h.SeriesInstanceUID for h in headers}) == 3
    assert {h.ConvolutionKernel for h in headers if "AXIAL" in h.ImageType} == {"B31f", "B70f"}
    assert sum("LOCALIZER" in h.ImageType for h in headers) == 1


def test_studies_are_small_enough_to_send_in_a_moment(studies: list[DemoStudy]) -> None:
    assert sum(Path(p).stat().st_size for s in studies for p in s.paths) < 100e6
