"""Random forest and LightGBM on radiomic features (models 7 and 8), as COVID-MTL fits them, and their judgement.

Bao et al., section 5.1, and the settings of the authors' COVID-ML.py: 1,000 trees, features scaled to [0, 1]. The
authors fit the scale on the whole cohort, test part included; here it is fitted on the training part. No tree can tell:
a split asks which of two values is larger, so a scale only moves its threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, precision_recall_fscore_support, roc_auc_score

from training.datasets.ictcf import FeatureTable
from training.loop import TrainingError

if TYPE_CHECKING:
    from lightgbm import LGBMClassifier

TREES = 1000
SEED = 11  # COVID-ML.py
LEARNING_RATE = 0.01  # of the boosting; COVID-ML.py
TOP = 10  # features that the paper keeps of each task's ranking

Features = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scale:
    """The smallest and the largest value that training saw of each feature."""

    low: Features
    high: Features

    @classmethod
    def of(cls, features: Features) -> Scale:
        return cls(low=features.min(axis=0), high=features.max(axis=0))

    def __call__(self, features: Features) -> Features:
        """To [0, 1] on what training saw; a feature that never varied becomes 0 there."""
        width = self.high - self.low
        return (features - self.low) / np.where(width > 0, width, 1.0)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Scores of class probabilities. Precision, recall and F1 are means weighted by the size of the class, AUC is the
    mean over the classes, each against the rest, and `auc_sd` its population deviation (0 for two classes)."""

    precision: float
    recall: float
    f1: float
    accuracy: float
    auc: float
    auc_sd: float


def fit_forest(features: Features, labels: Labels, *, trees: int = TREES, seed: int = SEED) -> RandomForestClassifier:
    """Model 7. `features` scaled (patient, feature)."""
    return RandomForestClassifier(trees, oob_score=True, random_state=seed, n_jobs=1).fit(features, labels)


def fit_boosting(features: Features, labels: Labels, *, trees: int = TREES) -> LGBMClassifier:
    """Model 8: as many trees per class where there are three. Raises TrainingError where LightGBM is not installed."""
    try:
        from lightgbm import LGBMClassifier
    except ImportError as error:
        raise TrainingError("LightGBM is not installed: pip install 'triaged[train]'") from error
    objective = {"objective": "binary"} if labels.max() < 2 else {"objective": "multiclass"}
    # One thread and rows read one way: equal inputs give equal trees on any machine.
    settings: dict[str, Any] = {"n_jobs": 1, "verbose": -1, "deterministic": True, "force_row_wise": True}
    model = LGBMClassifier(n_estimators=trees, learning_rate=LEARNING_RATE, **objective, **settings)
    return model.fit(features, labels)


def judge(probabilities: Features, labels: Labels) -> Judged:
    """`probabilities` (patient, class); the likeliest class counts as said."""
    said = probabilities.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, said, average="weighted", zero_division=0)
    aucs = [roc_auc_score(labels == c, probabilities[:, c]) for c in range(probabilities.shape[1])]
    return Judged(
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        accuracy=float(accuracy_score(labels, said)),
        auc=float(np.mean(aucs)),
        auc_sd=float(np.std(aucs)),
    )


def judged_on_test(table: FeatureTable, task: str, method: str, trees: int = TREES) -> Judged:
    """Fitted ("RF" or "LGBM") on the table's training part and judged once on its test part."""
    train, labels = table.train, table.labels[task]
    scale = Scale.of(table.features[train])
    fit = {"RF": fit_forest, "LGBM": fit_boosting}[method]
    model = fit(scale(table.features[train]), labels[train], trees=trees)
    return judge(np.asarray(model.predict_proba(scale(table.features[~train]))), labels[~train])


def ranking(model: LGBMClassifier, names: tuple[str, ...], top: int = TOP) -> list[str]:
    """The features that most splits ask for, first to last; the earlier column where counts are equal."""
    order = np.argsort(-np.asarray(model.feature_importances_), kind="stable")
    return [names[i] for i in order[:top]]
