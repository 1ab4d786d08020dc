"""Pipelines held against cases with exact truth: what is counted where, and what may be claimed."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics

from models.severity import LEFT, RIGHT
from tests.unit.training.some_cases import SOME
from training import evaluate
from training.cases import held_out
from training.evaluate import CLASSICAL, Contender, Evaluation
from training.judge import judge
from training.measure import Case, Measured, measure, remaining
from training.overlap import slice_wise
from training.phantom.case import Patient, Phantom
from training.phantom.pathology import Pathology
from training.phantom.study import SMALL

GENERIC = Contender(label="generic", lungs="generic-lungs", triage="thresholding")


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return judge(SOME, [GENERIC]).evaluation(resamples=100)


def test_every_case_is_counted_and_the_refused_one_has_found_nothing(found: Evaluation) -> None:
    assert found.cases == {"covid": 3, "atelectasis": 1, "cap": 1, "normal": 2}
    thresholding, generic = found.rows
    assert (thresholding.label, thresholding.refused, generic.label) == ("thresholding", 1, "generic")
    lungs = thresholding.scores["lung_dice"]
    assert lungs.n == 7
    assert lungs.low == 0.0 or lungs.low < lungs.value  # the refused one pulls
    assert 6 / 7 * 0.85 < lungs.value <= 6 / 7


def test_each_score_is_computed_on_the_cases_it_belongs_to(found: Evaluation) -> None:
    scores = found.rows[0].scores
    assert {name: score.n for name, score in scores.items()} == {
        "lung_dice": 7,
        "lesion_dice": 3,
        "severity_rho": 3,
        "auc_all": 7,
        "auc_others": 5,
        "auc_normal": 5,
        "normal_fraction": 2,
    }
    assert scores["lesion_dice"].value > 0.6
    assert scores["severity_rho"].value == pytest.approx(1.0)
    assert scores["auc_normal"].value == 1.0
    # Balls of 28, 34 and 42 mm against 26 and 30: five of six pairs are in order.
    assert scores["auc_others"].value == pytest.approx(5 / 6)
    assert scores["normal_fraction"].value < 0.01


def test_a_pipeline_less_itself_is_nothing_and_claims_nothing(found: Evaluation) -> None:
    for difference in found.rows[0].differences.values():
        assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)
        assert not difference.excludes_zero


def test_a_difference_is_that_of_the_scores(found: Evaluation) -> None:
    base, other = found.rows
    for name, difference in other.differences.items():
        assert difference.value == pytest.approx(other.scores[name].value - base.scores[name].value)


def test_a_report_is_plain_json_and_a_table(found: Evaluation) -> None:
    assert json.loads(json.dumps(found.as_dict()))["rows"][0]["label"] == "thresholding"
    text = found.as_markdown()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows[:5]}) == 1
    assert "3 covid, 1 atelectasis" in text
    assert "generic less thresholding" in text


def test_a_model_without_lesions_is_ranked_by_its_score() -> None:
    """CT triage computes the rank correlation of its classifier from the probability."""
    silent = Measured(lung_dice=1.0, lesion_dice=math.nan, fraction=math.nan, score=0.7, seconds=1.0)
    assert silent.severity == 0.7
    assert replace(silent, fraction=0.2).severity == 0.2


def _described(n: int) -> list[Case]:
    """Kinds that a count of lesions tells apart, and a volume that tells nothing."""
    rng = np.random.default_rng(2)
    kinds = ["covid", "cap", "normal"]
    return [
        Case(
            name=str(i),
            kind=kinds[i % 3],
            fraction=0.1,
            descriptors={"count": (5.0, 1.5, 0.0)[i % 3] + rng.normal(0, 0.7), "volume": rng.random()},
        )
        for i in range(n)
    ]


def test_the_reference_row_tells_what_the_true_lesions_alone_give() -> None:
    found = evaluate._reference(_described(90), seed=0)
    assert found["auc_others"].value > 0.95
    assert found["auc_normal"].n == 60
    shuffled = _described(90)
    counts = np.random.default_rng(1).permutation([case.descriptors["count"] for case in shuffled])
    blind = [
        replace(case, descriptors={**case.descriptors, "count": float(count)})
        for case, count in zip(shuffled, counts, strict=True)
    ]
    assert evaluate._reference(blind, seed=0)["auc_others"].value < 0.75


def test_no_reference_row_without_descriptors_or_with_too_few_cases() -> None:
    assert evaluate._reference(_described(9), seed=0) == {}
    assert evaluate._reference([replace(case, descriptors={}) for case in _described(90)], seed=0) == {}


def test_a_scanned_phantom_is_a_case_with_its_sides() -> None:
    shown = Patient(Phantom(seed=3, pathology=Pathology(right=0.3))).scan(SMALL)
    case = held_out("one", "covid", shown, {"count": 1.0})
    assert case.volume is shown.volume
    assert (case.labels == RIGHT).sum() == shown.truth.right_lung.sum()
    assert case.lesions[case.labels == RIGHT].mean() == pytest.approx(0.3, abs=0.05)
    assert not case.lesions[case.labels == LEFT].any()


def test_the_baseline_is_the_thresholding_of_the_papers() -> None:
    assert (CLASSICAL.lungs, CLASSICAL.triage) == ("classical-lungs", "thresholding")


def test_what_the_data_set_does_not_say_is_not_computed() -> None:
    """Many public sets have lesions without lungs, or no masks at all."""
    case = SOME[0]
    without = measure(CLASSICAL.pipeline(), replace(case, labels=None))
    assert math.isnan(without.lung_dice)
    assert without.lesion_dice > 0.5
    assert math.isnan(remaining(replace(case, labels=None)).fraction)
    cases = [remaining(case), replace(remaining(case), fraction=math.nan)]
    scores = evaluate.scores([replace(without, lung_dice=0.5), without], cases, evaluate.METRICS, resamples=10)
    assert (scores["lung_dice"].n, scores["lung_dice"].value) == (1, 0.5)
    assert scores["severity_rho"].n == 1
    details = evaluate.scores([without], [remaining(replace(case, labels=None))], evaluate.DETAILS, resamples=10)
    assert details["lesion_dsc"].value == without.lesion_dice, "lesions can be judged where nobody drew lungs"
    blind = measure(CLASSICAL.pipeline(), replace(case, labels=None, lesions=None))
    assert math.isnan(blind.lesion_dice)
    assert blind.masks == {}


def test_masks_are_scored_in_more_ways_than_dice() -> None:
    case = SOME[2]
    one = measure(CLASSICAL.pipeline(), case)
    assert one.masks["lung_jaccard"] == pytest.approx(one.lung_dice / (2 - one.lung_dice))
    assert 0.8 < one.masks["lung_slice_dice"] <= 1.0
    assert 0.8 < one.masks["lung_slice_mcc"] <= one.masks["lung_slice_precision"] + 0.1
    assert 0.5 < one.masks["lesion_sensitivity"] < one.masks["lesion_specificity"] <= 1.0
    refused = measure(CLASSICAL.pipeline(), SOME[6])
    assert refused.refused
    assert (refused.masks["lung_slice_dice"], refused.masks["lung_slice_mcc"]) == (0.0, 0.0)
    assert (refused.lung_dice, refused.masks["lung_jaccard"], refused.masks["lesion_specificity"]) == (0.0, 0.0, 1.0)


def test_lungs_are_scored_slice_by_slice_where_there_are_lungs() -> None:
    truth, found = np.zeros((3, 4, 4), bool), np.zeros((3, 4, 4), bool)
    truth[1, :2, :2] = truth[2, :2, :] = True
    found[0], found[1, 0, :2] = True, True  # nothing of the last slice, and all of one without lung
    scores = slice_wise("lung", found, truth)
    assert scores["lung_slice_dice"] == pytest.approx((4 / 6 + 0) / 2)
    assert scores["lung_slice_jaccard"] == pytest.approx((2 / 4 + 0) / 2)
    assert scores["lung_slice_precision"] == pytest.approx((1 + 0) / 2)
    mcc = metrics.matthews_corrcoef(truth[1].ravel(), found[1].ravel())
    assert scores["lung_slice_mcc"] == pytest.approx((mcc + 0) / 2)
    assert slice_wise("lung", found, np.zeros_like(truth)) == {}
