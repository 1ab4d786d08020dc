"""The report says what was found, in codes, and nothing the models do not know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.unit.results import reader
from tests.unit.results.cases import NETWORK, SERIES, case, ct_series, lesions, with_network
from triaged.records import Flag, Grade, Role
from triaged.results.build import ResultInput, build_results, to_bytes

AFFECTED = "Percentage of lung volume affected"
SUMMARY = "CAD Processing and Findings Summary"


def sr_of(wanted: ResultInput, roles: tuple[Role, ...] = tuple(Role)) -> Dataset:
    return reader.read(to_bytes(build_results(wanted, roles)[Role.SR]))


def study_group(sr: Dataset) -> Dataset:
    return reader.group_named(sr, "AI triage of the study")


def test_the_document_is_preliminary_unverified_and_of_template_1500() -> None:
    sr = sr_of(case())
    assert (sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag) == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    assert sr.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert sr.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert reader.name_of(sr) == "Imaging Measurement Report"
    assert reader.values(sr, "Observer Type") == ["Device"]


def test_the_study_group_comes_first_and_holds_the_worse_lung() -> None:
    wanted = case()
    group = reader.groups(sr_of(wanted))[0]
    f = wanted.findings
    assert f.affected_fraction_left is not None
    assert f.affected_fraction_right is not None
    shares = [100 * f.affected_fraction_left, 100 * f.affected_fraction_right, 100 * f.affected_fraction_left]
    assert reader.values(group, AFFECTED) == pytest.approx([shares[0], shares[1], shares[2]], abs=0.01)
    first, right, left = (item for item in group.ContentSequence if reader.name_of(item) == AFFECTED)
    assert reader.values(first, "Derivation") == ["Maximum"]
    assert reader.values(right, "Laterality") == ["Right"]
    assert reader.values(left, "Laterality") == ["Left"]
    assert reader.values(group, SUMMARY) == ["All algorithms succeeded; with findings"]
    assert reader.values(group, "MosMed CT severity grade") == ["CT-1"]


@pytest.mark.parametrize("side", ["right", "left"])
def test_lesions_are_measured_on_the_segment_of_the_same_tracking_uid(side: str) -> None:
    wanted = case()
    built = build_results(wanted)
    seg, sr = (reader.read(to_bytes(built[role])) for role in (Role.SEG, Role.SR))
    group = reader.group_named(sr, f"{side} lung lesions")
    assert group.ContentTemplateSequence[0].TemplateIdentifier == "1411"
    (reference,) = reader.values(group, "Referenced Segment")
    assert isinstance(reference, Dataset)
    assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
    segment = seg.SegmentSequence[int(reference.ReferencedSegmentNumber) - 1]
    assert [segment.TrackingUID] == reader.values(group, "Tracking Unique Identifier")
    assert segment.SegmentLabel == f"{side.capitalize()} lung lesions"
    assert reader.values(group, "Source Series for Segmentation") == [SERIES]
    voxels = int(lesions(side).sum())
    assert reader.values(group, "Volume") == pytest.approx([voxels * 0.7 * 0.8 * 2.5], abs=0.06)
    assert reader.values(group, "Laterality") == [side.capitalize()]


def test_nothing_found_is_a_zero_in_the_report_and_no_region() -> None:
    sr = sr_of(case(lesion_sides=""))
    assert reader.values(study_group(sr), AFFECTED) == [0.0, 0.0, 0.0]
    assert reader.values(study_group(sr), SUMMARY) == ["All algorithms succeeded; without findings"]
    names = [reader.values(group, "Tracking Identifier") for group in reader.groups(sr)]
    assert names == [["AI triage of the study"], ["right lung"], ["left lung"]]
    assert reader.values(sr, "Volume") == pytest.approx([1108.8, 1008.0])


def test_a_lesion_below_the_floor_of_the_grade_is_no_finding() -> None:
    wanted = case()
    sr = sr_of(replace(wanted, findings=replace(wanted.findings, ct_grade=Grade.CT0)))
    assert reader.values(sr, SUMMARY) == ["All algorithms succeeded; without findings"]


def test_a_report_without_findings_says_what_was_not_looked_for() -> None:
    """The standard's code speaks of all algorithms, and a reader takes it for all disease."""
    clear, sick = sr_of(case(lesion_sides="")), sr_of(case())
    assert any("no other disease looked for" in str(text) for text in reader.values(clear, "Comment"))
    assert not any("looked for" in str(text) for text in reader.values(sick, "Comment"))


@pytest.mark.parametrize(("grade", "summary"), [(Grade.CT0, "without findings"), (Grade.CT1, "with findings")])
def test_lung_that_may_be_missing_is_no_success(grade: Grade, summary: str) -> None:
    wanted = case()
    wanted = replace(wanted, findings=replace(wanted.findings, ct_grade=grade))
    sr = sr_of(replace(wanted, findings=replace(wanted.findings, flags=(Flag.LUNG_MAY_BE_MISSING,))))
    assert reader.values(sr, SUMMARY) == [f"Not all algorithms succeeded; {summary}"]
    assert any("the percentages may be too low" in str(text) for text in reader.values(sr, "Comment"))


def test_the_particulars_of_a_flag_are_in_the_report() -> None:
    wanted = case()
    remark = "unfamiliar: noise in soft tissue 95 HU, trained on 0 to 40 HU (lungs-unet)"
    told = replace(wanted.findings, flags=(Flag.UNFAMILIAR,), remarks=(remark,))
    sr = sr_of(replace(wanted, findings=told))
    assert remark in reader.values(sr, "Comment")
    assert "Images are unlike those the models were trained on" in map(str, reader.values(sr, "Quality flag"))


def test_what_no_model_says_is_not_in_the_report() -> None:
    plain = sr_of(case())
    assert reader.values(plain, "Certainty of Finding") == []
    assert "COVID-19" not in reader.values(plain, "Finding")
    silent = {name: None for name in vars(case().findings) if name.startswith(("affected", "lesion", "ct_grade"))}
    wanted = case(lesion_sides="")
    wanted = replace(wanted, findings=with_network(replace(wanted.findings, **silent)))  # type: ignore[arg-type]
    wanted = replace(wanted, masks=replace(wanted.masks, lesions=None))
    sr = sr_of(wanted)
    assert reader.values(sr, AFFECTED) == reader.values(sr, SUMMARY) == []
    assert reader.values(sr, "MosMed CT severity grade") == []
    assert reader.values(sr, "Certainty of Finding") == [83.0]


@pytest.mark.parametrize(
    ("flags", "method"),
    [
        ((Flag.UNCALIBRATED,), "Uncalibrated model score, not a probability"),
        ((), "Probability calibrated at this site"),
    ],
)
def test_a_probability_says_whether_it_is_one(flags: tuple[Flag, ...], method: str) -> None:
    wanted = case()
    found = replace(with_network(wanted.findings, 0.8345), flags=flags)
    group = study_group(sr_of(replace(wanted, findings=found)))
    (certainty,) = [item for item in group.ContentSequence if reader.name_of(item) == "Certainty of Finding"]
    assert reader.value_of(certainty) == 83.45
    assert reader.values(certainty, "Measurement Method") == [method]
    assert reader.values(group, "Finding") == ["COVID-19"]


def test_weights_trained_on_phantoms_are_named_as_such() -> None:
    wanted = case()
    sr = sr_of(replace(wanted, findings=with_network(wanted.findings)))
    comments = [str(text) for text in reader.values(sr, "Comment")]
    assert any("trained on synthetic data" in text for text in comments)
    assert any("not for diagnosis" in text for text in comments)
    assert f"sha256={NETWORK.sha256}" in reader.values(study_group(sr), "Algorithm Parameters")
    assert "Research weights: trained on synthetic data" in reader.values(sr, "Quality flag")
    assert not any("synthetic" in str(text) for text in reader.values(sr_of(case()), "Comment"))


def test_every_flag_is_told() -> None:
    wanted = case()
    sr = sr_of(replace(wanted, findings=replace(wanted.findings, flags=tuple(Flag))))
    assert len(reader.values(sr, "Quality flag")) == len(Flag)


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"CodeValue": "CTTHX", "CodingSchemeDesignator": "99LOCAL", "CodeMeaning": "Thorax nativ"}, "Thorax nativ"),
        ({"CodeValue": "", "CodingSchemeDesignator": "99LOCAL", "CodeMeaning": "Thorax"}, "CT Chest"),
        ({}, "CT Chest"),
    ],
)
def test_the_procedure_reported_is_the_ct(item: dict[str, str], told: str) -> None:
    code = Dataset()
    for keyword, value in item.items():
        setattr(code, keyword, value)
    source = ct_series(attributes={"ProcedureCodeSequence": [code]})
    assert reader.values(sr_of(case(source)), "Procedure reported") == [told]


def test_the_image_library_names_each_image_once_and_what_they_share_once() -> None:
    source = ct_series()
    sr = sr_of(case(source))
    (library,) = [item for item in reader.walk(sr) if reader.name_of(item) == "Image Library"]
    images = [value.ReferencedSOPInstanceUID for value in reader.values(library, "Source")]  # type: ignore[attr-defined]
    assert images == [s.SOPInstanceUID for s in source]
    assert reader.values(library, "Pixel Data Rows") == [20.0]
    assert reader.values(library, "Vertical Pixel Spacing") == [0.7]


def test_evidence_holds_the_ct_the_seg_and_the_picture() -> None:
    wanted = case()
    built = build_results(wanted)
    (study,) = built[Role.SR].CurrentRequestedProcedureEvidenceSequence
    referred = {
        str(i.ReferencedSOPInstanceUID) for s in study.ReferencedSeriesSequence for i in s.ReferencedSOPSequence
    }
    expected = {str(s.SOPInstanceUID) for s in wanted.source}
    assert referred == expected | {built[Role.SEG].SOPInstanceUID, built[Role.PICTURE].SOPInstanceUID}


def test_without_a_seg_the_same_is_measured_and_nothing_refers_to_it() -> None:
    whole, alone = sr_of(case()), sr_of(case(), (Role.SR,))
    assert reader.values(alone, "Referenced Segment") == []
    assert reader.values(alone, "Volume") == reader.values(whole, "Volume")
    assert {g.ContentTemplateSequence[0].TemplateIdentifier for g in reader.groups(alone)} == {"1501"}


def test_a_revision_names_the_report_before_it() -> None:
    first = build_results(case())[Role.SR]
    wanted = case(revision=2, predecessor=first)
    second = sr_of(replace(wanted, choice=replace(wanted.choice, input_digest="e" * 64)))
    (study,) = second.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert "PredecessorDocumentsSequence" not in first


def test_scores_of_the_classes_are_told_where_a_model_gives_them() -> None:
    wanted = case()
    changes: dict[str, Any] = {"class_probabilities": {"normal": 0.1, "covid": 0.7}, "clinical_severity": "moderate"}
    sr = sr_of(replace(wanted, findings=replace(with_network(wanted.findings), **changes)))
    assert reader.values(sr, "Scores of the classes") == ["covid 0.70; normal 0.10"]
    assert reader.values(sr, "Clinical severity predicted") == ["moderate"]
