"""The zoo at the scale tiny, by the commands a researcher gives: every recipe trains the network of its paper on eight
drawn patients, which learns one batch by heart; forests are fitted on their features; and every bundle fills its role:
each that may triage gives its findings on a real study."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from models import catalogue, zoo
from models.bundle import load_bundle
from models.cards import Card
from models.forest import load_forest
from models.predict import resolve
from models.severity import LEFT, RIGHT
from training.datasets.measured import GRIDS_MM
from training.datasets.stored import TRAIN, VALIDATION, StoredPatient, store
from training.loop import BEST, LAST
from training.phantom.case import Patient
from training.phantom.library import reduced
from training.phantom.population import draw
from training.phantom.study import SMALL, WrittenStudy, small_study
from training.train import recipes
from training.trees import METHODS
from triaged.cli import app

# Thick slices and large pixels: a patient is drawn in half a second.
SCAN = replace(SMALL, slices=16, slice_mm=15.5, rows=84, columns=96, pixel_mm=(4.0, 4.0))
FIRST_HELD_OUT = 103  # a patient with CAP, and one with COVID-19
HALF = 0.5  # of the first loss
STUDY = "cip-ct64"  # 79 slices of 64 x 64: the smallest of the real ones


def patients(first: int, count: int) -> Iterator[tuple[str, StoredPatient]]:
    for seed in range(first, first + count):
        drawn = draw(seed)
        yield drawn.label.value, reduced(Patient(drawn.phantom).scan(SCAN))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patients")
    store(folder / TRAIN, patients(0, 8), "eight drawn patients")
    store(folder / VALIDATION, patients(FIRST_HELD_OUT, 2), "two others")
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    return small_study(tmp_path_factory.mktemp("study"), seed=3, right=0.30, left=0.05)


@pytest.fixture(scope="module")
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every bundle is to read: every second slice of a real study; a drawn one where there is none."""
    try:
        whole: Path = request.getfixturevalue("shared_data") / "studies" / STUDY
    except pytest.skip.Exception:
        return Path(request.getfixturevalue("drawn").folder)
    folder = tmp_path_factory.mktemp(STUDY)
    for path in sorted(whole.iterdir(), key=_height_mm)[::2]:
        (folder / path.name).symlink_to(path)
    return folder


def _height_mm(path: Path) -> float:
    return float(dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Path]]:
    """Trains what is named, with changes of its plan; the folder with its bundle and its logs."""
    folder = tmp_path_factory.mktemp("zoo")

    def train(name: str, *changes: str) -> Path:
        out = folder / name
        words = ["--scale", "tiny", "--data", str(data), "--out", str(out), "--device", "cpu", "--threads", "1"]
        said = printed("train", name, *words, *(f"--set={change}" for change in changes), "--tensorboard")
        assert said["bundle"] == str(out / "bundle")
        for checkpoint in (LAST, BEST):  # those of the whole zoo are gigabytes
            (out / checkpoint).unlink(missing_ok=True)
        return out

    yield train
    shutil.rmtree(folder)


def printed(*words: str) -> Any:
    """What a command prints as JSON."""
    ran = CliRunner().invoke(app, [*words, "--json"])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def losses(logs: Path) -> Mapping[str, list[float]]:
    """The loss of every step by stage, from the logs for TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(logs), size_guidance={"scalars": 0}).Reload()
    found: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for tag in log.Tags()["scalars"]:
        stage, kind, _ = tag.split("/", maxsplit=2)
        if kind == "loss":
            for event in log.Scalars(tag):
                found[stage][event.step] += event.value
    return {stage: [steps[step] for step in sorted(steps)] for stage, steps in found.items()}


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_learns_by_heart_and_serves(
    name: str, trained: Callable[..., Path], study: Path, request: pytest.FixtureRequest
) -> None:
    out = trained(name)
    for stage, values in losses(out / "tensorboard").items():
        assert values[-1] < HALF * values[0], f"{stage}: {values}"
    bundle = load_bundle(out / "bundle", zoo.architectures())
    sizes = {c.parameters for c in catalogue.item(bundle.card.number).configurations}
    assert sum(p.numel() for p in bundle.network.parameters()) in sizes, "the network of the paper"
    if "triage" in bundle.card.roles:
        assert_scores(study, out / "bundle", bundle.card)
    if "lungs" in bundle.card.roles:
        volume = request.getfixturevalue("drawn").volume
        labels = resolve(str(out / "bundle"), "lungs").lungs(volume).labels
        assert labels.shape == volume.shape
        assert set(np.unique(labels)) <= {0, RIGHT, LEFT}
    shutil.rmtree(out)


@pytest.mark.parametrize("name", METHODS)
def test_a_forest_is_fitted_on_coarse_features_and_serves(name: str, trained: Callable[..., Path], study: Path) -> None:
    if name == "lightgbm":
        pytest.importorskip("lightgbm", reason="LightGBM comes with the train extra")
    bundle = trained(name, "task=NAT") / "bundle"  # of CAP and COVID-19, both are positive for the task CT
    forest = load_forest(bundle)
    assert forest.grid_mm == GRIDS_MM["tiny"]
    assert_scores(study, bundle, forest.card)


def test_what_was_read_was_a_real_study(study: Path, shared_data: Path) -> None:
    """Skipped where there is none: the bundles then read a drawn one."""
    real = (shared_data / "studies" / STUDY).resolve()
    assert {path.resolve().parent for path in study.iterdir()} == {real}


def assert_scores(study: Path, bundle: Path, card: Card) -> None:
    """What the card promises is found, and nothing else."""
    (item,) = printed("score", str(study), "--model", str(bundle), "--device", "cpu")
    assert item["state"] == "analysed", item["reason"]
    assert item["model"].endswith(f"{card.name} {card.version}")
    assert (item["affected_percent"] is not None) == ("lesions" in card.outputs)
    assert (item["covid_probability"] is not None) == ("probability" in card.outputs)
