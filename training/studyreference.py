"""The reference row of a study: what the true lesions' own descriptors tell, by logistic regression.

Fitted on the patients that the rows are trained on. What it reaches is what the rules that drew the lesions give away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.volume_triage import DIAGNOSES
from training.columns import PNEUMONIA, TASKS
from training.datasets.simulated_labels import simulated_labels
from training.measure import NAN, Case, Measured
from training.studydata import StudyData

Descriptors = NDArray[np.float64]  # (patient, descriptor)


def reference(data: StudyData, cases: Sequence[Case]) -> list[Measured] | None:
    """What it says of each case; None where patients carry no descriptors, or only one class is there to learn."""
    train = list(data.training_descriptors())
    names = sorted(train[0][1]) if train else []
    if not names or not all(set(names) <= set(case.descriptors) for case in cases):
        return None
    x = np.array([[found[name] for name in names] for _, found in train])
    of_cases = np.array([[case.descriptors[name] for name in names] for case in cases])
    labels = [simulated_labels(kind, found["ratio"]) for kind, found in train]
    tasks = {task: (classes, [label[task] for label in labels]) for task, classes in TASKS.items()}
    kinds = [PNEUMONIA.index(kind) if kind in PNEUMONIA else len(PNEUMONIA) for kind, _ in train]
    tasks["diagnosis"] = (DIAGNOSES, kinds)
    said: list[dict[str, float]] = [{} for _ in cases]
    for classes, truth in tasks.values():
        if len(set(truth)) < 2:
            return None
        for one, likely in zip(said, _likely(x, truth, of_cases), strict=True):
            one.update({name: likely.get(k, 0.0) for k, name in enumerate(classes)})
    return [
        Measured(
            lung_dice=NAN,
            lesion_dice=NAN,
            fraction=NAN,
            score=one[DIAGNOSES[0]],
            seconds=NAN,
            is_probability=True,
            classes=one,
        )
        for one in said
    ]


def _likely(x: Descriptors, truth: Sequence[int], of_cases: Descriptors) -> list[dict[int, float]]:
    """Probabilities by class number, of those that were there to learn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, truth)
    return [
        {int(k): float(p) for k, p in zip(model.classes_, likely, strict=True)}
        for likely in model.predict_proba(of_cases)
    ]
