"""The demonstration's studies hold what the demonstration promises."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

import pydicom
import pytest

from training.phantom.demo import PLANS, STAT_DESCRIPTION, DemoStudy, demonstration_studies
from training.phantom.population import draw

NOW = datetime(2026, 1, 5, 8, 30)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[DemoStudy]:
    return list(demonstration_studies(tmp_path_factory.mktemp("demo"), seed=3, now=NOW))


def _headers(study: DemoStudy) -> list[pydicom.FileDataset]:
    return [pydicom.dcmread(p, stop_before_pixels=True) for p in study.paths]


def test_there_are_at_least_twelve_of_every_promised_kind(studies: list[DemoStudy]) -> None:
    assert len(studies) == len(PLANS) >= 12
    assert len({s.study_uid for s in studies}) == len({s.patient_id for s in studies}) == len(studies)
    drawn = Counter(s.label for s in studies)
    assert drawn["covid"] >= 5
    assert drawn["cap"] >= 2
    assert drawn["normal"] >= 3
    assert drawn["other"] >= 3
    assert [s.ends for s in studies if not s.label] == [("not_chest",)]
    assert [s.ends[0] for s in studies if s.ends[0] != "analysed"] == ["not_chest", "syntax", "lung_opaque"]
    assert [(s.label, s.affected_fraction) for s in studies if s.priority == "STAT"] == [("normal", 0.0)]


def test_pneumonia_is_what_takes_lung_and_nothing_else_does(studies: list[DemoStudy]) -> None:
    for study in studies:
        if study.label:
            assert bool(study.affected_fraction) == (study.label in {"covid", "cap"}), study.kind
    (white,) = (s for s in studies if s.ends[0] == "lung_opaque")
    assert white.left_fraction is not None
    assert white.left_fraction >= 0.9


def test_severity_rises_over_the_set_but_not_in_order_of_arrival(studies: list[DemoStudy]) -> None:
    promised = {s.kind: s.affected_fraction for s in studies if s.kind.endswith("%")}
    for kind, fraction in promised.items():
        assert fraction == pytest.approx(float(kind.split()[-2]) / 100, abs=0.01), kind
    found = list(promised.values())
    assert len(found) >= 4
    assert found not in (sorted(found), sorted(found, reverse=True))
    (first_signs,) = (s.affected_fraction for s in studies if "first signs" in s.kind)
    assert first_signs is not None
    assert 0.0 < first_signs < 0.015


def test_no_two_are_the_same_person_and_each_is_of_the_sex_in_the_headers() -> None:
    chests = [plan for plan in PLANS if plan.drawn is not None]
    assert len({plan.patient for plan in chests}) == len(chests)
    for plan in chests:
        body = draw(plan.patient, kind=plan.drawn).phantom.body
        assert body is not None
        assert (body.breasts_mm > 0) == (plan.sex == "F"), plan.kind


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
    assert {h.ConvolutionKernel for h in headers if "AXIAL" in h.ImageType} == {"B41f", "B60f"}
    assert sum("LOCALIZER" in h.ImageType for h in headers) == 1


def test_studies_are_small_enough_to_send_in_a_moment(studies: list[DemoStudy]) -> None:
    assert sum(Path(p).stat().st_size for s in studies for p in s.paths) < 100e6
