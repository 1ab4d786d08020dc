"""Scores agree with their definitions, worked by hand, and their intervals with what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from training import scores
from training.scores import Confusion, Score

RNG = np.random.default_rng(5)


def _mask(*on: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros((10, 20, 31), np.bool_)
    for at in on:
        mask[at] = True
    return mask


def test_dice_counts_the_overlap_twice() -> None:
    a, b = _mask((1, 2, 3), (4, 5, 6), (9, 19, 30)), _mask((1, 2, 3), (4, 5, 7))
    assert scores.dice(a, b) == pytest.approx(2 * 1 / (3 + 2))
    assert scores.jaccard(a, b) == pytest.approx(1 / 4)
    assert scores.dice(a, a) == 1.0
    assert scores.dice(_mask(), _mask()) == 1.0
    assert scores.dice(a, _mask()) == 0.0


def test_masks_of_two_grids_are_never_compared() -> None:
    with pytest.raises(ValueError, match="differ"):
        scores.dice(_mask(), np.zeros((10, 31, 20), np.bool_))


def test_a_decision_is_counted_in_four_ways() -> None:
    c = Confusion.of([1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 1])
    assert c == Confusion(tp=2, fp=1, tn=3, fn=1)
    assert (c.sensitivity, c.specificity, c.precision) == (2 / 3, 3 / 4, 2 / 3)
    assert (c.accuracy, c.f1) == (5 / 7, 2 / 3)
    assert math.isnan(Confusion.of([0, 0], [0, 0]).sensitivity)


def test_spearman_knows_the_order_and_shares_ties() -> None:
    assert scores.spearman([1, 2, 3, 9], [10, 20, 30, 31]) == pytest.approx(1.0)
    assert scores.spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert scores.spearman([1, 1, 2], [1, 2, 3]) == pytest.approx(np.corrcoef([1.5, 1.5, 3], [1, 2, 3])[0, 1])
    assert math.isnan(scores.spearman([1, 1, 1], [1, 2, 3]))
    assert math.isnan(scores.spearman([1], [1]))


def test_auc_is_the_chance_that_a_positive_stands_above_a_negative() -> None:
    assert scores.roc_auc([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0]) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert math.isnan(scores.roc_auc([0.1, 0.2], [1, 1]))
    said, positive = RNG.integers(0, 9, 60), RNG.integers(0, 2, 60)
    assert scores.roc_auc(said, positive) == pytest.approx(roc_auc_score(positive, said))
    assert scores.spearman(said, positive) == pytest.approx(spearmanr(said, positive).statistic)


def test_areas_of_classes_are_those_of_one_against_the_rest() -> None:
    likely = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4], [0.6, 0.3, 0.1]])
    assert scores.class_auc(likely, np.array([0, 1, 2, 2])) == pytest.approx(np.mean([1.0, 1.0, 0.625]))
    assert scores.class_auc(likely, np.array([0, 1, 2, -1])) == pytest.approx(np.mean([1.0, 1.0, 1.0]))  # one unknown
    assert scores.class_auc(likely, np.array([0, 1, 1, 0])) == np.mean([1.0, 0.875])  # nobody is of the third class
    assert math.isnan(scores.class_auc(likely, np.array([0, 0, 0, 0])))
    assert math.isnan(scores.mean_of([]))


def test_calibration_error_is_the_weighted_gap_between_said_and_seen() -> None:
    said = [0.15, 0.15, 0.15, 0.15, 1.0]
    seen = [1, 0, 0, 0, 1]
    assert scores.calibration_error(said, seen) == pytest.approx((4 * 0.10 + 1 * 0.0) / 5)
    assert scores.brier([0.5, 1.0], [1, 0]) == pytest.approx((0.25 + 1.0) / 2)


@given(st.lists(st.floats(0, 1), min_size=1), st.integers(1, 20))
def test_every_probability_falls_into_one_bin(values: list[float], bins: int) -> None:
    at = scores.bin_of(np.array(values), bins)
    assert ((at >= 0) & (at < bins)).all()
    assert (np.array(values) * bins >= at).all()


def test_interval_of_a_mean_is_that_of_the_textbook() -> None:
    values = RNG.normal(3.0, 2.0, 400)
    found = scores.mean_score(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.value == values.mean()
    assert found.n == 400
    assert found.low == pytest.approx(values.mean() - half, abs=0.05)
    assert found.high == pytest.approx(values.mean() + half, abs=0.05)


def test_equal_seeds_give_equal_intervals_and_others_do_not() -> None:
    a, b = RNG.random(30), RNG.random(30)
    assert scores.spearman_score(a, b, seed=1) == scores.spearman_score(a, b, seed=1)
    assert scores.spearman_score(a, b, seed=1) != scores.spearman_score(a, b, seed=2)


def test_strata_keep_their_size_in_every_resample() -> None:
    strata = ["covid"] * 3 + ["normal"] * 7 + ["cap"]
    sizes = set()

    def count(indices: np.ndarray) -> float:
        sizes.add(tuple(sum(strata[i] == kind for i in indices) for kind in ("covid", "normal", "cap")))
        return float(indices.mean())

    scores.interval(count, 11, strata=strata, resamples=50)
    assert sizes == {(3, 7, 1)}


def test_perfect_separation_has_an_interval_of_no_width() -> None:
    assert scores.auc_score([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]) == Score(value=1.0, low=1.0, high=1.0, n=4)


@settings(max_examples=5, deadline=None)  # a thousand resamples each
@given(st.integers(0, 2**31))
def test_interval_of_an_auc_lies_within_its_range_and_around_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = np.arange(40) < 15
    found = scores.auc_score(rng.normal(positive, 1.0), positive, seed=seed)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_resamples_that_say_nothing_are_left_out() -> None:
    found = scores.spearman_score([0.0, 0.0, 1.0], [0.0, 0.1, 0.2])
    assert found.value == pytest.approx(np.sqrt(3) / 2)
    assert np.isfinite([found.low, found.high]).all()


def test_what_cannot_be_computed_is_a_dash() -> None:
    nothing = scores.mean_score([])
    assert math.isnan(nothing.value)
    assert str(nothing) == "–"
    alone = scores.mean_score([0.5])
    assert str(alone) == "0.500"
    assert math.isnan(alone.low)
    assert not alone.excludes_zero


def test_a_difference_is_claimed_only_where_its_interval_leaves_zero_out() -> None:
    assert Score(value=0.2, low=0.1, high=0.3, n=9).excludes_zero
    assert Score(value=-0.2, low=-0.3, high=-0.1, n=9).excludes_zero
    assert not Score(value=0.2, low=-0.1, high=0.3, n=9).excludes_zero
