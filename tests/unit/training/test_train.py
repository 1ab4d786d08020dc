"""From a recipe's name to a bundle that serves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import zoo
from models.bundle import TENSORS, BundleError, load_bundle, read_card, read_tensors
from models.pipeline import Pipeline
from models.predict import resolve
from tests.unit.models.chest import Chest, draw
from tests.unit.training.small_patients import SMALLER, written
from training.datasets.stored import DataError
from training.loop import Progress, TrainingError
from training.team import ALONE
from training.train import Trained, manifest, prepared, recipes, train

NAMES = ["ct-triage", "lungs-unet"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    folder = tmp_path_factory.mktemp("trained")
    return {name: quick(name, data, folder / name) for name in NAMES}


def quick(name: str, data: Path, out: Path, *changes: str, **options: Any) -> Trained:
    return train(name, scale="tiny", data=data, out=out, changes=[*SMALLER[name], *changes], **options)


def test_every_recipe_is_known_by_its_file() -> None:
    assert set(NAMES) < set(recipes())


@pytest.mark.parametrize("name", NAMES)
def test_every_scale_builds_the_network_its_card_describes(name: str) -> None:
    for scale in ("paper", "shipped", "small", "tiny"):
        recipe, plan = prepared(name, scale)
        card = recipe.card
        assert plan == json.loads(json.dumps(plan))
        assert (card.name == name) == (scale == "shipped")
        with torch.device("meta"):
            assert zoo.architectures()[card.architecture].network(**card.arguments)


def test_the_papers_scales_have_the_papers_numbers() -> None:
    lungs, plan = prepared("lungs-unet", "paper")
    assert (plan["steps"], plan["slices"], plan["augment"], plan["dice"]) == (16_000, 30, False, False)
    stage = lungs.stages[0]
    rates = [stage.lr * stage.schedule(step / stage.steps) for step in (0, 7_999, 8_000, 15_999)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    triage, plan = prepared("ct-triage", "paper")
    assert (plan["steps"], plan["series"], plan["lr"], plan["depth"]) == (60_000, 5, 1e-4, 32)
    assert triage.stages[0].schedule(0.9) == 1.0
    assert triage.card.thresholds == {"lesion": 0.2}


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_says_what_it_is_and_what_it_is_worth(name: str, trained: dict[str, Trained]) -> None:
    bundle = trained[name].bundle
    assert bundle is not None
    card = read_card(bundle)
    assert card.synthetic
    assert card.training_data == "6 tiny patients; chosen on 6 other tiny patients"
    select = prepared(name, "tiny", SMALLER[name])[0].select
    assert card.scores[select] == pytest.approx(trained[name].scores[select], abs=1e-4)
    said = json.loads((bundle / "manifest.json").read_text())
    assert (said["recipe"], said["scale"], said["plan"]["steps"]) == (name, "tiny", 8)
    assert set(said["versions"]) >= {"python", "torch", "numpy"}
    assert len(said["data"]["digest"]) == 129


def test_trained_bundles_serve_through_the_pipeline(trained: dict[str, Trained]) -> None:
    """Eight steps teach no lungs, so the classical ones stand in front of the trained triage; the trained lungs must
    answer on the volume's own grid."""
    volume = draw(Chest(trachea=False)).volume
    lungs, triage = trained["lungs-unet"].bundle, trained["ct-triage"].bundle
    found = Pipeline(triage=str(triage)).run(volume)
    assert found.probability is not None
    assert 0.0 < found.probability < 1.0
    assert found.lesions is not None
    assert found.lesions.shape == volume.shape
    identity = found.identities[1]
    assert (identity.name, identity.synthetic) == ("ct-triage-tiny", True)
    labels = resolve(str(lungs), "lungs").lungs(volume).labels
    assert labels.shape == volume.shape
    assert labels.dtype == np.uint8


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_with_a_changed_byte_is_refused(name: str, trained: dict[str, Trained], tmp_path: Path) -> None:
    bundle = trained[name].bundle
    assert bundle is not None
    for path in bundle.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = bytearray((tmp_path / TENSORS).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / TENSORS).write_bytes(content)
    for read in (lambda: load_bundle(tmp_path, zoo.architectures()), lambda: read_tensors(tmp_path)):
        with pytest.raises(BundleError, match="sha256"):
            read()


@pytest.mark.parametrize("name", NAMES)
def test_a_second_training_gives_the_same_bundle(
    name: str, data: Path, tmp_path: Path, trained: dict[str, Trained]
) -> None:
    again = quick(name, data, tmp_path)
    first = trained[name].bundle
    assert first is not None
    assert again.bundle is not None
    assert read_card(again.bundle) == read_card(first)  # its sha256 included


def after(steps: int) -> Callable[[], bool]:
    asked = iter(range(1, 100))
    return lambda: next(asked) >= steps


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_training_gives_the_same_bundle(
    name: str, data: Path, tmp_path: Path, trained: dict[str, Trained]
) -> None:
    cut = quick(name, data, tmp_path, stop=after(5))
    assert cut.bundle is None
    resumed = quick(name, data, tmp_path, resume=True)
    first = trained[name].bundle
    assert resumed.bundle is not None
    assert first is not None
    assert read_card(resumed.bundle).sha256 == read_card(first).sha256


def test_a_manifest_keeps_who_trained_and_adds_who_goes_on(data: Path, tmp_path: Path) -> None:
    """A training may be resumed, or its bundle be written, at a later commit than the one that trained."""
    own, bundle = tmp_path / "manifest.json", tmp_path / "bundle" / "manifest.json"

    def trained_at(commit: str) -> Any:
        said = {**json.loads(own.read_text()), "commit": commit}
        own.write_text(json.dumps(said))
        return said

    quick("lungs-unet", data, tmp_path, stop=after(5))
    begun = trained_at("another")
    quick("lungs-unet", data, tmp_path, resume=True)
    said = json.loads(bundle.read_text())
    assert said == json.loads(own.read_text()) == {**begun, "continued": said["continued"]}
    (later,) = said["continued"]
    assert (later["stage"], later["step"]) == (0, 5)
    assert later["commit"] != "another"
    finished = trained_at("a third one")
    quick("lungs-unet", data, tmp_path, resume=True)
    assert json.loads(bundle.read_text()) == json.loads(own.read_text()) == finished


def test_a_training_is_not_overwritten_nor_resumed_as_another(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no training to resume"):
        quick("lungs-unet", data, tmp_path, resume=True)
    quick("lungs-unet", data, tmp_path, stop=after(1))
    with pytest.raises(TrainingError, match="holds a training"):
        quick("lungs-unet", data, tmp_path)
    with pytest.raises(TrainingError, match="the plan was"):
        quick("lungs-unet", data, tmp_path, "lr=0.5", resume=True)
    again = partial(
        train, "lungs-unet", scale="tiny", data=data, out=tmp_path, changes=SMALLER["lungs-unet"], resume=True
    )
    with pytest.raises(TrainingError, match="the accumulate was 1 and is 2"):
        again(accumulate=2)
    with pytest.raises(TrainingError, match="the precision was float32 and is bfloat16"):
        again(precision="bfloat16")
    with pytest.raises(TrainingError, match="no precision half; there are float32, bfloat16"):
        train("lungs-unet", scale="tiny", data=data, out=tmp_path / "other", precision="half")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("widht=3", "with a key of steps, .*, width"),
        ("width", "is not key=value"),
        ("width=broad", "width: Input should be a valid integer"),
        ("schedule=linear", "schedule"),
    ],
)
def test_a_mistaken_change_is_refused_in_words(change: str, words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        prepared("lungs-unet", "tiny", [change])


def test_changes_reach_the_plan_in_their_own_type() -> None:
    recipe, plan = prepared("lungs-unet", "tiny", ["width=3", "lr=0.5", "dice=false"])
    assert (plan["width"], plan["lr"], plan["dice"]) == (3, 0.5, False)
    assert recipe.card.arguments["width"] == 3


def test_unknown_names_are_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no recipe covid-net; there are cnn8, .*, lungs-unet"):
        prepared("covid-net", "tiny")
    with pytest.raises(TrainingError, match="paper, shipped, small, tiny"):
        prepared("lungs-unet", "huge")
    with pytest.raises(DataError, match="no patients"):
        train("lungs-unet", scale="tiny", data=tmp_path, out=tmp_path / "out")


def test_a_manifest_is_plain_and_names_no_place(data: Path) -> None:
    recipe, plan = prepared("lungs-unet", "tiny")
    said = json.dumps(manifest("lungs-unet", "tiny", plan, recipe.data(data), ALONE))
    assert str(data) not in said
    assert str(Path.home()) + "/" not in said


@pytest.mark.parametrize("name", NAMES)
def test_one_batch_can_be_learned_by_heart(name: str, data: Path) -> None:
    """What does not overfit a fixed batch cannot learn."""
    recipe, _ = prepared(name, "tiny", [*SMALLER[name], "width=4", "lr=0.01"])
    torch.manual_seed(0)
    network = zoo.architectures()[recipe.card.architecture].network(**recipe.card.arguments)
    stage = recipe.stages[0]
    batch = recipe.data(data).batch(np.random.default_rng(5))
    optimizer = stage.optimizer(network.parameters(), lr=stage.lr)
    values = []
    for _ in range(60):
        total = torch.stack(list(stage.loss(network, batch).values())).sum()
        values.append(float(total.detach()))
        optimizer.zero_grad()
        torch.autograd.backward([total])
        optimizer.step()
    assert values[-1] < 0.5 * values[0]


def test_whoever_watches_sees_every_step(data: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    quick("ct-triage", data, tmp_path, watch=seen.append)
    assert [p.step for p in seen] == list(range(1, 9))
    assert [p.step for p in seen if p.scores] == [4, 8]
    assert {"lesion cross-entropy", "series cross-entropy", "lesion Dice"} == set(seen[0].losses)
    assert {f.name for f in fields(Progress)} == {"stage", "step", "steps", "losses", "scores"}
