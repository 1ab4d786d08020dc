"""Prediction -> Findings: what the models saw, as the record that everyone after them reads."""

from __future__ import annotations

from dataclasses import replace

from models.pipeline import Prediction
from triaged.analysis.calibration import SiteCalibration, calibrated
from triaged.records import Findings, Flag, Grade, Provenance


def findings_of(
    prediction: Prediction,
    flags: tuple[Flag, ...],
    made_by: Provenance,
    calibration: SiteCalibration | None = None,
    remarks: tuple[str, ...] = (),
) -> Findings:
    """What the models say, and None for what they do not say; a probability where the site has calibrated the score."""
    extent, severity = prediction.extent, prediction.severity
    classes = prediction.class_probabilities
    found = Findings(
        covid_probability=prediction.probability,
        class_probabilities=None if classes is None else dict(classes),
        lung_volume_ml_left=extent.lung_ml_left,
        lung_volume_ml_right=extent.lung_ml_right,
        flags=flags,
        remarks=remarks,
        provenance=made_by,
    )
    if calibration is not None:
        found = calibrated(found, calibration)
    if severity is None:
        return found
    return replace(
        found,
        affected_fraction_left=severity.fraction_left,
        affected_fraction_right=severity.fraction_right,
        affected_fraction=severity.fraction,
        lesion_volume_ml_left=severity.lesion_ml_left,
        lesion_volume_ml_right=severity.lesion_ml_right,
        ct_grade=Grade(severity.grade),
    )
