"""The paper's own numbers from the paper's own data (iCTCF), where that data lies beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from training import reported, reproduce
from training.datasets import ictcf
from training.datasets.ictcf import FeatureTable, published_split

AUC, POINTS = 0.01, 1.0  # how near a refitted forest has to come: AUC, and points of accuracy


@pytest.fixture(scope="module")
def table(shared_data: Path) -> FeatureTable:
    path = shared_data / "radiomics" / "ictcf-features.csv.gz"
    if not path.is_file():
        pytest.skip(f"no feature table at {path}")
    return ictcf.read(path)


def test_the_cohort_is_the_papers(table: FeatureTable) -> None:
    sexes, *others = reproduce.cohort(table).rows
    for row in others:
        assert row.ours == row.paper, row.name
    assert sexes.ours == {"train": "465/465", "test": "185/214"}, "the paper prints 214/185 for the test part"


def test_the_split_is_drawn_as_published(table: FeatureTable) -> None:
    assert (published_split(table.labels["NAT"]) == table.train).all()


def test_duplicates_straddle_the_split(table: FeatureTable) -> None:
    """D30."""
    sides = [{bool(table.train[table.patients == patient][0]) for patient in pair} for pair in table.duplicates()]
    assert len(sides) == 4
    assert sum(len(side) == 2 for side in sides) == 4


@pytest.mark.parametrize("row", reported.WELCH.rows, ids=lambda row: row.name)
def test_welch_to_the_printed_digits(table: FeatureTable, row: reported.Row) -> None:
    assert reproduce.variances(table, row.name) == row.paper


@pytest.mark.timeout(1200)
def test_forests_come_near_the_papers(table: FeatureTable) -> None:
    if os.environ.get("TRIAGED_FIT_FORESTS") != "1":
        pytest.skip("takes minutes: set TRIAGED_FIT_FORESTS=1")
    pytest.importorskip("lightgbm", reason="LightGBM comes with the train extra")
    for made in reproduce.covid_mtl(table)[2:4]:
        for row in made.rows[:2]:
            for column in made.columns:
                if column.endswith("AUC"):
                    assert row.ours[column] == pytest.approx(row.paper[column], abs=AUC), (row.name, column)
                if column.endswith("accuracy %"):
                    assert row.ours[column] == pytest.approx(row.paper[column], abs=POINTS), (row.name, column)
