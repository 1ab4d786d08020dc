"""Scores of masks, rankings and probabilities, each with a bootstrap interval. Definitions: MODELS.md section 6.

Where the papers leave something open, the choice is stated at the function. Pure, seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

RESAMPLES = 1000
CONFIDENCE = 0.95
BINS = 10  # of the expected calibration error: the number its definition is usually reported with

Indices = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number with its 95 % bootstrap interval; nan where it cannot be computed. `n`: cases it was computed on."""

    value: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """For a difference: whether an ordering may be claimed."""
        return self.low > 0.0 or self.high < 0.0

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "–"
        return f"{self.value:.3f}" if np.isnan(self.low) else f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Counts of a yes-or-no decision. A rate without cases is nan."""

    tp: int
    fp: int
    tn: int
    fn: int

    @classmethod
    def of(cls, said: ArrayLike, truth: ArrayLike) -> Confusion:
        s, t = np.asarray(said, np.bool_), np.asarray(truth, np.bool_)
        _require_same_shape(s, t)
        tp, fp = int((s & t).sum()), int((s & ~t).sum())
        return cls(tp=tp, fp=fp, tn=int((~s & ~t).sum()), fn=int(t.sum()) - tp)

    @property
    def sensitivity(self) -> float:
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def precision(self) -> float:
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def accuracy(self) -> float:
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.tn + self.fn)

    @property
    def f1(self) -> float:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def mcc(self) -> float:
        """Matthews' correlation; nan where one side of the decision or of the truth is missing."""
        product = (self.tp + self.fn) * (self.tp + self.fp) * (self.tn + self.fp) * (self.tn + self.fn)
        return float((self.tp * self.tn - self.fp * self.fn) / np.sqrt(float(product))) if product else float("nan")


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """2 TP / (2 TP + FP + FN) of two masks of one shape. Both empty: 1, for nothing was missed or invented."""
    _require_same_shape(found, truth)
    total = int(found.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2.0 * int((found & truth).sum()) / total


def jaccard(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    d = dice(found, truth)
    return d / (2.0 - d)


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson correlation of ranks, ties averaged. nan with fewer than two cases or where one side is constant."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    _require_same_shape(x, y)
    if x.size < 2 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return float("nan")
    return float(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1])


def roc_auc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve; ties count half. nan where one class is missing."""
    s, p = np.asarray(scores, np.float64), np.asarray(positive, np.bool_)
    _require_same_shape(s, p)
    positives, negatives = int(p.sum()), int((~p).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    # Mann and Whitney's U; scikit-learn's curve takes fifty times as long, a thousand times per interval.
    above = float(stats.rankdata(s)[p].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def class_auc(likely: NDArray[Any], classes: NDArray[Any]) -> float:
    """ROC AUC of (N, C) probabilities for class numbers (N,), -1 where a class is not known; of more than two classes
    the mean of one against the rest, over those that some case has."""
    likely, classes = likely[classes >= 0], classes[classes >= 0]
    if likely.shape[1] == 2:
        return roc_auc(likely[:, 1], classes == 1)
    return mean_of([roc_auc(likely[:, n], classes == n) for n in range(likely.shape[1])])


def mean_of(values: Sequence[float]) -> float:
    """Of those that could be computed; nan where there are none."""
    computed = [v for v in values if not np.isnan(v)]
    return float(np.mean(computed)) if computed else float("nan")


def brier(probabilities: ArrayLike, positive: ArrayLike) -> float:
    """Mean squared error of the probabilities."""
    q, p = np.asarray(probabilities, np.float64), np.asarray(positive, np.bool_)
    _require_same_shape(q, p)
    return float(np.square(q - p).mean())


def calibration_error(probabilities: ArrayLike, positive: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error (ECE): |mean probability - share of positives| over bins of equal width, weighted by
    how many cases each holds (Naeini et al., AAAI 2015)."""
    q, p = np.asarray(probabilities, np.float64), np.asarray(positive, np.float64)
    _require_same_shape(q, p)
    at = bin_of(q, bins)
    surplus = np.bincount(at, weights=q - p, minlength=bins)
    return float(np.abs(surplus).sum() / q.size)


def bin_of(probabilities: NDArray[np.float64], bins: int = BINS) -> Indices:
    """Which of `bins` equal parts of [0, 1] each lies in; 1 belongs to the last."""
    return np.minimum((probabilities * bins).astype(np.intp), bins - 1)


def interval(
    statistic: Callable[[Indices], float],
    n: int,
    *,
    strata: Sequence[Hashable] | NDArray[np.bool_] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Score:
    """A statistic of `n` cases, given as indices into them, with its percentile bootstrap interval.

    Whole cases are drawn, so a difference between two models on the same cases is a paired one. `strata` (one label per
    case) keeps the size of each group, as an AUC wants it. Resamples in which the statistic is nan are left out.
    """
    everyone = np.arange(n)
    value = statistic(everyone) if n else float("nan")
    labels = np.zeros(n, np.intp) if strata is None else _numbered(strata)
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if np.isnan(value) or all(group.size == 1 for group in groups):
        return Score(value=value, low=float("nan"), high=float("nan"), n=n)
    rng = np.random.default_rng(seed)
    # scipy.stats.bootstrap gives up where one resample is nan, and takes a millisecond for each.
    made = np.array(
        [statistic(np.concatenate([g[rng.integers(g.size, size=g.size)] for g in groups])) for _ in range(resamples)]
    )
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.nanquantile(made, [tail, 1.0 - tail])
    return Score(value=value, low=float(low), high=float(high), n=n)


def _numbered(strata: Sequence[Hashable] | NDArray[np.bool_]) -> Indices:
    names: dict[Hashable, int] = {}
    return np.array([names.setdefault(label, len(names)) for label in strata], np.intp)


def mean_score(values: ArrayLike, *, seed: int = 0) -> Score:
    """The mean over cases."""
    v = np.asarray(values, np.float64)
    return interval(lambda i: float(v[i].mean()), v.size, seed=seed)


def auc_score(scores: ArrayLike, positive: ArrayLike, *, seed: int = 0) -> Score:
    """ROC AUC, resampled within each class."""
    s, p = np.asarray(scores, np.float64), np.asarray(positive, np.bool_)
    _require_same_shape(s, p)
    return interval(lambda i: roc_auc(s[i], p[i]), s.size, strata=p, seed=seed)


def spearman_score(a: ArrayLike, b: ArrayLike, *, seed: int = 0) -> Score:
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    _require_same_shape(x, y)
    return interval(lambda i: spearman(x[i], y[i]), x.size, seed=seed)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _require_same_shape(a: NDArray[Any], b: NDArray[Any]) -> None:
    if a.shape != b.shape:
        raise ValueError(f"shapes {a.shape} and {b.shape} differ")
