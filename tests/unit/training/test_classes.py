"""Scores of several classes, against scikit-learn's of the same cases."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics

from training.classes import judged, one_against_rest, rates, table
from training.scores import Confusion

NAMES = ("cap", "covid", "normal")


def _cases() -> tuple[np.ndarray, np.ndarray]:
    """Sixty cases of three classes of different size, somewhat right; one class is hardly ever said."""
    rng = np.random.default_rng(4)
    truth = rng.choice(3, size=60, p=[0.2, 0.5, 0.3])
    p = rng.dirichlet([1.0, 1.0, 1.0], size=60) + 0.5 * np.eye(3)[truth] * np.array([0.2, 1.0, 1.0])
    return truth, p / p.sum(axis=1, keepdims=True)


def test_every_rate_is_the_librarys() -> None:
    truth, p = _cases()
    said = p.argmax(axis=1)
    found = rates(table(truth, said, 3))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
    assert found["MCC"] == pytest.approx(metrics.matthews_corrcoef(truth, said))
    for average in ("macro", "weighted"):
        theirs = metrics.precision_recall_fscore_support(truth, said, average=average, zero_division=0)
        for name, value in zip(("precision", "recall", "F1"), theirs[:3], strict=True):
            assert found[f"{average} {name}"] == pytest.approx(value)
    others = [metrics.recall_score(truth != k, said != k) for k in range(3)]
    assert found["macro specificity"] == pytest.approx(np.mean(others))
    assert found["weighted recall"] == pytest.approx(found["accuracy"])
    assert found["macro recall"] != pytest.approx(found["accuracy"])
    theirs = [metrics.roc_auc_score(truth == k, p[:, k]) for k in range(3)]
    assert one_against_rest(p, truth) == pytest.approx(np.array(theirs))


def test_a_class_that_is_never_said_has_no_precision_and_one_that_is_missing_does_not_count() -> None:
    truth, said = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0])
    found = rates(table(truth, said, 3))
    assert found["macro precision"] == pytest.approx((0.5 + 0.0) / 2)
    assert found["macro recall"] == pytest.approx(0.5)
    assert np.isnan(found["MCC"])


def test_probabilities_are_judged_with_intervals() -> None:
    truth, p = _cases()
    found = judged(
        [dict(zip(NAMES, map(float, row), strict=True)) for row in p], [NAMES[k] for k in truth], resamples=100
    )
    auc = one_against_rest(p, truth)
    assert found["AUC, mean of one against rest"].value == pytest.approx(auc.mean())
    assert found["AUC sd"].value == pytest.approx(auc.std())
    assert all(score.n == 60 for score in found.values())
    assert found["accuracy"].low < found["accuracy"].value < found["accuracy"].high


def test_a_yes_or_no_has_matthews_correlation_too() -> None:
    rng = np.random.default_rng(7)
    truth = rng.random(50) < 0.3
    said = truth ^ (rng.random(50) < 0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Confusion.of(said, truth).mcc == pytest.approx(metrics.matthews_corrcoef(truth, said))
        assert np.isnan(Confusion.of(np.zeros(50, bool), truth).mcc)
    # The four counts multiply beyond 64 bits of an integer where voxels are counted.
    assert Confusion(tp=10**7, fp=10**6, tn=10**8, fn=10**6).mcc == pytest.approx(0.899, abs=1e-3)
