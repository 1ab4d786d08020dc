"""`triaged train thresholding`: the thresholds of model 32, searched for as CT triage did, in a bundle that serves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.bundle import read_card
from models.predict import LungMasks, ThresholdTriage, resolve
from models.thresholding import Thresholding, lesions
from tests.unit.training.small_patients import patient, written
from training import thresholds
from training.datasets.phantom import volume_of
from training.datasets.stored import TRAIN, VALIDATION, StoredPatient, store
from training.scores import dice
from training.thresholds import Plan, _of_grid, search, settings
from triaged.cli import app


def speckled(seed: int) -> StoredPatient:
    """A lesion, dense vessels that a narrow blur takes for lesions, and noise."""
    made = patient(seed, lesion=True, rows=64, columns=80)
    rng = np.random.default_rng(seed)
    vessels = made.lungs & (rng.random(made.hu.shape) < 0.2)
    return replace(made, hu=np.where(vessels, -100, made.hu).astype(np.int16))


def test_a_grid_is_scored_as_every_setting_of_it_would_serve() -> None:
    one = speckled(1)
    grid = settings(Plan(coarse=True))
    truth = one.lesions & one.lungs
    assert len(grid) == 8
    assert len(settings(Plan())) == 240
    assert Thresholding() in settings(Plan()), "the paper's are tried"
    expected = [dice(lesions(volume_of(one), one.lungs, setting), truth) for setting in grid]
    assert list(_of_grid(one, grid)) == pytest.approx(expected)
    assert len({round(value, 6) for value in expected}) > 2


def test_the_best_mean_over_patients_is_taken() -> None:
    some = [speckled(seed) for seed in (1, 2, 3)]
    plan = Plan(coarse=True)
    found, reached = search(list(some), plan)
    means = np.mean([_of_grid(one, settings(plan)) for one in some], axis=0)
    assert reached == pytest.approx(means.max())
    assert found == settings(plan)[int(means.argmax())]


def test_the_command_writes_a_bundle_that_serves_by_its_own_thresholds(tmp_path: Path) -> None:
    data, out = written(tmp_path / "data"), tmp_path / "out"
    words = ["train", "thresholding", "--scale", "tiny", "--data", str(data), "--out", str(out)]
    ran = CliRunner().invoke(app, [*words, "--json"])
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    card = read_card(Path(said["bundle"]))
    assert card.number == 32
    assert card.synthetic
    assert said["scores"]["lesion Dice"] == pytest.approx(card.scores["lesion Dice"], abs=1e-4)
    predictor = resolve(said["bundle"], "triage")
    assert isinstance(predictor, ThresholdTriage)
    one = patient(100, lesion=True)
    masks = LungMasks(labels=one.lungs.astype(np.uint8), sides_by_size=False)
    expected = lesions(volume_of(one), one.lungs, Thresholding.of(card.thresholds))
    np.testing.assert_array_equal(predictor.triage(volume_of(one), masks).lesions, expected)
    assert json.loads((out / "manifest.json").read_text())["recipe"] == "thresholding"
    assert CliRunner().invoke(app, words).exit_code == 1, "never over an earlier training"


def test_other_thresholds_find_other_lesions() -> None:
    one = speckled(4)
    masks = LungMasks(labels=one.lungs.astype(np.uint8), sides_by_size=False)
    card = resolve("thresholding", "triage").card
    narrow = replace(card, thresholds={**card.thresholds, "sigma": 1.0, "V min": 0.0})
    sizes = [int(np.sum(ThresholdTriage(card=c).triage(volume_of(one), masks).lesions)) for c in (card, narrow)]
    assert sizes[0] != sizes[1]
    assert Thresholding.of(card.thresholds) == Thresholding()


def test_where_nobody_has_lesions_there_is_nothing_to_search_on(tmp_path: Path) -> None:
    for part, seed in ((TRAIN, 0), (VALIDATION, 9)):
        store(tmp_path / part, [("normal", patient(seed, lesion=False))], part)
    ran = CliRunner().invoke(
        app, ["train", "thresholding", "--scale", "tiny", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    )
    assert ran.exit_code == 1
    assert "nobody's lesions are known" in ran.stderr
    assert set(thresholds.SCALES) == {"paper", "small", "tiny"}
