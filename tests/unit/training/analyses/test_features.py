"""The figures of the feature analysis: what is drawn is what the table says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.cluster import hierarchy

from tests.unit.training.feature_tables import TELLING, rows_of, write
from training.analyses import drawing, features
from training.datasets import ictcf
from training.datasets.ictcf import FeatureTable

pytest.importorskip("matplotlib", reason="Matplotlib comes with the train extra")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> FeatureTable:
    rows = rows_of(60)
    rows[40]["PID"] = features.NORMAL
    return ictcf.read(write(tmp_path_factory.mktemp("ictcf") / "features.csv", rows))


def test_every_figure_that_the_table_allows(table: FeatureTable) -> None:
    assert list(features.figures(table)) == ["box-plots", "heat-map", "two-cases"]
    alone = table.where(table.patients != features.NORMAL)
    assert list(features.figures(alone)) == ["box-plots", "heat-map"], "the two patients of Fig. 8 are not both there"


def test_figures_are_written_twice_and_equal(table: FeatureTable, tmp_path: Path) -> None:
    figure = features.two_cases(table)
    first, again = (drawing.save(figure, tmp_path / name, "two-cases") for name in ("a", "b"))
    assert [path.name for path in first] == ["two-cases.pdf", "two-cases.png"]
    assert first[0].read_bytes().startswith(b"%PDF")
    assert np.ptp(np.asarray(Image.open(first[1]).convert("L"))) > 200, "not an empty page"
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_bars_are_of_the_two_patients(table: FeatureTable) -> None:
    (axes,) = features.two_cases(table).axes
    infected, normal = ([bar.get_width() for bar in group] for group in axes.containers)
    first = features.TEN[0]
    values = [table.column(first)[table.patients == p][0] for p in (features.INFECTED, features.NORMAL)]
    assert (infected[0], normal[0]) == pytest.approx((values[0] / max(values), values[1] / max(values)))


def test_features_below_zero_stay_within_one(table: FeatureTable) -> None:
    table.features[:, table.names.index("Imc1")] *= -1.0
    (axes,) = features.two_cases(table).axes
    at = features.TEN.index("Imc1")
    widths = [group[at].get_width() for group in axes.containers]
    assert max(widths) == 1.0
    assert 0.0 < min(widths) < 1.0


def test_numbers_are_of_the_papers_features(table: FeatureTable) -> None:
    found = features.numbers(table)
    assert found["patients"] == len(table)
    assert set(found["Welch"]) >= set(features.SIGNIFICANT)
    assert found["Welch"][TELLING]["ours"]["CT p"] == "<.001"


def test_the_feature_that_tells_is_ranked_first(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm", reason="LightGBM comes with the train extra")
    said: list[str] = []
    found = features.selection(ictcf.read(write(tmp_path / "f.csv", rows_of(150))), said.append, trees=3)
    assert len(said) == 3
    assert {names[0] for names in found["ranking"].values()} == {TELLING}
    assert TELLING in found["in both"]
    assert len(found["paper"]) == 24


def test_rows_that_move_together_are_neighbours() -> None:
    rng = np.random.default_rng(1)
    up, down = rng.normal(size=(2, 30))
    rows = np.stack([up, down, 5 * up + 2, -3 * down, 2 * down - 1])
    order = hierarchy.leaves_list(features.clustered(rows)).tolist()
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(1) - order.index(4)) == 1


def test_ages_fall_into_groups_of_twenty_years(table: FeatureTable) -> None:
    ages = np.full(len(table), 30.0)
    ages[:4] = 39.9, 40.0, 79.0, 80.0
    assert features.known_of(replace(table, ages=ages))["age"][:5].tolist() == [0, 1, 2, 3, 0]


def test_sixteen_features_make_the_map() -> None:
    assert len(features.SIGNIFICANT) == 16
    assert set(features.TEN) < set(features.SIGNIFICANT)
