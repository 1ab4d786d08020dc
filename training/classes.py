"""Scores of a choice between several classes, from the table of what was so against what was said.

MODELS.md section 6: COVID-MTL weights its precision, recall and F1 by the cases of each class, DeepSC-COVID takes the
plain mean over the classes (macro). A class that was never said has precision 0 (scikit-learn's `zero_division=0`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.scores import RESAMPLES, Indices, Score, interval, roc_auc

Table = NDArray[np.int64]  # [so, said]


def table(truth: Indices, said: Indices, classes: int) -> Table:
    """How many cases were of a class and said to be of another."""
    return np.bincount(truth * classes + said, minlength=classes * classes).reshape(classes, classes)


def _per_class(counts: Table) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Precision, recall, F1 of each class."""
    right, so, said = np.diag(counts).astype(float), counts.sum(1), counts.sum(0)
    return right / np.maximum(said, 1), right / np.maximum(so, 1), 2 * right / np.maximum(so + said, 1)


def _mcc(counts: Table) -> float:
    """Gorodkin's generalisation of Matthews' correlation (Comput. Biol. Chem. 2004)."""
    n, right = float(counts.sum()), float(np.trace(counts))
    so, said = counts.sum(1).astype(float), counts.sum(0).astype(float)
    product = (n * n - said @ said) * (n * n - so @ so)
    return float((right * n - so @ said) / np.sqrt(product)) if product > 0 else float("nan")


def rates(counts: Table) -> dict[str, float]:
    """Name to value, of one table."""
    per_class = dict(zip(("precision", "recall", "F1"), _per_class(counts), strict=True))
    so = counts.sum(1)
    found = {"accuracy": float(np.trace(counts) / counts.sum()), "MCC": _mcc(counts)}
    there = so > 0  # a resample may lack a class, a data set too
    found |= {f"macro {name}": float(values[there].mean()) for name, values in per_class.items()}
    found["macro specificity"] = _macro_specificity(counts)
    return found | {f"weighted {name}": float(values @ so / so.sum()) for name, values in per_class.items()}


def _macro_specificity(counts: Table) -> float:
    """Mean over the classes of the share of other cases that are not called so; nan where there is one class alone."""
    others = counts.sum() - counts.sum(axis=1)
    false = counts.sum(axis=0) - np.diag(counts)
    there = others > 0
    return float((1.0 - false[there] / others[there]).mean()) if there.any() else float("nan")


def one_against_rest(probabilities: NDArray[np.float64], truth: Indices) -> NDArray[np.float64]:
    """ROC AUC of each class against the others; nan of one that is missing."""
    return np.array([roc_auc(probabilities[:, k], truth == k) for k in range(probabilities.shape[1])])


def judged(
    probabilities: Sequence[Mapping[str, float]], kinds: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Score]:
    """Every score with its interval: the largest probability is what is said. Each kind must be a class; "AUC sd" is
    the population standard deviation over the classes, which COVID-MTL prints as "+-"."""
    names = sorted(probabilities[0])
    p = np.array([[one[name] for name in names] for one in probabilities])
    truth = np.array([names.index(kind) for kind in kinds], np.intp)
    said = p.argmax(axis=1)

    def rate(name: str) -> Callable[[Indices], float]:
        return lambda i: rates(table(truth[i], said[i], len(names)))[name]

    statistics = {name: rate(name) for name in rates(table(truth, said, len(names)))}
    statistics["AUC, mean of one against rest"] = lambda i: float(np.nanmean(one_against_rest(p[i], truth[i])))
    statistics["AUC sd"] = lambda i: float(np.nanstd(one_against_rest(p[i], truth[i])))
    return {
        name: interval(statistic, truth.size, strata=kinds, seed=seed, resamples=resamples)
        for name, statistic in statistics.items()
    }
