"""Trees from arrays answer as the libraries that grew them, and a bundle of them is what its card says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models import forest, radiomics
from models.bundle import TENSORS, BundleError, read_card, save_bundle
from models.forest import Trees, load_forest, of_text
from models.predict import LungMasks, UnknownModel, resolve
from models.radiomic_triage import RadiomicTriage
from models.severity import RIGHT
from tests.unit.models.chest import Chest, draw
from tests.unit.training.feature_tables import rows_of, write
from training import tabular
from training.datasets import ictcf
from training.datasets.ictcf import FeatureTable

Features = NDArray[np.float64]


@pytest.fixture(scope="module")
def data() -> tuple[Features, NDArray[np.int64]]:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(160, 9)).round(2)  # ties, as binned features have them
    return features, (features[:, 2] + 0.5 * rng.normal(size=160) > 0).astype(np.int64) + (features[:, 5] > 1)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> FeatureTable:
    return ictcf.read(write(tmp_path_factory.mktemp("ictcf") / "features.csv", rows_of(90)))


@pytest.mark.parametrize("classes", [2, 3])
def test_a_forest_answers_as_scikit_learn(data: tuple[Features, NDArray[np.int64]], classes: int) -> None:
    features, labels = data
    grown = tabular.fit_forest(features[:100], np.minimum(labels[:100], classes - 1), trees=15)
    trees = tabular.of_forest(grown)
    assert np.allclose(trees.probabilities(features), grown.predict_proba(features), rtol=0, atol=1e-12)
    edges = np.full((1, 9), np.float64(trees.threshold[0]))  # on a split itself
    assert np.allclose(trees.probabilities(edges), grown.predict_proba(edges), rtol=0, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_boosting_answers_as_lightgbm(data: tuple[Features, NDArray[np.int64]], classes: int) -> None:
    pytest.importorskip("lightgbm", reason="LightGBM comes with the train extra")
    features, labels = data
    grown = tabular.fit_boosting(features[:100], np.minimum(labels[:100], classes - 1), trees=12)
    trees = of_text(grown.booster_.model_to_string())
    assert np.allclose(trees.probabilities(features), grown.predict_proba(features), rtol=0, atol=1e-12)


TEXT = """tree
version=v4
num_class=1
num_tree_per_iteration=1
objective=binary sigmoid:1

Tree=0
num_leaves=3
num_cat=0
split_feature=1 0
threshold=0.5 2
decision_type=2 2
left_child=-1 -2
right_child=1 -3
leaf_value=-1 0.25 1
is_linear=0

Tree=1
num_leaves=1
num_cat=0
leaf_value=0.5

end of trees

feature_importances:
num_leaves=7
"""


def test_a_text_written_by_hand_is_understood() -> None:
    """Feature 1 at most 0.5: -1. Else feature 0 at most 2: 0.25, and above: 1. The second tree is a constant."""
    trees = of_text(TEXT)
    raw = np.array([-0.5, 0.75, 1.5])
    found = trees.probabilities(np.array([[9.0, 0.5], [2.0, 0.6], [2.1, 0.6]]))
    assert np.allclose(found[:, 1], 1 / (1 + np.exp(-raw)))
    assert np.allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("num_cat=0", "num_cat=1"), "categorical"),
        (("decision_type=2 2", "decision_type=10 2"), "missing values"),
        (("objective=binary sigmoid:1", "objective=regression"), "objective"),
        (("threshold=0.5 2", "threshold=0.5"), "1 entries for 2 nodes"),
        (("right_child=1 -3", "right_child=8 -3"), "no node"),
    ],
)
def test_a_text_of_another_kind_is_refused(change: tuple[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        of_text(TEXT.replace(*change, 1))


def test_a_circle_does_not_hang() -> None:
    one = np.zeros(1, np.int32)
    trees = Trees(
        roots=one, feature=one, threshold=np.ones(1), left=one, right=one, value=np.ones((1, 1)), link="sigmoid"
    )
    with pytest.raises(ValueError, match="circle"):
        trees.probabilities(np.zeros((2, 1)))


@pytest.mark.parametrize(("method", "task"), [("RF", "CT"), ("RF", "severity"), ("LGBM", "NAT"), ("LGBM", "severity")])
def test_a_bundle_answers_as_what_was_fitted(tmp_path: Path, table: FeatureTable, method: str, task: str) -> None:
    if method == "LGBM":
        pytest.importorskip("lightgbm", reason="LightGBM comes with the train extra")
    card = tabular.write_bundle(tmp_path / "bundle", table, task, method, trees=10)
    loaded = load_forest(tmp_path / "bundle")
    judged = tabular.judge(loaded.probabilities(table.features[~table.train]), table.labels[task][~table.train])
    assert {name: card.scores[name] for name in ("accuracy", "auc")} == {
        "accuracy": round(judged.accuracy, 4),
        "auc": round(judged.auc, 4),
    }
    assert loaded.classes == tabular.CLASSES[task]
    assert sorted(p.name for p in (tmp_path / "bundle").iterdir()) == ["card.json", TENSORS]


def test_far_from_what_it_has_seen_it_abstains(tmp_path: Path, table: FeatureTable) -> None:
    tabular.write_bundle(tmp_path / "bundle", table, "CT", "RF", trees=5)
    loaded = load_forest(tmp_path / "bundle")
    seen = dict(zip(loaded.names, table.features[table.train][0].tolist(), strict=True))
    answer = loaded.answer(seen)
    assert answer is not None
    assert sum(answer.values()) == pytest.approx(1.0)
    some = dict.fromkeys(loaded.names[:18], 1e9)  # 18 of 375: 4.8 %
    assert loaded.answer({**seen, **some}) is not None
    assert loaded.answer({**seen, **some, loaded.names[20]: float("nan")}) is None


def test_a_damaged_bundle_is_refused(tmp_path: Path, table: FeatureTable) -> None:
    folder = tmp_path / "bundle"
    tabular.write_bundle(folder, table, "CT", "RF", trees=5)
    card = read_card(folder)
    content = bytearray((folder / TENSORS).read_bytes())
    content[-1] ^= 1
    (folder / TENSORS).write_bytes(content)
    with pytest.raises(BundleError, match="sha256"):
        load_forest(folder)
    tabular.write_bundle(folder, table, "CT", "RF", trees=5)
    from models.bundle import read_tensors

    tensors = read_tensors(folder)
    for change, says in (
        ({"classes": ["one"]}, "classes"),
        ({"features": list(table.names[:9])}, "not as many"),
        ({"grid_mm": 0.0}, "measured at 0 mm"),
    ):
        save_bundle(folder, replace(card, arguments={**card.arguments, **change}), tensors)
        with pytest.raises(BundleError, match=says):
            load_forest(folder)
    save_bundle(folder, card, {name: t for name, t in tensors.items() if name != "left"})
    with pytest.raises(BundleError, match="left"):
        load_forest(folder)


def test_a_bundle_serves_by_its_folder(tmp_path: Path, table: FeatureTable, caplog: pytest.LogCaptureFixture) -> None:
    """The lungs' own features decide whether it answers: ranges that hold them, and ranges that do not. They are
    measured on the grid that the table names."""
    table = replace(table, grid_mm=8.0)
    shown = draw(Chest())
    labels = np.where(shown.right | shown.left, RIGHT, 0).astype(np.uint8)
    lungs = LungMasks(labels=labels, sides_by_size=False)
    folder = tmp_path / "bundle"
    tabular.write_bundle(folder, table, "CT", "RF", trees=5)
    with caplog.at_level("INFO"):
        assert resolve(str(folder), "triage").triage(shown.volume, lungs).probability is None
    assert "outside what the model was fitted on" in caplog.text

    found = radiomics.of_volume(shown.volume, labels > 0, 8.0)
    values = np.array([found[name] for name in table.names])
    near = values * np.random.default_rng(2).uniform(0.5, 1.5, size=(len(table), 375))
    near[:2] = values - np.abs(values), values + np.abs(values)
    train = table.train.copy()
    train[:2] = True
    for task in ("CT", "severity"):
        tabular.write_bundle(folder, replace(table, features=near, train=train), task, "RF", trees=5)
        predictor = resolve(str(folder), "triage")
        assert isinstance(predictor, RadiomicTriage)
        assert load_forest(folder).grid_mm == 8.0
        result = predictor.triage(shown.volume, lungs)
        assert result.lesions is None
        if task == "CT":
            assert result.probability is not None
            assert 0.0 <= result.probability <= 1.0
        else:
            assert result.class_probabilities is not None
            assert tuple(result.class_probabilities) == tabular.CLASSES["severity"]
    with pytest.raises((UnknownModel, BundleError)):
        resolve(str(folder), "lungs")
    assert predictor.triage(shown.volume, replace(lungs, labels=np.zeros_like(labels))).class_probabilities is None


def test_the_ranges_of_a_few_call_nobody_a_stranger(tmp_path: Path, table: FeatureTable) -> None:
    """The next of eight patients lies outside the range of one feature in four or five; the next of sixty seldom."""
    few = table.where(table.train & (np.cumsum(table.train) <= 8) | ~table.train)
    for some, threshold in ((table, forest.OUTSIDE), (few, 1.0)):
        card = tabular.write_bundle(tmp_path, some, "CT", "RF", trees=5)
        assert card.thresholds["outside"] == threshold
        answer = load_forest(tmp_path).answer(dict.fromkeys(table.names, -1e9))
        assert (answer is None) == (some is table)
        assert ("for anybody" in card.limits) == (some is few)


def test_patients_pass_in_parts() -> None:
    trees = of_text(TEXT)
    many = np.random.default_rng(1).normal(size=(forest.TOGETHER * 2 + 5, 2))
    whole = trees.probabilities(many)
    assert np.array_equal(whole[130:], trees.probabilities(many[130:]))
    assert trees.probabilities(many[:0]).shape == (0, 2)
