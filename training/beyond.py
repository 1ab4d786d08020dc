"""Beyond COVID-MTL's forests, honestly: the best model of its 375 features, chosen without the test part, and judged.

In this order, each step written to the folder as it is done, so that a run goes on where it was stopped:

1. Folds of the training part, repeated: in each the choice (`feature_models.choose`) is made anew inside and judged
   outside, beside the paper's forest and boosting. This judges the way of choosing.
2. The choice on the whole training part, frozen in choice.json.
3. The test part is opened: opened.json says when and for which choice. After that nothing is chosen in this folder.
4. What the choice and the paper's two methods score there; without the patients that are there twice (D30); by
   hospital; and each hospital by what was fitted on the other.
5. Other splits of the whole cohort, drawn by the paper's rule: where among them the published one lies (D31). The
   choice was made on patients of whom some are in their test parts, so step 1 is the cleaner comparison.

Differences are paired. Over splits that share patients a t-interval is too narrow: Nadeau and Bengio (2003) widen the
variance by the share of test to training. Clinical columns and what the scanner says stay out throughout.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.model_selection import RepeatedStratifiedKFold

from training import feature_models
from training.classes import one_against_rest
from training.datasets.ictcf import SEED, TASKS, FeatureTable, draw
from training.errors import TrainingError
from training.feature_models import CANDIDATES, Candidate, Choice
from training.scores import CONFIDENCE, RESAMPLES, Score, interval
from training.tabular import LEARNING_RATE, TREES, Features, Labels, Scale, fit_boosting, fit_forest

OURS, FOREST, BOOSTING = "chosen", "RF", "LGBM"
METHODS = (OURS, FOREST, BOOSTING)
OUTER = 5  # folds around the choice
# In the many fits of steps 1 and 5 and between hospitals: a forest of 300 trees, as D31 has it, and a boosting that
# goes as far in a tenth of the steps (LightGBM's own default). In step 4 both are as published.
FEWER_TREES, LARGER_STEPS = 300, 10
FIRST_SPLIT = 100  # seed of the first other split; the published one is 11
CHOICE, OPENED, TESTED = "choice.json", "opened.json", "test.json"

Rows = NDArray[np.intp]
Progress = Callable[[str], None]  # called with what is computed next


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is fitted. More repeats and splits may be asked of a folder later; they add to what is there."""

    repeats: int = 2  # of the outer folds
    splits: int = 20
    trees: int = TREES  # of forest and boosting on the published split
    fewer_trees: int = FEWER_TREES  # of the forest elsewhere
    resamples: int = RESAMPLES
    candidates: tuple[Candidate, ...] = CANDIDATES


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a folder holds at the end, as JSON holds it: by task, and there by method."""

    folds: Mapping[str, Mapping[str, list[float]]]  # AUC in every outer fold
    fold_choices: Mapping[str, list[str]]
    choices: Mapping[str, Choice]
    opened: str  # when, ISO 8601
    test: Mapping[str, Any]  # part -> task -> method or difference -> score -> Score
    published: Mapping[str, Mapping[str, float]]  # AUC on the published split, with the fewer trees
    splits: Mapping[str, Mapping[str, list[float]]]  # AUC on every other split
    hospitals: Mapping[str, Mapping[str, Mapping[str, float]]]  # AUC in the one left out: hospital, task, method
    patients: tuple[int, int]  # of the training and of the test part
    classes: Mapping[str, list[int]]  # patients of each class in the test part


def study(table: FeatureTable, out: Path, on: datetime, plan: Plan | None = None, progress: Progress = print) -> Found:
    """All steps; what the folder has is taken from there. Raises TrainingError where it holds another table's."""
    plan = plan or Plan()
    training = table.where(table.train)
    notes = Notes(out, training, plan)
    folds = {task: _outer(training, task, notes, plan, progress) for task in TASKS}
    choices = freeze(training, out, plan, progress)
    opened = open_test(table, out, on)
    test = _tested(table, choices, out, plan, progress)
    whole = Notes(out, table, plan, (out / CHOICE).read_text(encoding="utf-8"))
    published = {task: _published(table, task, choices[task], whole, plan, progress) for task in TASKS}
    splits = {task: _splits(table, task, choices[task], whole, plan, progress) for task in TASKS}
    return Found(
        folds={task: _by_method(found) for task, found in folds.items()},
        fold_choices={task: [str(one["choice"]) for one in found] for task, found in folds.items()},
        choices=choices,
        opened=opened,
        test=test,
        published=published,
        splits={task: _by_method(found) for task, found in splits.items()},
        hospitals=_hospitals(table, choices, whole, plan, progress),
        patients=(len(training), len(table) - len(training)),
        classes={task: np.bincount(label[~table.train]).tolist() for task, label in table.labels.items()},
    )


# --- The choice, and the opening of the test part ---------------------------------------------------------------------


def freeze(training: FeatureTable, out: Path, plan: Plan, progress: Progress) -> Mapping[str, Choice]:
    """Choose for every task, once, and write it down; later the same choice is read.

    Raises TrainingError where the test part was opened and the choice is no longer what it was opened for.
    """
    path = out / CHOICE
    names = [candidate.name for candidate in plan.candidates]
    if path.is_file():
        _require_untouched(out)
        held = json.loads(path.read_text(encoding="utf-8"))
        if held["training"] != digest(training) or held["candidates"] != names:
            raise TrainingError(f"{path} is of other patients or other candidates: choose another folder")
        return {task: Choice(**choice) for task, choice in held["choices"].items()}
    if (out / OPENED).exists():
        raise TrainingError(f"{out}: the test part was opened, and {CHOICE} is gone; it must not be chosen again")
    choices = {}
    for task in TASKS:
        progress(f"the choice, {task}")
        choices[task] = feature_models.choose(training.features, training.labels[task], plan.candidates)
    made = {task: asdict(choice) for task, choice in choices.items()}
    _write(path, {"training": digest(training), "candidates": names, "choices": made})
    return choices


def open_test(table: FeatureTable, out: Path, on: datetime) -> str:
    """Record that the test part is opened for the frozen choice; when it was. Of a folder once, for one test part."""
    path, choice = out / OPENED, _sha256(out / CHOICE)
    test = digest(table.where(~table.train))
    if not path.exists():
        _write(path, {"opened": on.isoformat(timespec="seconds"), "choice_sha256": choice, "test": test})
    held = json.loads(path.read_text(encoding="utf-8"))
    _require_untouched(out)
    if held["test"] != test:
        raise TrainingError(f"{out} was opened for another test part: choose another folder")
    return str(held["opened"])


def _require_untouched(out: Path) -> None:
    path = out / OPENED
    if path.exists() and json.loads(path.read_text(encoding="utf-8"))["choice_sha256"] != _sha256(out / CHOICE):
        raise TrainingError(
            f"{out}: {CHOICE} was changed after the test part was opened; what follows is worth nothing"
        )


# --- The steps --------------------------------------------------------------------------------------------------------


def _outer(training: FeatureTable, task: str, notes: Notes, plan: Plan, progress: Progress) -> list[dict[str, Any]]:
    folds = RepeatedStratifiedKFold(n_splits=OUTER, n_repeats=plan.repeats, random_state=SEED)
    found = []
    for number, (rows, held_out) in enumerate(folds.split(training.features, training.labels[task])):
        progress(f"fold {number + 1} of {OUTER * plan.repeats}, {task}")
        found.append(notes.kept(f"fold-{task}-{number}", partial(_fold, training, task, rows, held_out, plan)))
    return found


def _fold(training: FeatureTable, task: str, rows: Rows, held_out: Rows, plan: Plan) -> dict[str, Any]:
    choice = feature_models.choose(training.features[rows], training.labels[task][rows], plan.candidates)
    return {"choice": choice.candidate, **_aucs(training, task, choice, rows, held_out, plan)}


def _tested(table: FeatureTable, choices: Mapping[str, Choice], out: Path, plan: Plan, progress: Progress) -> Any:
    """The published methods as published, and the choice: on the test part, on parts of it, without duplicates."""
    path = out / TESTED
    if path.is_file():
        held = json.loads(path.read_text(encoding="utf-8"))
        if held["trees"] != plan.trees:
            raise TrainingError(f"{path} is of {held['trees']} trees: ask for as many, or choose another folder")
        return held["parts"]
    once = table.without_duplicates()
    parts: dict[str, dict[str, Any]] = {}
    for task in TASKS:
        progress(f"the test part, {task}")
        told = {method: _told(table, task, method, choices[task], plan) for method in METHODS}
        hospitals = table.hospitals[~table.train]
        everybody = np.ones(len(hospitals), np.bool_)
        for part, who in {"all": everybody, **{name: hospitals == name for name in np.unique(hospitals)}}.items():
            some = {method: scores[who] for method, scores in told.items()}
            parts.setdefault(str(part), {})[task] = _scored(some, table.labels[task][~table.train][who], plan)
        progress(f"the test part without duplicates, {task}")
        told = {method: _told(once, task, method, choices[task], plan) for method in METHODS}
        parts.setdefault("without duplicates", {})[task] = _scored(told, once.labels[task][~once.train], plan)
    _write(path, {"trees": plan.trees, "parts": parts})
    return parts


def _told(table: FeatureTable, task: str, method: str, choice: Choice, plan: Plan) -> Features:
    rows, test = table.rows_to_fit(), np.flatnonzero(~table.train)
    return _scores(table, task, method, choice, rows, test, plan, light=False)


def _scored(told: Mapping[str, Features], labels: Labels, plan: Plan) -> dict[str, Any]:
    """AUC (mean over classes) and accuracy of each method, and ours less the others', each with its interval."""

    def auc(method: str, rows: Rows) -> float:
        return float(one_against_rest(told[method][rows], labels[rows]).mean())

    def right(method: str, rows: Rows) -> float:
        return float((told[method][rows].argmax(axis=1) == labels[rows]).mean())

    def score(one: Callable[[str, Rows], float], method: str, other: str | None = None) -> dict[str, Any]:
        def statistic(rows: Rows) -> float:
            return one(method, rows) - (0.0 if other is None else one(other, rows))

        return asdict(interval(statistic, len(labels), strata=labels.tolist(), resamples=plan.resamples))

    found: dict[str, Any] = {
        method: {"AUC": score(auc, method), "accuracy": score(right, method)} for method in METHODS
    }
    for other in (FOREST, BOOSTING):
        found[f"{OURS} - {other}"] = {"AUC": score(auc, OURS, other), "accuracy": score(right, OURS, other)}
    return found


def _published(
    table: FeatureTable, task: str, choice: Choice, notes: Notes, plan: Plan, progress: Progress
) -> dict[str, float]:
    """The published split with the fits of the other splits, so that its place among them is its patients' doing."""
    progress(f"the published split once more, {task}")
    rows, test = table.rows_to_fit(), np.flatnonzero(~table.train)
    return notes.kept(f"published-{task}", partial(_aucs, table, task, choice, rows, test, plan))


def _splits(
    table: FeatureTable, task: str, choice: Choice, notes: Notes, plan: Plan, progress: Progress
) -> list[dict[str, Any]]:
    found = []
    for number in range(plan.splits):
        progress(f"split {number + 1} of {plan.splits}, {task}")
        rows, test = draw(table.labels["NAT"], FIRST_SPLIT + number)
        found.append(notes.kept(f"split-{task}-{number}", partial(_aucs, table, task, choice, rows, test, plan)))
    return found


def _hospitals(
    table: FeatureTable, choices: Mapping[str, Choice], notes: Notes, plan: Plan, progress: Progress
) -> dict[str, dict[str, dict[str, float]]]:
    """Each hospital's patients, by what was fitted on all of the others'."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for number, name in enumerate(np.unique(table.hospitals)):
        there = table.hospitals == name
        for task in TASKS:
            progress(f"{name} left out, {task}")
            make = partial(_aucs, table, task, choices[task], np.flatnonzero(~there), np.flatnonzero(there), plan)
            found.setdefault(str(name), {})[task] = notes.kept(f"hospital-{task}-{number}", make)
    return found


# --- One fit ----------------------------------------------------------------------------------------------------------


def _aucs(table: FeatureTable, task: str, choice: Choice, rows: Rows, test: Rows, plan: Plan) -> dict[str, Any]:
    """AUC of each method, mean over classes, fitted on `rows` and judged on `test`, with the fewer trees."""
    labels = table.labels[task][test]
    found = {}
    for method in METHODS:
        scores = _scores(table, task, method, choice, rows, test, plan, light=True)
        found[method] = float(one_against_rest(scores, labels).mean())
    return found


def _scores(
    table: FeatureTable, task: str, method: str, choice: Choice, rows: Rows, test: Rows, plan: Plan, *, light: bool
) -> feature_models.Scores:
    """(patient of `test`, class), fitted on `rows`; `light`: the paper's methods with the fewer trees."""
    features, labels = table.features[rows], table.labels[task][rows]
    if method == OURS:
        return feature_models.fit(feature_models.named(choice.candidate), features, labels)(table.features[test])
    scale = Scale.of(features)
    model: Any
    if method == FOREST:
        model = fit_forest(scale(features), labels, trees=plan.fewer_trees if light else plan.trees)
    else:
        steps = LARGER_STEPS if light else 1
        model = fit_boosting(scale(features), labels, trees=plan.trees // steps, rate=LEARNING_RATE * steps)
    return np.asarray(model.predict_proba(scale(table.features[test])), np.float64)


# --- What the numbers say ---------------------------------------------------------------------------------------------


def percentile(value: float, others: Sequence[float]) -> float:
    """The share of others, in per cent, that lie below a value; of equal ones half."""
    beside = np.asarray(others)
    return float(100.0 * ((beside < value).mean() + 0.5 * (beside == value).mean()))


def paired(ours: Sequence[float], others: Sequence[float], test_to_training: float) -> Score:
    """The mean difference over splits with its 95 % interval by the corrected resampled t-test (Nadeau, Bengio 2003).

    `test_to_training`: patients judged by patients fitted on, of each split. Raises ValueError on fewer than two.
    """
    difference = np.asarray(ours, np.float64) - np.asarray(others, np.float64)
    n = len(difference)
    if n < 2:
        raise ValueError("an interval takes two splits or more")
    width = np.sqrt((1.0 / n + test_to_training) * difference.var(ddof=1))
    width *= stats.t.ppf(0.5 + CONFIDENCE / 2.0, n - 1)
    mean = float(difference.mean())
    return Score(value=mean, low=mean - float(width), high=mean + float(width), n=n)


# --- The folder -------------------------------------------------------------------------------------------------------


class Notes:
    """What was computed before for these patients, these candidates and this code; each as a small JSON file."""

    def __init__(self, out: Path, table: FeatureTable, plan: Plan, more: str = "") -> None:
        settings = [asdict(candidate) for candidate in plan.candidates]
        text = json.dumps([digest(table), settings, plan.trees, plan.fewer_trees, _code(), more])
        self.folder = out / "notes" / hashlib.sha256(text.encode()).hexdigest()[:16]

    def kept(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        path = self.folder / f"{name}.json"
        if not path.is_file():
            _write(path, make())
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return held


def digest(table: FeatureTable) -> str:
    """Of everything that a fit sees of these patients, and of their order."""
    whole = hashlib.sha256(np.ascontiguousarray(table.features).tobytes())
    for array in (table.patients, table.train, table.drawn, *table.labels.values()):
        whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()


@cache
def _code() -> str:
    return _sha256(Path(feature_models.__file__))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    aside.replace(path)


def _by_method(found: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    return {method: [float(one[method]) for one in found] for method in METHODS}
