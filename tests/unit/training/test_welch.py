"""Welch's analysis against what is known of it: its two-group form is Welch's t-test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.welch import welch


def test_two_groups_are_welchs_t_squared() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(0.0, 1.0, 37), rng.normal(0.6, 3.0, 211)
    found, t = welch([a, b]), stats.ttest_ind(a, b, equal_var=False)
    assert found.statistic == pytest.approx(t.statistic**2)
    assert found.df1 == 1
    assert found.df2 == pytest.approx(t.df)
    assert found.p == pytest.approx(t.pvalue)


def test_three_groups_agree_with_a_worked_example() -> None:
    """Groups of means 2, 4, 7 and variances 1, 1, 4 by hand: weights 3, 3, 1.25 of 5 values in the last."""
    groups = [np.array([1.0, 2.0, 3.0]), np.array([3.0, 4.0, 5.0]), np.array([4.5, 5.5, 7.0, 8.5, 9.5])]
    variance = float(groups[2].var(ddof=1))
    w = np.array([3.0, 3.0, 5.0 / variance])
    grand = (w * [2.0, 4.0, 7.0]).sum() / w.sum()
    spread = ((1 - w / w.sum()) ** 2 / [2.0, 2.0, 4.0]).sum()
    expected = ((w * (np.array([2.0, 4.0, 7.0]) - grand) ** 2).sum() / 2) / (1 + 2 * spread / 8)
    found = welch(groups)
    assert found.statistic == pytest.approx(expected)
    assert found.df1 == 2
    assert found.df2 == pytest.approx(8 / (3 * spread))


@pytest.mark.parametrize("groups", [[[1.0, 2.0]], [[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0, 3.0]]])
def test_what_cannot_be_compared_is_refused(groups: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"group"):
        welch([np.array(group) for group in groups])
