"""`triaged data`: what it prints and how it ends; and a recipe on real files from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.bundle import read_card
from models.cards import Card
from tests.unit.training.datasets_public.miniatures import own
from training.train import train
from triaged.cli import app


def ran(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["data", *words])
    return result.exit_code, result.stdout, result.stderr


def test_every_data_set_is_listed() -> None:
    status, out, _ = ran("list", "--json")
    assert status == 0
    items = {item["name"]: item for item in json.loads(out)}
    assert items["luna16"]["licence"].startswith("CC BY 4.0")
    assert (items["own"]["readable"], items["henri-becquerel"]["readable"]) == (True, False)
    assert "mosmed-1110" in ran("list")[1]


def test_check_ends_with_1_where_it_cannot_be_trained_on(tmp_path: Path) -> None:
    own(tmp_path)
    status, out, _ = ran("check", "own", str(tmp_path), "--json")
    assert (status, json.loads(out)["problems"]) == (0, [])
    (tmp_path / "a-lesions.nii.gz").unlink()
    status, out, err = ran("check", "own", str(tmp_path), "--json")
    assert (status, json.loads(out)["problems"][0]["fault"]) == (1, "missing")
    status, out, err = ran("check", "own", str(tmp_path))
    assert status == 1
    assert "a-lesions.nii.gz" in out.replace("\n", "")
    assert "1 problem" in err


def test_what_cannot_be_read_is_said_in_words(tmp_path: Path) -> None:
    for words, said in (
        (("check", "mosmed", str(tmp_path)), "there are mosmed-1110"),
        (("check", "luna16", str(tmp_path)), "Unpack it so that there is"),
        (("prepare", "henri-becquerel", str(tmp_path), "--out", str(tmp_path / "out")), "not public"),
    ):
        status, _, err = ran(*words)
        assert status == 1
        assert said in err


def test_a_recipe_trains_on_what_was_prepared_and_the_card_says_so(tmp_path: Path) -> None:
    own(tmp_path)
    library = tmp_path / "library"
    status, out, err = ran("prepare", "own", str(tmp_path), "--out", str(library), "--json")
    assert status == 0, err
    assert json.loads(out)["parts"] == {"train": {"covid": 2, "normal": 1}, "validation": {"cap": 1}}
    small = ["steps=2", "validate_every=2", "width=2", "levels=3", "pyramid_hidden=4"]
    trained = train("ct-triage", scale="tiny", data=library, out=tmp_path / "run", changes=small)
    assert trained.bundle is not None
    card = read_card(trained.bundle)
    assert isinstance(card, Card)
    assert not card.synthetic
    assert "3 cases of Own folder; 2 with lesions annotated; chosen on 1 case of Own folder" in card.training_data


@pytest.mark.parametrize("words", [("list",), ("check", "own", "x"), ("prepare", "own", "x", "--out", "y")])
def test_help_knows_each_command(words: tuple[str, ...]) -> None:
    assert ran(words[0], "--help")[0] == 0
