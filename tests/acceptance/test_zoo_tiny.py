"""The zoo at the scale tiny, by the commands a researcher gives: every recipe trains the network of its paper on eight
drawn patients, which learns one batch by heart, and its bundle fills its role."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from models import catalogue, zoo
from models.bundle import load_bundle, read_card
from models.cards import Card
from models.predict import resolve
from models.severity import LEFT, RIGHT
from training.datasets.stored import TRAIN, VALIDATION, StoredPatient, store
from training.loop import BEST, LAST
from training.phantom.case import Patient
from training.phantom.library import reduced
from training.phantom.population import draw
from training.phantom.study import SMALL, WrittenStudy, small_study
from training.train import recipes
from triaged.cli import app

# Thick slices and large pixels: a patient is drawn in half a second.
SCAN = replace(SMALL, slices=16, slice_mm=15.5, rows=84, columns=96, pixel_mm=(4.0, 4.0))
FIRST_HELD_OUT = 103  # a patient with CAP, and one with COVID-19
# The share of the first loss that may be left: half, except for two that fall, and would halve in minutes only: a U-Net
# without norms, told by Dice alone, and Inf-Net, whose every map is normed to noise before it is added to the last.
HALF = 0.5
REMAINS = {"unet": 0.9, "inf-net": 0.85}
# One model of each paper reads a real study.
REAL = ("lesion-unet-plus", "covid-mtl", "unet", "deepsc-diagnosis")


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
def study(tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    return small_study(tmp_path_factory.mktemp("study"), seed=3, right=0.30, left=0.05)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Trains a recipe when it is asked for the first time; the folder with its bundle and its logs."""
    folder = tmp_path_factory.mktemp("zoo")

    @cache
    def train(name: str) -> Path:
        out = folder / name
        words = ["--scale", "tiny", "--data", str(data), "--out", str(out), "--device", "cpu", "--threads", "1"]
        said = printed("train", name, *words, "--tensorboard")
        assert said["bundle"] == str(out / "bundle")
        for checkpoint in (LAST, BEST):  # those of the whole zoo are gigabytes
            (out / checkpoint).unlink()
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
def test_a_recipe_learns_by_heart_and_serves(name: str, trained: Callable[[str], Path], study: WrittenStudy) -> None:
    out = trained(name)
    for stage, values in losses(out / "tensorboard").items():
        assert values[-1] < REMAINS.get(name, HALF) * values[0], f"{stage}: {values}"
    bundle = load_bundle(out / "bundle", zoo.architectures())
    sizes = {c.parameters for c in catalogue.item(bundle.card.number).configurations}
    assert sum(p.numel() for p in bundle.network.parameters()) in sizes, "the network of the paper"
    if "triage" in bundle.card.roles:
        assert_scores(study.folder, out / "bundle", bundle.card)
    if "lungs" in bundle.card.roles:
        labels = resolve(str(out / "bundle"), "lungs").lungs(study.volume).labels
        assert labels.shape == study.volume.shape
        assert set(np.unique(labels)) <= {0, RIGHT, LEFT}
    if name not in REAL:
        shutil.rmtree(out)


@pytest.mark.parametrize("name", REAL)
def test_one_model_of_each_paper_reads_a_real_study(
    name: str, trained: Callable[[str], Path], shared_data: Path
) -> None:
    """79 slices of 64 x 64."""
    bundle = trained(name) / "bundle"
    assert_scores(shared_data / "studies" / "cip-ct64", bundle, read_card(bundle))


def assert_scores(study: Path, bundle: Path, card: Card) -> None:
    """What the card promises is found, and nothing else."""
    (item,) = printed("score", str(study), "--model", str(bundle), "--device", "cpu")
    assert item["state"] == "analysed", item["reason"]
    assert item["model"].endswith(f"{card.name} {card.version}")
    assert (item["affected_percent"] is not None) == ("lesions" in card.outputs)
    assert (item["covid_probability"] is not None) == ("probability" in card.outputs)
