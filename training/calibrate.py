"""Fit a site's map from score to probability, and say what it is worth on cases it was not fitted on.

Platt's method (Platt 1999, with his smoothed targets) on the log odds of the score, or isotonic regression (Zadrozny
and Elkan 2002). Core dependencies only.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.calibration import Calibration, Method, log_odds
from training.scores import Score, auc_score, brier, calibration_error, interval, roc_auc

# Judgement. Two coefficients want some ten cases each of the rarer class; a step function wants many more, and
# scikit-learn's own advice is against isotonic regression far below 1,000 cases.
FEWEST: dict[Method, tuple[int, int]] = {"platt": (50, 20), "isotonic": (200, 50)}  # (cases, cases of either class)
FOLDS = 5
SEED = 0

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]


class CannotCalibrate(Exception):
    """The cases do not allow a map to be fitted; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a map is worth. "After" comes from cross-validation: each case judged by a map that never saw it. The ECE of
    a resample is larger than that of the sample, so an interval may lie above its value."""

    auc: Score
    ece_before: Score
    ece_after: Score
    brier_before: Score
    brier_after: Score
    held_out: Scores  # the probability of each case, by the map of the folds it is not in

    @property
    def helps(self) -> bool:
        return self.brier_after.value < self.brier_before.value

    def rows(self) -> dict[str, str]:
        """Name to value with its interval, for people and programs."""
        names = ("auc", "ece_before", "ece_after", "brier_before", "brier_after")
        return {name: str(getattr(self, name)) for name in names}


def read_cases(path: Path) -> tuple[Scores, Labels]:
    """Scores in [0, 1] and labels from a CSV with the columns `score` and `label` (1: COVID-19, 0: not); others are
    passed over. Raises CannotCalibrate, naming the line and never what stands in it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _cases(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CannotCalibrate(f"{path}: not readable as CSV ({type(error).__name__})") from error


def _cases(reader: csv.DictReader[str]) -> tuple[Scores, Labels]:
    missing = {"score", "label"} - set(reader.fieldnames or ())
    if missing:
        raise CannotCalibrate(f"the first line must name the columns score and label; missing: {', '.join(missing)}")
    found_scores, found_labels = [], []
    for row in reader:
        try:
            score = float(row["score"])
        except (TypeError, ValueError):
            score = float("nan")
        if not 0.0 <= score <= 1.0:
            raise CannotCalibrate(f"line {reader.line_num}: a score is a number from 0 to 1")
        if row["label"] is None or row["label"].strip() not in {"0", "1"}:
            raise CannotCalibrate(f"line {reader.line_num}: a label is 1 (COVID-19) or 0 (not)")
        found_scores.append(score)
        found_labels.append(row["label"].strip() == "1")
    return np.array(found_scores, np.float64), np.array(found_labels, np.bool_)


def fit(
    scores: Scores, labels: Labels, method: Method, *, made_on: date, model: str = "", model_sha256: str = ""
) -> Calibration:
    """The map for these cases. Raises CannotCalibrate with too few cases, of one class, or where the score does not
    order them."""
    _require_enough(labels, method)
    auc = roc_auc(scores, labels)
    if auc <= 0.5:
        raise CannotCalibrate(f"positives do not score higher than negatives (AUC {auc:.2f}): are the labels reversed?")
    described = {"made_on": made_on.isoformat(), "model": model, "model_sha256": model_sha256}
    return _fitted(scores, labels, method, **described)


def _fitted(scores: Scores, labels: Labels, method: Method, **described: str) -> Calibration:
    slope, intercept = _platt(scores, labels) if method == "platt" else (0.0, 0.0)
    knots, values = _isotonic(scores, labels) if method == "isotonic" else ((), ())
    try:
        return Calibration(
            method=method,
            slope=slope,
            intercept=intercept,
            scores=knots,
            probabilities=values,
            cases=int(labels.size),
            positives=int(labels.sum()),
            **described,
        )
    except ValueError as error:
        raise CannotCalibrate(f"no rising {method} map fits these cases ({error})") from error


def judge(scores: Scores, labels: Labels, method: Method) -> Verdict:
    """Cross-validate: `FOLDS` folds, equal shares of each class, drawn with a fixed seed. Raises CannotCalibrate where
    the cases of some fold allow no map."""
    held_out = _held_out(scores, labels, method)

    def ece(p: Scores) -> Score:
        return interval(lambda i: calibration_error(p[i], labels[i]), p.size, strata=labels, seed=SEED)

    def squared(p: Scores) -> Score:
        return interval(lambda i: brier(p[i], labels[i]), p.size, strata=labels, seed=SEED)

    return Verdict(
        auc=auc_score(scores, labels, seed=SEED),
        ece_before=ece(scores),
        ece_after=ece(held_out),
        brier_before=squared(scores),
        brier_after=squared(held_out),
        held_out=held_out,
    )


def _held_out(scores: Scores, labels: Labels, method: Method) -> Scores:
    from sklearn.model_selection import StratifiedKFold

    found = np.empty_like(scores)
    for inside, outside in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(scores, labels):
        fold = _fitted(scores[inside], labels[inside], method, made_on="")
        found[outside] = fold.probabilities_of(scores[outside])
    return found


def _require_enough(labels: Labels, method: Method) -> None:
    cases, of_each = FEWEST[method]
    positives = int(labels.sum())
    negatives = int(labels.size) - positives
    if positives == 0 or negatives == 0:
        only = "negative" if positives == 0 else "positive"
        raise CannotCalibrate(f"all {labels.size} cases are {only}: a map needs both classes")
    if labels.size < cases or min(positives, negatives) < of_each:
        instead = "; platt needs fewer" if method == "isotonic" else ""
        raise CannotCalibrate(
            f"{positives} positives and {negatives} negatives are too few for {method}: it needs {cases} cases, "
            f"{of_each} of each class{instead}"
        )


def _platt(scores: Scores, labels: Labels) -> tuple[float, float]:
    """Slope and intercept on the log odds. Each case counts as a little of the other class too (Platt's targets), so
    that classes which do not overlap give no infinite slope."""
    from sklearn.linear_model import LogisticRegression

    positives, negatives = int(labels.sum()), int((~labels).sum())
    target = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    x = log_odds(scores)[:, None]
    fitted = LogisticRegression(C=np.inf, max_iter=1000).fit(
        np.concatenate([x, x]),
        np.repeat([1, 0], scores.size),
        sample_weight=np.concatenate([target, 1.0 - target]),
    )
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def _isotonic(scores: Scores, labels: Labels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots of the non-decreasing line. It stays within 1 / (n + 2) of 0 and 1 (Laplace's rule of succession): no
    sample of n cases shows that something never or always is so."""
    from sklearn.isotonic import IsotonicRegression

    least = 1.0 / (labels.size + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1.0 - least).fit(scores, labels.astype(np.float64))
    return _floats(fitted.X_thresholds_), _floats(fitted.y_thresholds_)


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
