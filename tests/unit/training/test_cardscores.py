"""Figures of an evaluation go into the cards of the bundles it was about, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import zoo
from models.bundle import read_card
from models.cards import Card
from training.cardscores import put
from training.evaluate import METRICS, NO_SCORE, Evaluation, Row
from training.scores import Score

DICE = Score(value=0.91234, low=0.9, high=0.92, n=8)


def _row(label: str, lungs: str, triage: str) -> Row:
    scores = dict.fromkeys(METRICS, DICE) | {"auc_normal": NO_SCORE}
    return Row(label=label, lungs=lungs, triage=triage, refused=0, scores=scores, differences={})


def test_each_card_gets_what_its_role_is_judged_by(tmp_path: Path) -> None:
    shipped = zoo.shipped()
    folders = {}
    for name in ("lungs-unet", "ct-triage"):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        (folders[name] / "card.json").write_bytes((shipped[name] / "card.json").read_bytes())
    rows = (
        _row("thresholding", "classical-lungs", "thresholding"),
        _row("learned", str(folders["lungs-unet"]), str(folders["ct-triage"])),
    )
    written = put(Evaluation(cases={"covid": 8}, rows=rows, reference={}), "eight chests")
    assert written == [folder / "card.json" for folder in folders.values()]
    lungs, triage = (read_card(folder) for folder in folders.values())
    assert dict(lungs.held_out) == {"lung Dice": (0.9123, 0.9, 0.92)}
    assert "AUC against normal" not in triage.held_out, "what could not be computed is left out"
    assert len(triage.held_out) == 4
    assert {lungs.held_out_data, triage.held_out_data} == {"eight chests"}
    assert lungs.sha256 == read_card(shipped["lungs-unet"]).sha256


def test_methods_without_weights_have_no_card_to_write_to() -> None:
    row = _row("thresholding", "classical-lungs", "thresholding")
    assert put(Evaluation(cases={}, rows=(row, row), reference={}), "") == []


@pytest.mark.parametrize("name", ["lungs-unet", "ct-triage"])
def test_what_ships_says_what_it_is_worth_and_that_it_is_synthetic(name: str) -> None:
    card = read_card(zoo.shipped()[name])
    assert card.synthetic
    assert card.held_out_data
    assert all(low <= value <= high for value, low, high in card.held_out.values())
    assert card.held_out
    assert Card.from_json(card.to_json()) == card
