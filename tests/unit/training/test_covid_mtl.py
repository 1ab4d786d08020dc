"""The recipes of COVID-MTL: the paper's numbers, what each ablation switches, the transfer, the features. That each of
them learns a batch by heart and serves: tests/acceptance/test_zoo_tiny.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import zoo
from models.bundle import load_bundle, read_card, read_tensors
from models.covid_mtl import CovidMTL, Shift3D
from models.predict import LungMasks, resolve
from models.prepare import prepare
from models.volume_triage import SEVERITIES
from tests.unit.training.small_patients import patient, written
from training.covid_mtl import FLOOR, MEAN_AUC, floored_cosine, loss, validate
from training.datasets.phantom import volume_of
from training.datasets.stored import TRAIN, VALIDATION, store
from training.loop import BEST
from training.recipe import Recipe
from training.train import prepared, train

NAMES = ["covid-mtl", "covid-mtl-transfer", "resnet3d", "shiftnet3d", "squeezenet3d"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data"))


def network_of(recipe: Recipe) -> nn.Module:
    torch.manual_seed(0)
    return zoo.architectures()[recipe.card.architecture].network(**recipe.card.arguments)


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_scale_has_the_papers_numbers(name: str) -> None:
    recipe, plan = prepared(name, "paper")
    assert (plan["steps"], plan["volumes"], plan["augment"]) == (7_440, 10, True)  # 80 epochs of 930 patients
    for stage in recipe.stages:
        rates = [stage.lr * stage.schedule(done) for done in (0.0, 0.5, 0.9999)]
        assert rates == pytest.approx([5e-3, 2.5e-3, 5e-5], rel=1e-6)
        sgd = stage.optimizer([nn.Parameter(torch.zeros(1))], lr=stage.lr)
        assert isinstance(sgd, torch.optim.SGD)
        assert (sgd.defaults["momentum"], sgd.defaults["nesterov"], sgd.defaults["weight_decay"]) == (0.9, True, 5e-5)
    spec = recipe.card.input
    assert spec is not None
    assert (spec.size, spec.pixel_mm, spec.slice_mm) == ((200, 250, 250), 1.0, 1.0)
    small = prepared(name, "small")[0].card.input
    assert small is not None
    assert small.size == (64, 80, 80)
    # The same 200 x 250 x 250 mm.
    assert (64 * (small.slice_mm or 0.0), 80 * (small.pixel_mm or 0.0)) == (200.0, 250.0)


def test_the_rate_never_falls_below_its_floor() -> None:
    rates = [floored_cosine(done / 100) for done in range(100)]
    assert rates == sorted(rates, reverse=True)
    assert min(rates) == FLOOR


def test_ablations_switch_what_they_name() -> None:
    random, _ = prepared("covid-mtl", "tiny")
    assert random.card.arguments["shift"] is True
    with torch.device("meta"):
        still = network_of(prepared("covid-mtl", "tiny", ["shift=false"])[0])
        shifting = network_of(prepared("shiftnet3d", "tiny")[0])
        assert not any(isinstance(m, Shift3D) for m in still.modules())
        assert any(isinstance(m, Shift3D) for m in shifting.modules())
    task, _ = prepared("squeezenet3d", "tiny", ["task=severity"])
    assert task.card.classes == {"severity": SEVERITIES}
    assert (task.card.outputs, task.card.arguments) == (("class_probabilities",), {"classes": 3})


class Fixed(nn.Module):
    """Answers that do not depend on the volumes."""

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.tensor([0.0, 1.0]))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"CT": x[:, :2], "severity": x[:, :3]}


def test_losses_are_weighted_as_asked() -> None:
    batch = {"image": torch.tensor([[1.0, 0.0, 0.5], [0.0, 2.0, 1.0]]), "CT": torch.tensor([0, 1])}
    batch["severity"] = torch.tensor([2, -1])
    network, tasks = Fixed(), ["CT", "severity"]
    ct = (np.log1p(np.exp(-1.0)) + np.log1p(np.exp(-2.0))) / 2.0
    severity = np.log(np.exp([1.0, 0.0, 0.5]).sum()) - 0.5
    said = {w: loss(network, batch, tasks=tasks, weighting=w) for w in ("mean", "uncertainty", "random")}  # type: ignore[arg-type]
    mean = {task: float(value.detach()) for task, value in said["mean"].items()}
    assert mean == pytest.approx({"CT": ct / 2.0, "severity": severity / 2.0})
    uncertain = {task: float(value.detach()) for task, value in said["uncertainty"].items()}
    assert uncertain == pytest.approx({"CT": ct / 2.0, "severity": (severity / np.e + 0.5) / 2.0})
    shares = [float(said["random"][task].detach()) / value for task, value in (("CT", ct), ("severity", severity))]
    assert sum(shares) == pytest.approx(1.0)


def test_the_uncertainty_loss_is_learned_without_decay() -> None:
    recipe, _ = prepared("covid-mtl", "tiny", ["weighting=uncertainty"])
    with torch.device("meta"):
        network = network_of(recipe)
    assert isinstance(network, CovidMTL)
    assert network.log_variance is not None
    group = next(g for g in recipe.stages[0].groups if "log_variance".startswith(g.prefix))
    assert group.options == {"weight_decay": 0.0}


def test_validation_names_every_task_and_their_mean() -> None:
    cases = [
        {"image": torch.tensor([row]), "CT": torch.tensor([ct]), "severity": torch.tensor([severity])}
        for row, ct, severity in (([1.0, 0.0, 0.0], 0, 0), ([0.0, 1.0, 0.0], 1, 1), ([0.0, 0.5, 2.0], 0, 2))
    ]
    found = validate(Fixed(), cases, tasks=["CT", "severity"])
    assert found == pytest.approx({"CT AUC": 1.0, "severity AUC": 1.0, MEAN_AUC: 1.0})


def test_the_transfer_learns_its_new_layer_and_nothing_else(data: Path, tmp_path: Path) -> None:
    """Running means of the frozen trunk included."""
    kept: list[dict[str, Tensor]] = []

    def watch(progress: object) -> None:
        stage = getattr(progress, "stage", "")
        if stage == "severity" and not kept:
            kept.append(checkpoint_of(tmp_path / BEST))

    def checkpoint_of(path: Path) -> dict[str, Tensor]:
        from safetensors.torch import load_file

        return {n.removeprefix("network/"): t for n, t in load_file(path).items()}

    changes = ["steps=2", "transfer_steps=2", "validate_every=2", "weighting=uncertainty"]
    done = train("covid-mtl-transfer", scale="tiny", data=data, out=tmp_path, changes=changes, watch=watch)
    assert done.bundle is not None
    assert {"CT AUC", "NAT AUC", "severity AUC", "diagnosis AUC"} <= set(done.scores)
    (before,), after = kept, read_tensors(done.bundle)
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed == {"severity.weight", "severity.bias"}
    assert float(before["trunk.1.num_batches_tracked"]) == 2


def test_features_are_measured_scaled_kept_and_served(tmp_path: Path) -> None:
    for name, first in ((TRAIN, 0), (VALIDATION, 100)):
        few = [("covid", patient(first, lesion=True)), ("normal", patient(first + 1, lesion=False))]
        store(tmp_path / name, few, "two tiny patients")
    changes = ["features=true", "steps=2", "validate_every=2", "volumes=2"]
    done = train("covid-mtl", scale="tiny", data=tmp_path, out=tmp_path / "out", changes=changes)
    assert done.bundle is not None
    card, tensors = read_card(done.bundle), read_tensors(done.bundle)
    assert card.arguments["features"] == 375
    assert card.input is not None
    assert card.input.features_mm == 6.0
    kept = sorted((tmp_path / TRAIN).glob("radiomics-*-6mm/*.npy"))
    table = np.stack([np.load(path, allow_pickle=False) for path in kept])
    assert table.shape == (2, 375)
    np.testing.assert_array_equal(tensors["feature_low"].numpy(), table.min(axis=0))
    np.testing.assert_array_equal(tensors["feature_high"].numpy(), table.max(axis=0))

    seen = patient(0, lesion=True)
    labels = np.where(seen.lungs, np.uint8(1), np.uint8(0))
    masks = LungMasks(labels=labels, sides_by_size=False)
    found = resolve(str(done.bundle), "triage").triage(volume_of(seen), masks)
    assert found.probability is not None
    image = torch.from_numpy(prepare(volume_of(seen), card.input, seen.lungs).image)[None, None]
    network = load_bundle(done.bundle, zoo.architectures()).network
    with torch.inference_mode():
        expected = torch.softmax(network(image, torch.from_numpy(table[:1]))["NAT"], dim=1)[0, 1]
    assert found.probability == pytest.approx(float(expected), rel=1e-4)
