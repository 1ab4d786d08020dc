"""What a trained network is told to find familiar, measured over its own patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.bundle import CARD, read_card
from models.ct_triage import LungsUNet, MultitaskNet
from models.familiar import features, unfamiliar
from tests.unit.training.small_patients import SMALLER, patient, written
from training import familiar
from training.datasets.phantom import volume_of
from training.familiar import measured
from training.recipe import Batch, Data
from training.train import Trained, prepared, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data"))


class Dark(LungsUNet):
    """Calls lung what is darker than -200 HU and no air, with some doubt at the border."""

    def forward(self, x: Tensor) -> Tensor:
        return 30.0 * (0.25 - (x - 0.36).abs())


def test_lungs_are_measured_as_the_network_finds_them(folder: Path) -> None:
    recipe, _ = prepared("lungs-unet", "tiny", SMALLER["lungs-unet"])
    found = measured(recipe.data(folder), recipe.card, Dark(width=1, levels=2))
    assert set(found) == {"aerated_hu", "noise_hu", "undecided"}
    card = replace(recipe.card, familiar=found)
    # The patients were drawn with 15 HU of noise and lungs of -850 HU.
    assert unfamiliar({"noise_hu": 15.0, "aerated_hu": -875.0, "undecided": 0.0}, card) == ()
    other = patient(500, lesion=True)
    assert unfamiliar(features(volume_of(other), other.lungs), card) == ()
    darker = volume_of(other, (other.hu - 250).astype(np.int16))
    assert [each.far for each in unfamiliar(features(darker, other.lungs), card)] == [True]


def test_a_triage_network_is_measured_in_the_true_lungs(folder: Path) -> None:
    recipe, _ = prepared("ct-triage", "tiny", SMALLER["ct-triage"])
    torch.manual_seed(1)
    network = MultitaskNet(width=1, levels=2, pyramid_hidden=1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = measured(recipe.data(folder), recipe.card, network)
    assert set(found) == {"aerated_hu", "noise_hu", "undecided"}
    assert found["undecided"][1] > 0.5, "a network of random weights has no answer"
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_few_patients_speak_for_many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, _ = prepared("ct-triage", "tiny", SMALLER["ct-triage"])
    network = MultitaskNet(width=1, levels=2, pyramid_hidden=1)
    every = measured(recipe.data(folder), recipe.card, network)
    monkeypatch.setattr(familiar, "PATIENTS", 4)
    some = measured(recipe.data(folder), recipe.card, network)
    assert set(some) == set(every)
    assert some["noise_hu"][1] <= every["noise_hu"][1]
    assert some["noise_hu"] == pytest.approx(every["noise_hu"], rel=0.1)


class Numbers:
    """Data that are no patients."""

    digest, description, synthetic = "0", "numbers", True

    def batch(self, rng: np.random.Generator) -> Batch:
        return {}

    def validation(self) -> list[Batch]:
        return []


def test_data_that_are_no_patients_make_nothing_familiar() -> None:
    data: Data = Numbers()
    recipe, _ = prepared("lungs-unet", "tiny", SMALLER["lungs-unet"])
    assert measured(data, recipe.card, LungsUNet(width=1, levels=2)) == {}


def without_ranges(bundle: Path) -> None:
    (bundle / CARD).write_text(replace(read_card(bundle), familiar={}).to_json(), encoding="utf-8")


def test_a_finished_training_that_is_opened_again_gets_its_ranges(folder: Path, tmp_path: Path) -> None:
    """One that ended before there were ranges is bundled anew, with the same weights."""

    def follow(*, resume: bool) -> Trained:
        return train(
            "ct-triage", scale="tiny", changes=SMALLER["ct-triage"], data=folder, out=tmp_path / "out", resume=resume
        )

    first = follow(resume=False).bundle
    assert first is not None
    card = read_card(first)
    ranges: Mapping[str, tuple[float, float]] = card.familiar
    assert set(ranges) == {"aerated_hu", "noise_hu", "undecided"}
    without_ranges(first)
    again = follow(resume=True).bundle
    assert again is not None
    assert read_card(again) == card
