"""Prediction -> Findings: what the models say, and null for what they do not say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.analysis.predictions import SEVERITY, prediction
from triaged.analysis.findings import findings_of
from triaged.records import Findings, Flag, Grade, Provenance

MADE_BY = Provenance(models=(), triaged_version="0.1.0", device="cpu", config_digest="c0ffee")


def test_the_larger_side_is_the_severity_and_each_number_keeps_its_side() -> None:
    found = findings_of(prediction(), (Flag.LOSSY,), MADE_BY)
    assert found == Findings(
        affected_fraction_right=0.30,
        affected_fraction_left=0.10,
        affected_fraction=0.30,
        lung_volume_ml_right=2600.0,
        lung_volume_ml_left=2300.0,
        lesion_volume_ml_right=780.0,
        lesion_volume_ml_left=230.0,
        ct_grade=Grade.CT2,
        flags=(Flag.LOSSY,),
        provenance=MADE_BY,
    )
    assert found.lesion_volume_ml == 1010.0


def test_a_method_that_finds_no_lesions_says_nothing_of_them() -> None:
    """None is "does not say": 0 % would be a finding."""
    found = findings_of(prediction(lesions=None, severity=None, probability=0.7), (), MADE_BY)
    assert found.covid_probability == 0.7
    assert found.lung_volume_ml_right == 2600.0
    silent = (found.affected_fraction, found.affected_fraction_left, found.ct_grade, found.lesion_volume_ml)
    assert silent == (None, None, None, None)


def test_nothing_affected_is_zero_and_not_silence() -> None:
    nothing = replace(SEVERITY, fraction_right=0.0, fraction_left=0.0, lesion_ml_right=0.0, lesion_ml_left=0.0)
    found = findings_of(prediction(severity=replace(nothing, grade="CT-0")), (), MADE_BY)
    assert (found.affected_fraction, found.lesion_volume_ml, found.ct_grade) == (0.0, 0.0, Grade.CT0)


def test_class_probabilities_are_copied() -> None:
    said = {"covid": 0.6, "cap": 0.3, "normal": 0.1}
    found = findings_of(prediction(probability=0.6, class_probabilities=said), (), MADE_BY)
    said["covid"] = 0.0
    assert found.class_probabilities == {"covid": 0.6, "cap": 0.3, "normal": 0.1}


@pytest.mark.parametrize("grade", ["CT-0", "CT-1", "CT-2", "CT-3", "CT-4"])
def test_every_grade_of_the_models_has_its_record(grade: str) -> None:
    assert findings_of(prediction(severity=replace(SEVERITY, grade=grade)), (), MADE_BY).ct_grade == grade
