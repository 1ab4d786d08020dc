"""Random forest and LightGBM on radiomic features (models 7 and 8), as COVID-MTL fits them, and their judgement.

Bao et al., section 5.1, and the settings of the authors' COVID-ML.py: 1,000 trees, features scaled to [0, 1]. The
authors fit the scale on the whole cohort, test part included; here it is fitted on the training part. No tree can tell:
a split asks which of two values is larger, so a scale only moves its threshold. Rows are fitted in the order in which
the split draws them, as the authors do: see `FeatureTable.rows_to_fit`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, precision_recall_fscore_support, roc_auc_score

from models.bundle import save_bundle
from models.cards import Card
from models.catalogue import COVID_MTL
from models.forest import ARCHITECTURE, OUTSIDE, Trees, arrays_of, text_array
from training.datasets.ictcf import FeatureTable
from training.errors import TrainingError

if TYPE_CHECKING:
    from lightgbm import LGBMClassifier

TREES = 1000
SEED = 11  # COVID-ML.py
LEARNING_RATE = 0.01  # of the boosting; COVID-ML.py
NAMES_OF = {"RF": "random-forest", "LGBM": "lightgbm"}
# What a bundle's probabilities are of, by task; of two classes the second is the one whose probability is told.
CLASSES = {
    "CT": ("CT negative", "CT positive"),
    "NAT": ("NAT negative", "NAT positive"),
    "severity": ("control or suspected", "mild or regular", "severe or critical"),
}
TOP = 10  # features that the paper keeps of each task's ranking
STRANGERS = {
    True: "says nothing of a patient whose features lie outside what it was fitted on",
    False: "fitted on so few that it answers for anybody, however unlike them",
}

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
    """Model 7. `features` scaled (patient, feature). The authors' out-of-bag score changes no tree: left out."""
    return RandomForestClassifier(trees, random_state=seed, n_jobs=1).fit(features, labels)


def fit_boosting(
    features: Features, labels: Labels, *, trees: int = TREES, rate: float = LEARNING_RATE
) -> LGBMClassifier:
    """Model 8: as many trees per class where there are three. Raises TrainingError where LightGBM is not installed."""
    objective = "binary" if labels.max() < 2 else "multiclass"
    return boosting(n_estimators=trees, learning_rate=rate, objective=objective).fit(features, labels)


def boosting(**settings: Any) -> LGBMClassifier:
    """One thread and rows read one way: equal inputs give equal trees on any machine. Raises as fit_boosting does."""
    try:
        from lightgbm import LGBMClassifier
    except ImportError as error:
        raise TrainingError("LightGBM is not installed: pip install 'triaged[train]'") from error
    return LGBMClassifier(n_jobs=1, verbose=-1, deterministic=True, force_row_wise=True, **settings)


def judge(probabilities: Features, labels: Labels) -> Judged:
    """`probabilities` (patient, class); the likeliest class counts as said. No AUC (nan) where a class has nobody."""
    said = probabilities.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, said, average="weighted", zero_division=0)
    aucs = [_area(labels == c, probabilities[:, c]) for c in range(probabilities.shape[1])]
    return Judged(
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        accuracy=float(accuracy_score(labels, said)),
        auc=float(np.mean(aucs)),
        auc_sd=float(np.std(aucs)),
    )


def _area(is_class: NDArray[np.bool_], likely: Features) -> float:
    return float(roc_auc_score(is_class, likely)) if 0 < is_class.sum() < is_class.size else float("nan")


def judged_on_test(table: FeatureTable, task: str, method: str, trees: int = TREES, seed: int = SEED) -> Judged:
    """Fitted ("RF" or "LGBM") on the table's training part, judged on its test part."""
    rows, labels = table.rows_to_fit(), table.labels[task]
    scale = Scale.of(table.features[rows])
    scaled = scale(table.features[rows])
    model: Any
    if method == "RF":
        model = fit_forest(scaled, labels[rows], trees=trees, seed=seed)
    else:
        model = fit_boosting(scaled, labels[rows], trees=trees)
    return judge(np.asarray(model.predict_proba(scale(table.features[~table.train]))), labels[~table.train])


def of_forest(model: RandomForestClassifier) -> Trees:
    """A fitted forest as arrays; of every leaf the share of each class."""
    grown = [tree.tree_ for tree in model.estimators_]
    first = np.concatenate([[0], np.cumsum([tree.node_count for tree in grown])[:-1]])

    def branches(name: str) -> NDArray[np.int32]:
        found = [np.where(getattr(t, name) < 0, 0, getattr(t, name)) + at for t, at in zip(grown, first, strict=True)]
        return np.concatenate(found).astype(np.int32)

    counts = np.concatenate([tree.value[:, 0, :] for tree in grown])
    feature = np.concatenate([tree.feature for tree in grown])
    return Trees(
        roots=first.astype(np.int32),
        feature=np.where(feature < 0, -1, feature).astype(np.int32),
        threshold=np.concatenate([tree.threshold for tree in grown]).astype(np.float64),
        left=branches("children_left"),
        right=branches("children_right"),
        value=np.asarray(counts / counts.sum(axis=1, keepdims=True), np.float64),
        link="mean",
        single=True,
    )


def write_bundle(folder: Path, table: FeatureTable, task: str, method: str, trees: int = TREES) -> Card:
    """Fit on the table's training part, judge once on its test part, and write the bundle: the card it carries."""
    rows, labels = table.rows_to_fit(), table.labels[task]
    scale = Scale.of(table.features[rows])
    scaled = scale(table.features[rows])
    arrays: dict[str, NDArray[Any]] = {"low": scale.low, "high": scale.high}
    if method == "RF":
        model: Any = fit_forest(scaled, labels[rows], trees=trees)
        arrays |= arrays_of(of_forest(model))
    else:
        model = fit_boosting(scaled, labels[rows], trees=trees)
        arrays["text"] = text_array(model.booster_.model_to_string())
    judged = judge(np.asarray(model.predict_proba(scale(table.features[~table.train]))), labels[~table.train])
    outside = fewest_outside(len(rows))
    whose = "drawn patients" if table.synthetic else "patients of iCTCF (HUST-19), whose licence is not stated"
    card = Card(
        name=f"{NAMES_OF[method]}-{task.lower()}",
        version="1",
        number=7 if method == "RF" else 8,
        paper=COVID_MTL,
        roles=("triage",),
        outputs=("probability",) if len(CLASSES[task]) == 2 else ("class_probabilities",),
        thresholds={"outside": outside},
        training_data=f"a table of features, measured at {table.grid_mm:g} mm, of {len(rows)} {whose}",
        synthetic=table.synthetic,
        scores={name: round(value, 4) for name, value in asdict(judged).items() if np.isfinite(value)},
        limits=f"{STRANGERS[outside < 1.0]}; sees texture of the lungs",
        architecture=ARCHITECTURE,
        arguments={
            "method": method,
            "task": task,
            "classes": CLASSES[task],
            "features": table.names,
            "grid_mm": table.grid_mm,
        },
    )
    return save_bundle(folder, card, {name: torch.from_numpy(array) for name, array in arrays.items()})


def fewest_outside(patients: int) -> float:
    """The share of features outside the ranges of so many patients from which on another is not answered for; 1, which
    nobody exceeds, where they are so few that one drawn as they were would have more: of n patients, the next is the
    lowest or the highest with probability 2 / (n + 1)."""
    return OUTSIDE if 2.0 / (patients + 1) < OUTSIDE else 1.0


def ranking(model: LGBMClassifier, names: tuple[str, ...], top: int = TOP) -> list[str]:
    """The features that most splits ask for, first to last; the earlier column where counts are equal."""
    order = np.argsort(-np.asarray(model.feature_importances_), kind="stable")
    return [names[i] for i in order[:top]]
