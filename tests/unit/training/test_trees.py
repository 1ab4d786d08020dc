"""`triaged train random-forest`: from a feature table to a bundle that serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.bundle import read_card
from models.forest import load_forest
from tests.unit.training.feature_tables import rows_of, write
from triaged.cli import app


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("ictcf") / "features.csv", rows_of(90))


def _run(*words: str) -> tuple[int, str, str]:
    ran = CliRunner().invoke(app, ["train", *words])
    return ran.exit_code, ran.stdout, ran.stderr


@pytest.mark.parametrize("name", ["random-forest", "lightgbm"])
def test_a_table_becomes_a_bundle(tmp_path: Path, table: Path, name: str) -> None:
    if name == "lightgbm":
        pytest.importorskip("lightgbm", reason="LightGBM comes with the train extra")
    words = ("--data", str(table), "--out", str(tmp_path / "out"), "--scale", "tiny", "--set", "task=severity")
    status, said, complaint = _run(name, *words, "--json")
    assert status == 0, complaint
    found = json.loads(said)
    card = read_card(Path(found["bundle"]))
    assert card.name == f"{name}-severity"
    assert not card.synthetic
    assert found["scores"]["accuracy"] == card.scores["accuracy"]
    assert load_forest(Path(found["bundle"])).classes[0] == "control or suspected"
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["plan"] == {"task": "severity", "trees": 20, "grid_mm": 1.0}, "the table's, whatever the scale"
    assert _run(name, *words)[0] == 1, "never over an earlier training"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--scale", "huge"), "no scale huge"),
        (("--set", "task=mood"), "task"),
        (("--set", "trees=0"), "more than 0"),
        (("--set", "grid_mm=0"), "more than 0"),
        (("--set", "grid_mm=2"), "measured at 1 mm"),
        (("--data", "training"), "index.json"),
        (("--data", "none.csv"), "cannot be read"),
    ],
)
def test_what_cannot_be_fitted_is_refused(tmp_path: Path, table: Path, words: tuple[str, str], says: str) -> None:
    status, _, complaint = _run("random-forest", "--data", str(table), "--out", str(tmp_path / "out"), *words)
    assert status == 1
    assert says in complaint
    assert not (tmp_path / "out").exists()
