"""Findings -> Comprehensive 3D SR on TID 1500 (PS3.16), preliminary and unverified. It says what was found, never more.

A value the model does not give has no item. The position in the reading list is no finding and does not appear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from highdicom import sr as hd
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from triaged.records import Choice, Findings, Flag, Grade
from triaged.results import codes
from triaged.results.seg import SIDES, Segment, family_of, parameters_of
from triaged.results.source import grid_of
from triaged.results.stamp import MANUFACTURER, MODEL_NAME, Stamp, apply, plain
from triaged.results.uids import derive

DESCRIPTION = "AI chest CT triage report"
NOT_FOR_DIAGNOSIS = "AI triage, not for diagnosis. Preliminary, not verified by a physician."
# The summary's code speaks of all algorithms; there is none for "of what they look for".
DENSE_LUNG_ONLY = "Nothing measured above the floor of CT-1. Only dense lung is measured, no other disease looked for."
LUNG_MAY_BE_MISSING = (
    "Lung may be missing from the measurement: what was found is unlike whole lungs. Consolidated lung can be lost so; "
    "the percentages may be too low."
)
SYNTHETIC = "Research weights: at least one model was trained on synthetic data. Not validated on patients."

Group = hd.MeasurementsAndQualitativeEvaluations | hd.VolumetricROIMeasurementsAndQualitativeEvaluations


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """What the SR tells and refers to. `seg` and `picture` are None where they are not sent along."""

    findings: Findings
    choice: Choice
    segments: tuple[Segment, ...] = ()
    seg: Dataset | None = None
    picture: Dataset | None = None
    predecessor: Dataset | None = None  # the SR of the revision before


def build_sr(source: Sequence[Dataset], report: Report, stamp: Stamp) -> Dataset:
    """The report on the study of `source` (the CT's headers; pixels are not needed)."""
    grid = grid_of(source)
    evidence = [*grid, *(d for d in (report.seg, report.picture) if d is not None)]
    sr: Dataset = hd.Comprehensive3DSR(
        evidence=evidence,
        content=_content(source, grid, report, stamp),
        series_instance_uid=stamp.uids.series_uid,
        series_number=1,
        sop_instance_uid=stamp.uids.sop_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=None if report.predecessor is None else [report.predecessor],
    )
    apply(stamp, source[0], sr, description=DESCRIPTION)
    return sr


def _content(source: Sequence[Dataset], grid: Sequence[Dataset], report: Report, stamp: Stamp) -> hd.MeasurementReport:
    device = hd.DeviceObserverIdentifyingAttributes(
        uid=stamp.installation_uid,
        name=MODEL_NAME,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=plain(stamp.made_by.triaged_version),
    )
    observer = hd.ObserverContext(
        observer_type=hd.CodedConcept("121007", "DCM", "Device"), observer_identifying_attributes=device
    )
    groups: list[Group] = [_study_group(report, stamp)]
    for kind in ("lung", "lesion"):
        groups += [_region_group(kind, side, grid[0], report, stamp) for side in SIDES if _volume(kind, side, report)]
    content = hd.MeasurementReport(
        observation_context=hd.ObservationContext(observer_person_context=None, observer_device_context=observer),
        procedure_reported=procedure_of(source[0]),
        imaging_measurements=groups,
    )
    items = content[0].ContentSequence
    at = next(i for i, item in enumerate(items) if item.name == codes.IMAGING_MEASUREMENTS)
    items.insert(at, _image_library(grid))
    return content


def procedure_of(source: Dataset) -> Code:
    """The CT procedure that is reported on: as the order codes it, else LOINC's CT of the chest."""
    for item in source.get("ProcedureCodeSequence") or []:
        value, scheme, meaning = (
            str(item.get(k) or "") for k in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
        )
        if 0 < len(value) <= 16 and 0 < len(scheme) <= 16 and 0 < len(meaning) <= 64:
            return Code(value, scheme, meaning)
    return codes.CT_CHEST


def _study_group(report: Report, stamp: Stamp) -> Group:
    """The root result (TID 1501): what was found in the study as a whole, whether it worked, and what to know of it."""
    f = report.findings
    group = hd.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.TrackingIdentifier(
            uid=derive(stamp.installation_uid, stamp.uids.sop_uid, "study"), identifier="AI triage of the study"
        ),
        finding_type=None if f.covid_probability is None else codes.COVID_19,
        finding_sites=[hd.FindingSite(anatomic_location=codes.LUNG)],
        algorithm_id=_algorithm("triage", stamp),
        measurements=[*_certainty(f), *_affected(f)] or None,
        qualitative_evaluations=_evaluations(f) or None,
    )
    for name, text in _texts(report, stamp):
        item = hd.TextContentItem(name=name, value=plain(text), relationship_type="CONTAINS")
        group[0].ContentSequence.append(item)
    return group


def _certainty(f: Findings) -> list[hd.Measurement]:
    """COVID-19 in per cent, with the method saying whether the number is a probability or only a score."""
    if f.covid_probability is None:
        return []
    method = codes.UNCALIBRATED_SCORE if Flag.UNCALIBRATED in f.flags else codes.CALIBRATED_PROBABILITY
    return [
        hd.Measurement(
            name=codes.CERTAINTY, value=round(100 * f.covid_probability, 2), unit=codes.PERCENT, method=method
        )
    ]


def _affected(f: Findings) -> list[hd.Measurement]:
    """The affected percentage: the larger of the two lungs, then each lung, 0 % included."""
    found = []
    if f.affected_fraction is not None:
        found.append(_percent(f.affected_fraction, derivation=codes.MAXIMUM))
    for side, fraction in (("right", f.affected_fraction_right), ("left", f.affected_fraction_left)):
        if fraction is not None:
            found.append(_percent(fraction, finding_sites=[_site(side)]))
    return found


def _percent(fraction: float, **context: Any) -> hd.Measurement:
    return hd.Measurement(name=codes.AFFECTED_PERCENT, value=round(100 * fraction, 2), unit=codes.PERCENT, **context)


def _evaluations(f: Findings) -> list[hd.QualitativeEvaluation]:
    """CAD summary, grade and quality flags, coded. Without a lesion model there is no summary: none looked."""
    found = []
    if f.affected_fraction is not None:
        found.append((codes.SUMMARY, _summary(f)))
    if f.ct_grade is not None:
        found.append((codes.CT_GRADE, codes.GRADES[f.ct_grade]))
    found += [(codes.QUALITY_FLAG, codes.FLAGS[flag]) for flag in f.flags]
    return [hd.QualitativeEvaluation(name=name, value=value) for name, value in found]


def _summary(f: Findings) -> Code:
    """CID 6047. Where lung may be missing from the measurement, not all that was tried can be said to have worked."""
    if Flag.LUNG_MAY_BE_MISSING in f.flags:
        return codes.IN_PART_WITHOUT_FINDINGS if _is_below_floor(f) else codes.IN_PART_WITH_FINDINGS
    return codes.WITHOUT_FINDINGS if _is_below_floor(f) else codes.WITH_FINDINGS


def _is_below_floor(f: Findings) -> bool:
    return f.affected_fraction == 0 if f.ct_grade is None else f.ct_grade is Grade.CT0


def _texts(report: Report, stamp: Stamp) -> list[tuple[Code, str]]:
    """What has no code: the warning, the series and why it was chosen, the weights, the scores of the classes."""
    f, choice = report.findings, report.choice
    said = [(codes.COMMENT, NOT_FOR_DIAGNOSIS)]
    if _is_below_floor(f):
        said.append((codes.COMMENT, DENSE_LUNG_ONLY))
    if Flag.LUNG_MAY_BE_MISSING in f.flags:
        said.append((codes.COMMENT, LUNG_MAY_BE_MISSING))
    said += [(codes.COMMENT, remark) for remark in f.remarks]
    if Flag.RESEARCH_WEIGHTS in f.flags or any(m.synthetic for m in stamp.made_by.models):
        said.append((codes.COMMENT, SYNTHETIC))
    said.append((codes.COMMENT, f"Series analysed: {choice.slices} slices. {choice.reason}"))
    if f.class_probabilities:
        scores = "; ".join(f"{name} {value:.2f}" for name, value in sorted(f.class_probabilities.items()))
        said.append((codes.CLASS_SCORES, scores))
    if f.clinical_severity:
        said.append((codes.CLINICAL_SEVERITY, f.clinical_severity))
    return said


def _volume(kind: str, side: str, report: Report) -> float | None:
    """Volume of a region in mL. None where it is unknown, and for lesions where there are none: no region, no group."""
    f = report.findings
    if kind == "lung":
        return f.lung_volume_ml_right if side == "right" else f.lung_volume_ml_left
    if report.seg is not None and _segment(kind, side, report) is None:
        return None
    return f.lesion_volume_ml_right if side == "right" else f.lesion_volume_ml_left


def _segment(kind: str, side: str, report: Report) -> Segment | None:
    return next((s for s in report.segments if (s.kind, s.side) == (kind, side)), None)


def _region_group(kind: str, side: str, image: Dataset, report: Report, stamp: Stamp) -> Group:
    """One lung, or the lesions in it: TID 1411 on its segment; TID 1501 where no SEG is sent to refer to."""
    volume_ml = _volume(kind, side, report)
    assert volume_ml is not None
    measurements = [
        hd.Measurement(
            name=codes.VOLUME, value=round(1000 * volume_ml, 1), unit=codes.CUBIC_MM, method=codes.SUM_OF_VOXELS
        )
    ]
    f = report.findings
    fraction = f.affected_fraction_right if side == "right" else f.affected_fraction_left
    if kind == "lesion" and fraction is not None:
        measurements.append(_percent(fraction))
    segment = _segment(kind, side, report)
    context: dict[str, Any] = {
        "tracking_identifier": hd.TrackingIdentifier(
            uid=segment.tracking_uid if segment else derive(stamp.installation_uid, stamp.uids.sop_uid, kind, side),
            identifier=segment.tracking_id if segment else f"{side} {kind}",
        ),
        "finding_type": codes.LUNG if kind == "lung" else codes.LESION,
        "finding_category": codes.ANATOMICAL_STRUCTURE if kind == "lung" else codes.ABNORMAL_STRUCTURE,
        "finding_sites": [_site(side)],
        "algorithm_id": _algorithm("lungs" if kind == "lung" else "triage", stamp),
        "measurements": measurements,
    }
    if segment is None or report.seg is None:
        return hd.MeasurementsAndQualitativeEvaluations(**context)
    # ReferencedSegment.from_segmentation of highdicom 0.28 fails on a SEG of one segment, so the series is named here.
    return hd.VolumetricROIMeasurementsAndQualitativeEvaluations(
        **context,
        referenced_segment=hd.ReferencedSegment(
            sop_class_uid=report.seg.SOPClassUID,
            sop_instance_uid=report.seg.SOPInstanceUID,
            segment_number=segment.number,
            source_series=hd.SourceSeriesForSegmentation(image.SeriesInstanceUID),
        ),
    )


def _site(side: str) -> hd.FindingSite:
    return hd.FindingSite(anatomic_location=codes.LUNG, laterality=SIDES[side][1])


def _algorithm(role: str, stamp: Stamp) -> hd.AlgorithmIdentification:
    model = stamp.model(role)
    return hd.AlgorithmIdentification(
        name=plain(model.name),
        version=plain(model.version),
        parameters=parameters_of(model) or None,
        family=family_of(model),
        manufacturer=MANUFACTURER,
    )


def _image_library(grid: Sequence[Dataset]) -> hd.ContainerContentItem:
    """TID 1600 with one group: what the images share is said once, not once per slice."""
    group = hd.ContainerContentItem(name=codes.IMAGE_LIBRARY_GROUP, relationship_type="CONTAINS")
    items = _shared(grid[0])
    for image in grid:
        items.append(
            hd.ImageContentItem(
                name=codes.SOURCE,
                referenced_sop_class_uid=image.SOPClassUID,
                referenced_sop_instance_uid=image.SOPInstanceUID,
                relationship_type="CONTAINS",
            )
        )
    group.ContentSequence = hd.ContentSequence(items)
    library = hd.ContainerContentItem(name=codes.IMAGE_LIBRARY, relationship_type="CONTAINS")
    library.ContentSequence = hd.ContentSequence([group])
    return library


def _shared(image: Dataset) -> list[hd.ContentItem]:
    """TID 1602 and 1604, as far as every image of a series has the same."""
    context = "HAS ACQ CONTEXT"
    items: list[hd.ContentItem] = [
        hd.CodeContentItem(name=codes.MODALITY, value=codes.CT_MODALITY, relationship_type=context),
        hd.UIDRefContentItem(
            name=codes.FRAME_OF_REFERENCE_UID, value=image.FrameOfReferenceUID, relationship_type=context
        ),
    ]
    numbers = [(codes.PIXEL_ROWS, image.Rows, codes.PIXELS), (codes.PIXEL_COLUMNS, image.Columns, codes.PIXELS)]
    if "PixelSpacing" in image:  # PS3.3 10.7.1.3: distance between rows first, then between columns
        numbers += [(codes.HORIZONTAL_SPACING, image.PixelSpacing[1], codes.MM)]
        numbers += [(codes.VERTICAL_SPACING, image.PixelSpacing[0], codes.MM)]
        numbers += [(codes.SLICE_THICKNESS, image.SliceThickness, codes.MM)]
    for name, value, unit in numbers:
        items.append(hd.NumContentItem(name=name, value=float(value), unit=unit, relationship_type=context))
    return items
