"""Welch's analysis of variance: do the means of groups differ whose variances do? Definition: MODELS.md section 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class Welch:
    """The statistic, its two degrees of freedom and the probability of a larger one where all means are equal."""

    statistic: float
    df1: int
    df2: float
    p: float


def welch(groups: Sequence[NDArray[np.float64]]) -> Welch:
    """Of two groups or more, each of two values or more. Raises ValueError on fewer, or on a group without variance."""
    if len(groups) < 2 or any(group.size < 2 for group in groups):
        raise ValueError("Welch's analysis compares two groups or more, each of two values or more")
    n = np.array([group.size for group in groups], np.float64)
    mean = np.array([group.mean() for group in groups])
    variance = np.array([group.var(ddof=1) for group in groups])
    if not (variance > 0).all():
        raise ValueError("a group whose values are all equal has no variance to weigh it by")
    k = len(groups)
    weight = n / variance
    total = weight.sum()
    between = (weight * (mean - (weight * mean).sum() / total) ** 2).sum() / (k - 1)
    spread = ((1 - weight / total) ** 2 / (n - 1)).sum()
    statistic = between / (1 + 2 * (k - 2) * spread / (k**2 - 1))
    df2 = (k**2 - 1) / (3 * spread)
    return Welch(statistic=float(statistic), df1=k - 1, df2=float(df2), p=float(stats.f.sf(statistic, k - 1, df2)))
