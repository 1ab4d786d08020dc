"""Beyond the forests: nothing of the test part reaches the choice, and it is opened once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from tests.unit.training.feature_tables import rows_of, write
from training import beyond, beyond_report, feature_models
from training.beyond import FOREST, METHODS, OURS, Found, Plan, paired, percentile
from training.datasets import ictcf
from training.datasets.ictcf import TASKS, FeatureTable
from training.errors import TrainingError
from training.feature_models import CANDIDATES, Candidate, named
from triaged.cli import app

ON = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
FEW = (
    named("logistic 0.03"),
    named("SVM 2"),
    Candidate(name="mean of the smooth", members=("logistic 0.03", "SVM 2")),
)
QUICK = Plan(repeats=1, splits=2, trees=10, fewer_trees=5, resamples=5, candidates=FEW)


def _quiet(what: str) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> FeatureTable:
    return ictcf.read(write(tmp_path_factory.mktemp("ictcf") / "features.csv", rows_of(120)))


@pytest.fixture(scope="module")
def whole(table: FeatureTable, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Found]:
    pytest.importorskip("lightgbm", reason="LightGBM comes with the train extra")
    out = tmp_path_factory.mktemp("beyond")
    return out, beyond.study(table, out, ON, QUICK, _quiet)


def _other_test_part(table: FeatureTable) -> FeatureTable:
    """The same training part beside a test part of other features and labels."""
    rng = np.random.default_rng(3)
    test = ~table.train
    features = table.features.copy()
    features[test] = rng.normal(0.0, 1000.0, (int(test.sum()), features.shape[1]))
    labels = {task: label.copy() for task, label in table.labels.items()}
    for label in labels.values():
        label[test] = rng.permutation(label[test])
    return replace(table, features=features, labels=labels)


def test_nothing_of_the_test_part_reaches_the_choice(table: FeatureTable, tmp_path: Path) -> None:
    for folder, one in (("as it is", table), ("another", _other_test_part(table))):
        beyond.freeze(one.where(one.train), tmp_path / folder, QUICK, _quiet)
    chosen = (tmp_path / "as it is" / beyond.CHOICE).read_bytes()
    assert chosen == (tmp_path / "another" / beyond.CHOICE).read_bytes()
    assert json.loads(chosen)["choices"]["CT"]["candidate"] in {candidate.name for candidate in FEW}


def test_the_choice_follows_the_labels_of_the_training_part(table: FeatureTable) -> None:
    """Else the test above could not fail: other labels give other scores."""
    training = table.where(table.train)
    shuffled = np.random.default_rng(1).permutation(training.labels["CT"])
    told = feature_models.choose(training.features, training.labels["CT"], FEW).auc["logistic 0.03"]
    guessed = feature_models.choose(training.features, shuffled, FEW).auc["logistic 0.03"]
    assert told != guessed


def test_a_study_has_every_step(table: FeatureTable, whole: tuple[Path, Found]) -> None:
    out, found = whole
    assert found.opened == "2026-11-21T07:00:00+00:00"
    assert found.patients == (72, 48)
    for task in TASKS:
        assert [len(found.folds[task][method]) for method in METHODS] == [5, 5, 5]
        assert [len(found.splits[task][method]) for method in METHODS] == [2, 2, 2]
        assert sum(found.classes[task]) == 48
    assert set(found.test) == {"all", "without duplicates", "HUST-Union Hospital", "HUST-Liyuan Hospital"}
    assert found.test["all"]["CT"][OURS]["AUC"]["n"] == 48
    assert found.test["without duplicates"]["CT"][FOREST]["AUC"]["n"] == 47, "one of two"
    assert set(found.hospitals) == {"HUST-Union Hospital", "HUST-Liyuan Hospital"}
    assert json.loads((out / beyond.OPENED).read_text())["opened"] == found.opened


def test_the_test_part_is_opened_once(table: FeatureTable, whole: tuple[Path, Found]) -> None:
    """A second run reads what the first wrote: when it was opened, and what came out."""
    out, found = whole
    assert beyond.study(table, out, LATER, QUICK, _quiet) == found
    with pytest.raises(TrainingError, match="opened for another test part"):
        beyond.study(_other_test_part(table), out, LATER, QUICK, _quiet)


def test_after_opening_nothing_is_chosen_again(table: FeatureTable, tmp_path: Path) -> None:
    training = table.where(table.train)
    beyond.freeze(training, tmp_path, QUICK, _quiet)
    beyond.open_test(table, tmp_path, ON)
    choice = tmp_path / beyond.CHOICE
    frozen = choice.read_text()
    assert beyond.freeze(training, tmp_path, QUICK, _quiet)["CT"].candidate in frozen
    choice.write_text(frozen.replace("SVM 2", "logistic 0.03"))
    with pytest.raises(TrainingError, match="was changed after the test part was opened"):
        beyond.freeze(training, tmp_path, QUICK, _quiet)
    choice.unlink()
    with pytest.raises(TrainingError, match="must not be chosen again"):
        beyond.freeze(training, tmp_path, QUICK, _quiet)


def test_a_folder_is_of_one_table_and_one_list(table: FeatureTable, tmp_path: Path) -> None:
    training = table.where(table.train)
    beyond.freeze(training, tmp_path, QUICK, _quiet)
    with pytest.raises(TrainingError, match="other candidates"):
        beyond.freeze(training, tmp_path, replace(QUICK, candidates=FEW[:2]), _quiet)
    with pytest.raises(TrainingError, match="other patients"):
        beyond.freeze(training.where(training.patients > 5), tmp_path, QUICK, _quiet)


def test_a_stopped_run_goes_on(table: FeatureTable, tmp_path: Path) -> None:
    training = table.where(table.train)
    made: list[int] = []

    def make() -> dict[str, object]:
        made.append(1)
        return {"AUC": 0.5}

    for _ in range(2):
        assert beyond.Notes(tmp_path, training, QUICK).kept("fold-CT-0", make) == {"AUC": 0.5}
    assert len(made) == 1, "what was computed is kept"
    beyond.Notes(tmp_path, training, replace(QUICK, candidates=FEW[:1])).kept("fold-CT-0", make)
    assert len(made) == 2, "but not for another list"


def test_percentile_known_by_hand() -> None:
    assert percentile(0.8, [0.5, 0.6, 0.7, 0.9]) == 75.0
    assert percentile(0.7, [0.5, 0.7, 0.7, 0.9]) == 50.0
    assert percentile(0.1, [0.5]) == 0.0


def test_without_correction_the_interval_is_students() -> None:
    ours, others = [0.9, 0.8, 0.85, 0.95], [0.7, 0.75, 0.8, 0.75]
    plain = paired(ours, others, 0.0)
    known = stats.ttest_rel(ours, others).confidence_interval(0.95)
    assert (plain.low, plain.high) == pytest.approx((known.low, known.high))
    corrected = paired(ours, others, 0.25)
    assert (corrected.high - corrected.low) / (plain.high - plain.low) == pytest.approx(np.sqrt(2.0)), "1/4 + 1/4"
    with pytest.raises(ValueError, match="two splits"):
        paired([0.9], [0.8], 0.25)


def test_an_auc_whose_scores_are_unknown_gets_its_interval() -> None:
    """Hanley and McNeil's own example: 0.893 of 51 abnormal and 58 normal, standard error 0.032."""
    low, high = beyond_report.auc_interval(0.893, 51, 58)
    assert (high - low) / (2 * 1.96) == pytest.approx(0.032, abs=6e-4)


def test_only_what_leaves_zero_out_is_called_better(whole: tuple[Path, Found]) -> None:
    _, found = whole
    equal = replace(found, folds={task: {**a, OURS: a[FOREST]} for task, a in found.folds.items()})
    assert all("not told apart from RF in the folds" in line for line in beyond_report.verdicts(equal))
    ahead = {
        task: {**a, OURS: [x + 0.1 + 0.001 * n for n, x in enumerate(a[FOREST])]} for task, a in found.folds.items()
    }
    assert all("better than RF in the folds" in line for line in beyond_report.verdicts(replace(found, folds=ahead)))


def test_the_section_tells_every_step(whole: tuple[Path, Found]) -> None:
    _, found = whole
    text = beyond_report.section(found, "triaged beyond", ON.date(), 1.0)
    for words in ("opened 2026-11-21", "| COVID-MTL Shift3D + features | 0.939", "without duplicates", "percentile"):
        assert words in text
    json.dumps(beyond_report.as_json(found), allow_nan=False)


def test_every_candidate_is_made_of_what_there_is() -> None:
    assert len({candidate.name for candidate in CANDIDATES}) == len(CANDIDATES)
    for candidate in CANDIDATES:
        assert set(candidate.members) <= set(feature_models.BASES)


@pytest.mark.parametrize("name", ["PCA SVM", "elastic net", "shrunk LDA", "extra trees", "stack"])
def test_a_candidate_says_a_probability_of_every_class(table: FeatureTable, name: str) -> None:
    stack = Candidate(name="stack", members=("logistic 0.03", "SVM 2"), stacked=True)
    labels = table.labels["severity"]
    features = table.features.copy()
    features[:, :100] += 15.0 * labels[:, None]
    candidate = stack if name == stack.name else named(name)
    scores = feature_models.fit(candidate, features[:90], labels[:90])(features[90:])
    assert scores.shape == (30, 3)
    assert scores.sum(axis=1) == pytest.approx(1.0)
    assert (scores.argmax(axis=1) == labels[90:]).mean() > 0.7, "a hundred features tell"


@pytest.mark.parametrize(("words", "status"), [(["--data", "mosmed=x"], 2), (["--data", "ictcf=none.csv"], 1)])
def test_the_command_refuses_what_it_cannot_read(tmp_path: Path, words: list[str], status: int) -> None:
    ran = CliRunner().invoke(app, ["beyond", *words, "--out", str(tmp_path)])
    assert ran.exit_code == status
    assert "ictcf=FILE" in ran.stderr or "cannot be read" in ran.stderr
