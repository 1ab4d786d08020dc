"""Who is judged, from the words of a command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models import zoo
from models.predict import UnknownModel
from training.contenders import contenders
from training.evaluate import Contender


def _bundle(folder: Path, name: str, role: str) -> str:
    folder.mkdir()
    card = replace(zoo.METHODS["thresholding"], name=name, roles=(role,))
    (folder / "card.json").write_text(card.to_json())
    return str(folder)


def test_a_pair_is_named_with_both_its_models() -> None:
    assert contenders(["a=classical-lungs,thresholding"]) == [
        Contender(label="a", lungs="classical-lungs", triage="thresholding")
    ]
    for text in ("=a,b", "learned=lungs", "learned=,b", "learned=a,"):
        with pytest.raises(ValueError, match="LABEL=LUNGS,TRIAGE"):
            contenders([text])


def test_a_bundle_is_given_the_half_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "shipped", dict)
    lungs, triage = _bundle(tmp_path / "l", "net", "lungs"), _bundle(tmp_path / "t", "head", "triage")
    assert contenders([lungs, triage]) == [
        Contender(label="net", lungs=lungs, triage="thresholding"),
        Contender(label="head", lungs="classical-lungs", triage=triage),
    ]
    assert contenders([triage], lungs)[0].lungs == lungs
    monkeypatch.setattr(zoo, "shipped", lambda: {"ours": tmp_path / "l"})
    assert contenders([triage])[0].lungs == "ours"


def test_without_names_the_bundles_that_ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _bundle(tmp_path / "l", "net", "lungs")
    monkeypatch.setattr(zoo, "shipped", lambda: {"l": tmp_path / "l"})
    assert contenders([]) == []
    _bundle(tmp_path / "t", "head", "triage")
    monkeypatch.setattr(zoo, "shipped", lambda: {"l": tmp_path / "l", "t": tmp_path / "t"})
    assert contenders([]) == [Contender(label="learned", lungs="l", triage="t")]


def test_what_is_no_model_and_what_has_a_name_twice_is_refused() -> None:
    with pytest.raises(UnknownModel, match="neither"):
        contenders(["hope"])
    with pytest.raises(ValueError, match="labels must differ"):
        contenders(["generic-lungs", "generic-lungs=classical-lungs,thresholding"])
    with pytest.raises(ValueError, match="labels must differ"):
        contenders(["thresholding"])
