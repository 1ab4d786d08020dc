"""Ways to tell classes apart by the 375 features, and how one of them is chosen: what `training.beyond` chooses from.

All settings stand here and none is searched for beyond this list, so that the choice is small and can be repeated. A
candidate is one model or a blend of several: the mean of what they say, or a logistic regression on it (stacking,
Wolpert 1992). Features only: no age, no sex, nothing of the scanner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri, softmax
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

from training.tabular import Features, Labels, boosting, judge

Scores = NDArray[np.float64]  # (patient, class), rows sum to 1; the largest is the class that is said
View = Literal["raw", "normal", "components"]

INNER = 3  # folds of the choice. More cost as many fits; what is judged is the choice, by folds around it
SEED = 0
COMPONENTS = 40
SMALLEST = 1e-6  # probability whose logarithm stacking still takes


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """The features as the models want them, fitted on the rows of a training alone: raw; each made normal by its rank
    among the training's, as most are skewed over orders of magnitude; the principal components of these, whitened."""

    varied: NDArray[np.bool_]  # features that are not the same in everybody
    ordered: Features  # (patient, varied feature), each feature ascending
    components: PCA

    @classmethod
    def of(cls, features: Features) -> Views:
        varied = np.ptp(features, axis=0) > 0.0
        ordered = np.sort(features[:, varied], axis=0)
        normal = _normal(features[:, varied], ordered)
        components = PCA(min(COMPONENTS, *normal.shape), whiten=True, svd_solver="full").fit(normal)
        return cls(varied=varied, ordered=ordered, components=components)

    def __call__(self, features: Features) -> Mapping[View, Features]:
        normal = _normal(features[:, self.varied], self.ordered)
        return {"raw": features, "normal": normal, "components": self.components.transform(normal)}


def _normal(features: Features, ordered: Features) -> Features:
    """Normal scores of ranks, ties in the middle. scikit-learn's QuantileTransformer does much the same, several times
    as slowly for so few patients."""
    n = len(ordered)
    below = np.stack([np.searchsorted(o, f, "left") for o, f in zip(ordered.T, features.T, strict=True)], axis=1)
    up_to = np.stack([np.searchsorted(o, f, "right") for o, f in zip(ordered.T, features.T, strict=True)], axis=1)
    return np.asarray(ndtri(np.clip((below + up_to) / (2.0 * n), 0.5 / n, 1.0 - 0.5 / n)), np.float64)


@dataclass(frozen=True, kw_only=True)
class Base:
    """One model: what it sees, and how it is made."""

    view: View
    make: Callable[[], Any]


def _lightgbm() -> Any:
    few: dict[str, Any] = {"colsample_bytree": 0.2, "subsample": 0.7, "subsample_freq": 1, "random_state": SEED}
    return boosting(n_estimators=150, learning_rate=0.05, num_leaves=8, **few)


def _elastic_net() -> Any:
    # Not averaged: scikit-learn 1.9's average of weights under an L1 penalty is neither sparse nor of use.
    penalty: dict[str, Any] = {"penalty": "elasticnet", "alpha": 0.03, "l1_ratio": 0.5}
    return SGDClassifier(loss="log_loss", max_iter=1000, random_state=SEED, **penalty)


def _histogram() -> Any:
    slow: dict[str, Any] = {"max_iter": 60, "learning_rate": 0.1, "max_leaf_nodes": 8, "max_features": 0.2}
    return HistGradientBoostingClassifier(early_stopping=False, random_state=SEED, **slow)


def _logistic(c: float) -> Any:
    return LogisticRegression(C=c, max_iter=2000)


# From stiff to pliant within a family: the first of two that score the same is taken.
BASES: Mapping[str, Base] = {
    "logistic 0.003": Base(view="normal", make=partial(_logistic, 0.003)),
    "logistic 0.03": Base(view="normal", make=partial(_logistic, 0.03)),
    "logistic 0.3": Base(view="normal", make=partial(_logistic, 0.3)),
    "elastic net": Base(view="normal", make=_elastic_net),
    "shrunk LDA": Base(view="normal", make=partial(LinearDiscriminantAnalysis, solver="lsqr", shrinkage="auto")),
    "PCA logistic": Base(view="components", make=partial(_logistic, 0.03)),
    "PCA SVM": Base(view="components", make=partial(SVC, C=1.0)),
    "SVM 0.5": Base(view="normal", make=partial(SVC, C=0.5)),
    "SVM 2": Base(view="normal", make=partial(SVC, C=2.0)),
    "extra trees": Base(
        view="raw", make=partial(ExtraTreesClassifier, 200, min_samples_leaf=2, random_state=SEED, n_jobs=1)
    ),
    "forest": Base(
        view="raw", make=partial(RandomForestClassifier, 200, min_samples_leaf=2, random_state=SEED, n_jobs=1)
    ),
    "histogram boosting": Base(view="raw", make=_histogram),
    "small LightGBM": Base(view="raw", make=_lightgbm),
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One base, or several that are blended."""

    name: str
    members: tuple[str, ...]
    stacked: bool = False


_UNLIKE = ("logistic 0.03", "SVM 2", "extra trees", "small LightGBM")  # one of each kind
CANDIDATES: tuple[Candidate, ...] = (
    *(Candidate(name=name, members=(name,)) for name in BASES),
    Candidate(name="mean of the smooth", members=("logistic 0.03", "SVM 2", "PCA SVM")),
    Candidate(name="mean of four kinds", members=_UNLIKE),
    Candidate(name="stack of four kinds", members=_UNLIKE, stacked=True),
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """`auc` of every candidate in the folds of the choice: mean over classes, then over folds."""

    candidate: str
    auc: Mapping[str, float]


def named(name: str) -> Candidate:
    return next(candidate for candidate in CANDIDATES if candidate.name == name)


def fit(candidate: Candidate, features: Features, labels: Labels) -> Callable[[Features], Scores]:
    """Fitted to (patient, feature) and the class of each: what gives the scores of others."""
    views = Views.of(features)
    seen = views(features)
    models = {name: BASES[name].make().fit(seen[BASES[name].view], labels) for name in candidate.members}
    meta = None
    if candidate.stacked:
        told = out_of_fold(features, labels, candidate.members)
        meta = _meta().fit(_logs(candidate, told), labels)

    def scores(others: Features) -> Scores:
        seen = views(others)
        told = {name: _told(model, seen[BASES[name].view]) for name, model in models.items()}
        if meta is None:
            return np.asarray(np.mean([told[name] for name in candidate.members], axis=0))
        return np.asarray(meta.predict_proba(_logs(candidate, told)), np.float64)

    return scores


def choose(features: Features, labels: Labels, candidates: Sequence[Candidate] = CANDIDATES) -> Choice:
    """The candidate of the largest AUC in cross-validation, the first of equals. Sees nothing but its arguments."""
    told = out_of_fold(features, labels, dict.fromkeys(name for c in candidates for name in c.members))
    parts = [held_out for _, held_out in _folds(labels)]
    auc = {}
    for candidate in candidates:
        if candidate.stacked:
            said = _stacked(candidate, told, labels)
        else:
            said = np.mean([told[name] for name in candidate.members], axis=0)
        auc[candidate.name] = float(np.mean([judge(said[part], labels[part]).auc for part in parts]))
    return Choice(candidate=max(auc, key=lambda name: auc[name]), auc=auc)


def out_of_fold(features: Features, labels: Labels, names: Iterable[str]) -> Mapping[str, Scores]:
    """What each base says of every patient, fitted on the folds that he is not in."""
    names = tuple(names)
    told = {name: np.zeros((len(labels), int(labels.max()) + 1)) for name in names}
    for rows, held_out in _folds(labels):
        views = Views.of(features[rows])
        seen, unseen = views(features[rows]), views(features[held_out])
        for name in names:
            view = BASES[name].view
            told[name][held_out] = _told(BASES[name].make().fit(seen[view], labels[rows]), unseen[view])
    return told


def _stacked(candidate: Candidate, told: Mapping[str, Scores], labels: Labels) -> Scores:
    """The members were fitted with the labels of the folds that the regression learns from: a little too good, so it
    may be chosen too often. The folds around the choice judge it as it is."""
    said = np.zeros_like(told[candidate.members[0]])
    logs = _logs(candidate, told)
    for rows, held_out in _folds(labels):
        said[held_out] = _meta().fit(logs[rows], labels[rows]).predict_proba(logs[held_out])
    return said


def _folds(labels: Labels) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    folds = StratifiedKFold(INNER, shuffle=True, random_state=SEED)
    return list(folds.split(np.zeros((len(labels), 1)), labels))


def _meta() -> Any:
    return _logistic(0.1)


def _logs(candidate: Candidate, told: Mapping[str, Scores]) -> Features:
    return np.concatenate([np.log(np.maximum(told[name], SMALLEST)) for name in candidate.members], axis=1)


def _told(model: Any, seen: Features) -> Scores:
    """Probabilities; of a machine that has none its distances, squashed: they order, and are not calibrated."""
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(seen), np.float64)
    distance = np.asarray(model.decision_function(seen), np.float64)
    if distance.ndim == 1:
        positive = expit(distance)
        return np.stack([1.0 - positive, positive], axis=1)
    return np.asarray(softmax(distance, axis=1), np.float64)
