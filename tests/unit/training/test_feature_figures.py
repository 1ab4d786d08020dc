"""The figures of the feature analysis: what is drawn is what the table says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.cluster import hierarchy

from tests.unit.training.feature_tables import rows_of, write
from training import feature_figures
from training.datasets import ictcf
from training.datasets.ictcf import FeatureTable

pytest.importorskip("matplotlib", reason="Matplotlib comes with the train extra")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> FeatureTable:
    rows = rows_of(60)
    rows[40]["PID"] = feature_figures.NORMAL
    return ictcf.read(write(tmp_path_factory.mktemp("ictcf") / "features.csv", rows))


def test_every_figure_is_written_twice(table: FeatureTable, tmp_path: Path) -> None:
    paths = feature_figures.draw(table, tmp_path / "figures")
    assert {path.name for path in paths} == {
        *("box-plots.pdf", "box-plots.png", "heat-map.pdf", "heat-map.png", "two-cases.pdf", "two-cases.png")
    }
    for path in paths:
        if path.suffix == ".png":
            assert np.ptp(np.asarray(Image.open(path).convert("L"))) > 200, "not an empty page"
        else:
            assert path.read_bytes().startswith(b"%PDF")
    alone = table.where(table.patients != feature_figures.NORMAL)
    assert len(feature_figures.draw(alone, tmp_path / "fewer")) == 4, "the two patients of Fig. 8 are not both there"


def test_bars_are_of_the_two_patients(table: FeatureTable) -> None:
    (axes,) = feature_figures.two_cases(table).axes
    infected, normal = ([bar.get_width() for bar in group] for group in axes.containers)
    first = feature_figures.TEN[0]
    values = [table.column(first)[table.patients == p][0] for p in (feature_figures.INFECTED, feature_figures.NORMAL)]
    assert (infected[0], normal[0]) == pytest.approx((values[0] / max(values), values[1] / max(values)))


def test_rows_that_move_together_are_neighbours() -> None:
    rng = np.random.default_rng(1)
    up, down = rng.normal(size=(2, 30))
    rows = np.stack([up, down, 5 * up + 2, -3 * down, 2 * down - 1])
    order = hierarchy.leaves_list(feature_figures.clustered(rows)).tolist()
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(1) - order.index(4)) == 1


def test_ages_fall_into_groups_of_twenty_years(table: FeatureTable) -> None:
    ages = np.full(len(table), 30.0)
    ages[:4] = 39.9, 40.0, 79.0, 80.0
    from dataclasses import replace

    assert feature_figures.known_of(replace(table, ages=ages))["age"][:5].tolist() == [0, 1, 2, 3, 0]


def test_sixteen_features_make_the_map() -> None:
    assert len(feature_figures.SIGNIFICANT) == 16
    assert set(feature_figures.TEN) < set(feature_figures.SIGNIFICANT)
