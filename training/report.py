"""Everything an evaluation found, as one record: what `report.json` holds and the page shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.severity import Floor, grade
from models.volume_triage import DIAGNOSES
from training import classes
from training.cases import Cases
from training.columns import TASKS, diagnosis
from training.datasets.simulated_labels import simulated_labels
from training.evaluate import COVID, DETAILS, METRICS, NORMAL, OTHERS, Evaluation, scores
from training.figures import Point, roc_points
from training.judge import Judged
from training.measure import Case, Measured
from training.realreport import machine
from training.scores import RESAMPLES, Confusion, Indices, Score, interval

# Judgement: no card names a threshold for its probability, and an uncalibrated score has none of its own.
THRESHOLD = 0.5
RATES = ("sensitivity", "specificity", "precision", "accuracy", "f1", "mcc")
# What COVID-19 is set against: MODELS.md 6 (CT triage: all others, and the healthy) and PHANTOM.md.
AGAINST: dict[str, Callable[[Case], bool]] = {
    "all others": lambda c: True,
    "CAP + atelectasis": lambda c: c.kind in (COVID, *OTHERS),
    "normal": lambda c: c.kind in (COVID, NORMAL),
}
SEVERITY = "true severity"
DIAGNOSIS = "diagnosis"
# What models may choose between, by task: DeepSC-COVID's three classes, and COVID-MTL's tasks.
CLASSES: Mapping[str, tuple[str, ...]] = {DIAGNOSIS: DIAGNOSES, **TASKS}
SIMULATED = ("CT", "NAT")  # what the kind of a drawn case stands for


@dataclass(frozen=True, kw_only=True)
class Group:
    """The cases that share something."""

    n: int
    scores: Mapping[str, Score]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One pipeline. `decision`: COVID-19 or not, at THRESHOLD, and `classes`; both empty where the model gives no
    probability of the kind; `classes` by task, `class_roc` by task and class, one against the rest. `groups`: by what,
    which, what was found there."""

    label: str
    models: str
    refused: int
    seconds: Mapping[str, float]  # "median", "90th percentile"
    scores: Mapping[str, Score]
    differences: Mapping[str, Score]
    details: Mapping[str, Score]
    decision: Mapping[str, Score]
    classes: Mapping[str, Mapping[str, Score]]
    groups: Mapping[str, Mapping[str, Group]]
    roc: Mapping[str, Sequence[Point]]
    class_roc: Mapping[str, Mapping[str, Sequence[Point]]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole; `measured` has one sequence per pipeline, in the order of `cases`."""

    data: str
    description: str
    synthetic: bool
    on: date
    machine: str
    workers: int
    counts: Mapping[str, int]
    parts: tuple[Part, ...]
    reference: Mapping[str, Score]
    cases: tuple[Case, ...]
    measured: tuple[tuple[Measured, ...], ...]

    def to_json(self) -> str:
        """Strict JSON: what cannot be computed is null."""
        said = asdict(self) | {"on": self.on.isoformat()}
        return json.dumps(_without_nan(said), indent=1, allow_nan=False) + "\n"


def report(
    judged: Judged,
    evaluation: Evaluation,
    data: Cases,
    *,
    on: date,
    workers: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Report:
    """Sum up what was judged in every way that MODELS.md section 6 names."""
    how = {"seed": seed, "resamples": resamples}
    truths = {task: _truths(task, judged.cases, synthetic=data.synthetic) for task in CLASSES}
    parts = []
    for contender, row, found in zip(judged.contenders, evaluation.rows, judged.measured, strict=True):
        seconds = [one.seconds for one in found]
        told_of = _told(found, truths)
        part = Part(
            label=contender.label,
            models=contender.words,
            refused=row.refused,
            seconds={"median": float(np.median(seconds)), "90th percentile": float(np.quantile(seconds, 0.9))},
            scores=row.scores,
            differences=row.differences,
            details=scores(found, judged.cases, DETAILS, **how),
            decision=_decision(found, judged.cases, **how),
            classes={task: classes.judged(*told, seed=seed, resamples=resamples) for task, told in told_of.items()},
            groups=_groups(found, judged.cases, **how),
            roc={name: _roc(found, judged.cases, which) for name, which in AGAINST.items()},
            class_roc={task: _one_against_rest(*told) for task, told in told_of.items()},
        )
        parts.append(part)
    return Report(
        data=data.name,
        description=data.description,
        synthetic=data.synthetic,
        on=on,
        machine=machine(),
        workers=workers,
        counts=evaluation.cases,
        parts=tuple(parts),
        reference=evaluation.reference,
        cases=judged.cases,
        measured=judged.measured,
    )


def scores_and_truth(
    found: Sequence[Measured], cases: Sequence[Case], which: Callable[[Case], bool] = lambda c: True
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The scores of the cases that are `which`, and whether each is COVID-19. A score that nobody gave is left out."""
    kept = [(m.score, c.kind == COVID) for m, c in zip(found, cases, strict=True) if which(c) and not np.isnan(m.score)]
    return np.array([s for s, _ in kept], np.float64), np.array([p for _, p in kept], np.bool_)


def _roc(found: Sequence[Measured], cases: Sequence[Case], which: Callable[[Case], bool]) -> list[Point]:
    said, positive = scores_and_truth(found, cases, which)
    return roc_points(said, positive) if 0 < positive.sum() < positive.size else []


def _decision(found: Sequence[Measured], cases: Sequence[Case], *, seed: int, resamples: int) -> dict[str, Score]:
    if not any(one.is_probability for one in found):
        return {}
    probabilities, positive = scores_and_truth(found, cases)
    said = probabilities >= THRESHOLD

    def rate(name: str) -> Callable[[Indices], float]:
        return lambda i: float(getattr(Confusion.of(said[i], positive[i]), name))

    return {name: interval(rate(name), said.size, strata=positive, seed=seed, resamples=resamples) for name in RATES}


Told = tuple[list[Mapping[str, float]], list[str]]  # of each case the probabilities of a task's classes, and its own


def _truths(task: str, cases: Sequence[Case], *, synthetic: bool) -> list[str | None]:
    """The class of each case; None where nobody knows it. A data set says it as a property of the case, by a number or
    by name; a diagnosis follows from the kind, and so, of drawn cases, do the labels that are simulated."""
    names = CLASSES[task]
    found: list[str | None] = []
    for case in cases:
        said = case.groups.get(task)
        if task == DIAGNOSIS:
            found.append(names[diagnosis(case)])
        elif said is not None and (said in names or (said.isdecimal() and int(said) < len(names))):
            found.append(said if said in names else names[int(said)])
        elif said is None and synthetic and task in SIMULATED:
            found.append(names[simulated_labels(case.kind, 0.0)[task]])
        else:
            found.append(None)
    return found


def _told(found: Sequence[Measured], truths: Mapping[str, Sequence[str | None]]) -> dict[str, Told]:
    """By task, of the cases that a model answered and whose class is known."""
    every: dict[str, Told] = {}
    for task, names in CLASSES.items():
        kept = [
            ({name: m.classes[name] for name in names}, truth)
            for m, truth in zip(found, truths[task], strict=True)
            if truth is not None and set(names) <= m.classes.keys()
        ]
        if kept:
            every[task] = ([likely for likely, _ in kept], [truth for _, truth in kept])
    return every


def _one_against_rest(likely: Sequence[Mapping[str, float]], truth: Sequence[str]) -> dict[str, list[Point]]:
    """ROC curves of the classes that occur (DeepSC-COVID, Fig. 7)."""
    curves = {}
    for name in likely[0]:
        said = np.array([one[name] for one in likely])
        positive = np.array([t == name for t in truth])
        if 0 < positive.sum() < positive.size:
            curves[name] = roc_points(said, positive)
    return curves


def _groups(
    found: Sequence[Measured], cases: Sequence[Case], *, seed: int, resamples: int
) -> dict[str, dict[str, Group]]:
    """By every property that the cases name, and by the grade of the true severity."""
    named = [dict(case.groups) | _severity(case) for case in cases]
    by: dict[str, dict[str, Group]] = {}
    for what in dict.fromkeys(key for groups in named for key in groups):
        by[what] = {}
        for value in sorted({groups[what] for groups in named if what in groups}):
            at = [i for i, groups in enumerate(named) if groups.get(what) == value]
            some = scores([found[i] for i in at], [cases[i] for i in at], METRICS, seed=seed, resamples=resamples)
            by[what][value] = Group(n=len(at), scores=some)
    return by


def _severity(case: Case) -> dict[str, str]:
    # The grades' bounds alone: the floor is for what models find, and the truth of a phantom has no false voxel.
    exact = Floor(volume_ml=0.0, fraction=0.0)
    return {} if np.isnan(case.fraction) else {SEVERITY: grade(case.fraction, 1.0, exact)}


def _without_nan(said: Any) -> Any:
    if isinstance(said, dict):
        return {key: _without_nan(value) for key, value in said.items()}
    if isinstance(said, list | tuple):
        return [_without_nan(value) for value in said]
    return None if isinstance(said, float) and not np.isfinite(said) else said
