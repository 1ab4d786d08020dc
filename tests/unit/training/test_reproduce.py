"""The papers' tables, and our column where the feature table gives it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.unit.training.feature_tables import TELLING, rows_of, write
from training import reported, reproduce, tabular
from training.datasets import ictcf
from training.reported import PAPERS, Row, Table
from triaged.cli import app


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("ictcf") / "features.csv", rows_of())


def test_the_papers_tables_are_whole() -> None:
    rows = {paper: sum(len(table.rows) for table in tables) for paper, tables in PAPERS.items()}
    assert rows == {"ct-triage": 6, "covid-mtl": 6 + 2 + 8 + 7 + 24, "amyar": 8, "deepsc": 8 + 7 + 2}
    for table in (table for tables in PAPERS.values() for table in tables):
        assert len({row.name for row in table.rows}) == len(table.rows), table.title
        assert all(set(row.paper) == set(table.columns) for row in table.rows)


def test_recall_is_accuracy_where_it_is_weighted_by_class() -> None:
    """A slip of the transcription would break what holds by definition."""
    for row in reported.SEVERITY.rows:
        assert row.paper["recall"] == pytest.approx(float(str(row.paper["accuracy %"])) / 100, abs=6e-4)
    for row in reported.DIAGNOSIS.rows:
        for task in ("CT", "NAT"):
            accuracy = float(str(row.paper[f"{task} accuracy %"])) / 100
            assert row.paper[f"{task} recall"] == pytest.approx(accuracy, abs=6e-4), row.name


def test_sixteen_features_are_significant_in_all_three_groupings() -> None:
    for row in reported.WELCH.rows:
        everywhere = all(row.paper[f"{task} p"] == "<.001" for task in ictcf.TASKS)
        assert row.paper["significant"] == ("yes" if everywhere else "no"), row.name
    assert sum(row.paper["significant"] == "yes" for row in reported.WELCH.rows) == 16


def test_a_row_with_a_cell_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        reported.read("", ("a",), "row | 1 | 2")


def test_ours_stands_below_the_papers_where_there_is_ours() -> None:
    rows = (Row(name="one", paper={"AUC": 0.5}, ours={"AUC": 0.6}), Row(name="two", paper={"AUC": None}))
    text = Table(title="T", columns=("AUC",), rows=rows, note="why").as_markdown()
    assert "| one | paper | 0.5 |\n| one | ours | 0.6 |\n| two | paper |  |" in text
    assert "why" in text


def test_json_has_every_column_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "RESULTS", tmp_path)
    ran = CliRunner().invoke(app, ["tables", "--json"])
    assert ran.exit_code == 0, ran.output
    tables = json.loads(ran.stdout)
    assert len(tables) == sum(len(some) for some in PAPERS.values())
    for table in tables:
        for row in table["rows"]:
            assert list(row["paper"]) == list(row["ours"]) == table["columns"]
            assert set(row["ours"].values()) == {None}
        assert table["note"].startswith("Ours: nothing measured. `triaged study ")


def studied(path: Path) -> Path:
    """As `triaged study ct-triage --json` prints it, and a table that the paper has not."""
    printed = reported.CT_TRIAGE[0]
    rows = tuple(replace(row, ours={"Dice": 0.4 + 0.1 * n}) for n, row in enumerate(printed.rows))
    note = "Not comparable with the paper: ours are drawn, scale small."
    table = replace(printed, title=f"{printed.title}; test set", rows=rows, note=note)
    tables = [
        table,
        replace(table, title=f"{printed.title}; second test set"),
        replace(table, title="Beyond; test set"),
    ]
    path.write_text(json.dumps([one.as_json() | {"intervals": [], "trained": {}} for one in tables]))
    return path


def test_a_study_fills_our_column_and_says_that_it_is_not_comparable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "RESULTS", tmp_path / "results")
    path = studied(tmp_path / "study.json")
    ran = CliRunner().invoke(app, ["tables", "ct-triage", "--data", f"study={path}", "--json"])
    assert ran.exit_code == 0, ran.output
    tables = json.loads(ran.stdout)
    assert [table["title"].rpartition("; ")[2] for table in tables] == ["test set", "second test set", "test set"]
    assert all(table["note"].startswith("Not comparable with the paper") for table in tables)
    assert tables[0]["rows"][5]["ours"]["Dice"] == pytest.approx(0.9)
    assert tables[0]["rows"][5]["paper"]["Dice"] == 0.48
    assert "difference" not in json.dumps(tables)
    other = CliRunner().invoke(app, ["tables", "amyar", "--data", f"study={path}"])
    assert (other.exit_code, "fills tables of ct-triage, not of amyar" in other.stderr) == (2, True)
    path.write_text("[]")
    none = CliRunner().invoke(app, ["tables", "--data", f"study={path}"])
    assert (none.exit_code, "holds no table of ct-triage" in none.stderr) == (1, True)


def test_what_was_written_down_is_shown_without_being_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "RESULTS", tmp_path)
    studied(tmp_path / "ct-triage.json")
    assert [len(reproduce.tables_of(paper)) for paper in ("ct-triage", "amyar")] == [3, 1]
    found = reproduce.tables_of(None)
    assert len(found) == sum(len(some) for some in PAPERS.values()) + 2
    merged = reproduce._merged("ct-triage", [replace(PAPERS["ct-triage"][0], rows=found[0].rows)], found[:3])
    assert len(merged) == 4, "what is filled from the paper's own data stays beside it"


def test_tables_from_a_feature_table(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm", reason="LightGBM comes with the train extra")
    said: list[str] = []
    path = write(tmp_path / "features.csv.gz", rows_of(150))
    made = reproduce.covid_mtl(ictcf.read(path), progress=said.append, trees=30)
    cohort, lungs, diagnosis, severity, welch = made
    assert [table.title for table in made] == [table.title for table in PAPERS["covid-mtl"]]
    assert len(said) == 7
    for row in diagnosis.rows[:2]:
        assert _number(row, "CT AUC") > 0.8, "one feature tells"
        assert _number(row, "CT recall") == pytest.approx(_number(row, "CT accuracy %") / 100, abs=6e-4)
    for row in severity.rows[:2]:
        assert _number(row, "AUC") > 0.7
    assert all(not row.ours for row in (*lungs.rows, *diagnosis.rows[2:], *severity.rows[2:]))
    ours = {row.name: row.ours for row in welch.rows}
    assert ours[TELLING]["CT p"] == "<.001"
    assert ours[TELLING]["significant"] == "yes"
    assert cohort.rows[0].ours["test"] == "30/30"
    assert "may be compared" in diagnosis.note


def _number(row: Row, column: str) -> float:
    return float(str(row.ours[column]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lancet"], "none of the papers"),
        (["covid-mtl", "--data", "mosmed=here"], "one of ictcf"),
        (["covid-mtl", "--data", "ictcf"], "NAME=PATH"),
        (["amyar", "--data", "ictcf=here"], "not of amyar"),
    ],
)
def test_what_cannot_be_told_is_refused(words: list[str], says: str) -> None:
    ran = CliRunner().invoke(app, ["tables", *words])
    assert ran.exit_code == 2
    assert says in ran.stderr


def test_a_missing_table_fails(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["tables", "covid-mtl", "--data", f"ictcf={tmp_path / 'none.csv'}"])
    assert ran.exit_code == 1
    assert "cannot be read" in ran.stderr


def test_a_small_statistic_is_printed_as_a_bound(small: Path) -> None:
    table = ictcf.read(small)
    level = np.tile(np.arange(60.0).reshape(-1, 3).mean(axis=1, keepdims=True), 3).ravel()  # equal in every class
    table.features[:, table.names.index("Mean")] = level
    cells = reproduce.variances(table, "Mean")
    assert cells["severity F"] == "<.01"
    assert cells["significant"] == "no"


def test_judgement_of_probabilities_known_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    judged = tabular.judge(probabilities, np.array([0, 0, 1, 1]))
    assert judged.accuracy == 0.75
    assert judged.auc == pytest.approx(0.75)
    assert judged.auc_sd == pytest.approx(0.0)
    assert judged.precision == pytest.approx((2 / 3 + 1) / 2)


def test_the_scale_is_of_the_training_part_alone() -> None:
    scale = tabular.Scale.of(np.array([[0.0, 5.0], [10.0, 5.0]]))
    assert scale(np.array([[5.0, 5.0], [20.0, 6.0]])).tolist() == [[0.5, 0.0], [2.0, 1.0]]
