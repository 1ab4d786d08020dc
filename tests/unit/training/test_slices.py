"""Recipes of networks that see slices or classify scans: their data, their losses, and a training from end to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.case import InputSpec, Kind, MaskPolicy
from models.predict import LungMasks, resolve
from models.reconstruction import ThreeTaskNet
from models.severity import LEFT, RIGHT
from models.volume_triage import DIAGNOSES
from tests.unit.models.chest import Drawn, draw
from tests.unit.training.small_patients import KINDS, written
from training.datasets.diagnoses import DIAGNOSIS, DiagnosedSeries
from training.datasets.slices import LabelledSlices, annotated
from training.datasets.stored import open_libraries
from training.diagnosis import BALANCED
from training.losses import edges_of, weighted_overlap
from training.recipes import reconstruction
from training.recipes.inf_net import ClippedAdam
from training.train import prepared, train

SPEC = InputSpec(kind=Kind.SLICES, pixel_mm=None, window_hu=(-1000.0, 200.0), plane=(64, 64))
LESION, PARENCHYMA = 700 / 1200, 150 / 1200  # of the window, at -300 and -850 HU


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data"))


def slices(folder: Path, **changes: object) -> LabelledSlices:
    train, held_out = open_libraries(folder)
    every = LabelledSlices(
        train=train, held_out=held_out, spec=SPEC, slices=12, shares=dict.fromkeys(KINDS, 1.0), annotated={"covid": 0.5}
    )
    return replace(every, **changes)  # type: ignore[arg-type]


def test_a_slice_comes_with_what_is_said_of_it(folder: Path) -> None:
    batch = slices(folder).batch(np.random.default_rng(1))
    assert batch["image"].shape == batch["lesions"].shape == (12, 1, 64, 64)
    assert batch["lungs"].shape == (12, 64, 64)
    covid = batch["covid"] == 1.0
    assert covid.any()
    assert torch.equal(covid, batch["diagnosis"] == DIAGNOSIS["covid"])
    said = ~torch.isnan(batch["lesions"]).flatten(1).all(dim=1)
    assert said[covid].any()
    assert not said[covid].all()  # one of the two patients is annotated
    assert not said[~covid].any()
    known = batch["lesions"] == 1.0
    assert batch["image"][known].mean() == pytest.approx(LESION, abs=0.1)  # edges are blurred
    right, left = (batch["lungs"] == side for side in (1, 2))
    columns = torch.arange(64.0)
    for of_right, of_left in zip(right, left, strict=True):
        assert columns[of_right.any(dim=0)].max() < columns[of_left.any(dim=0)].min()
    assert batch["image"][:, 0][left].mean() == pytest.approx(PARENCHYMA, abs=0.1)


def test_only_the_annotated_are_drawn_where_that_is_asked(folder: Path) -> None:
    batch = slices(folder, shares={"covid": 1.0}, told_only=True).batch(np.random.default_rng(2))
    assert (batch["lesions"] == 1.0).flatten(1).any(dim=1).all()
    library = open_libraries(folder)[0]
    assert annotated(library, "covid", 0.0) == []
    assert len(annotated(library, "covid", 0.01)) == 1
    assert annotated(library, "covid", 1.0) == [0, 4]


def test_a_scan_may_be_drawn_by_any_slice_with_lung(folder: Path) -> None:
    drawn = slices(folder, shares={"covid": 1.0}, annotated={"covid": 1.0}, lesions_first=False, slices=30)
    with_lesion = (drawn.batch(np.random.default_rng(3))["lesions"] == 1.0).flatten(1).any(dim=1)
    assert with_lesion.any()
    validated = list(drawn.validation())
    assert [len(case["image"]) for case in validated] == [1] * len(KINDS)
    assert (validated[0]["lesions"] == 1.0).any()


def test_series_come_with_lungs_and_a_diagnosis(folder: Path) -> None:
    train, held_out = open_libraries(folder)
    spec = replace(SPEC, kind=Kind.VOLUME, mask=MaskPolicy.CROP, depth=4)
    series = DiagnosedSeries(train=train, held_out=held_out, spec=spec, series=3, shares=BALANCED)
    batch = series.batch(np.random.default_rng(4))
    assert batch["sizes"][:, 0].max() <= 4
    assert len(batch["image"]) == len(batch["lungs"]) == int(batch["sizes"][:, 0].sum())
    assert set(batch["diagnosis"].tolist()) <= set(range(len(DIAGNOSES)))
    assert (batch["lungs"].flatten(1).sum(dim=1) > 0).all()
    again = series.batch(np.random.default_rng(4))
    assert torch.equal(batch["image"], again["image"])


def test_inf_nets_loss_weighs_borders_and_is_least_for_the_truth() -> None:
    mask = torch.zeros(2, 1, 64, 64)
    mask[:, :, 20:40, 24:50] = 1.0
    right, wrong = (weighted_overlap(scale * (mask - 0.5), mask) for scale in (40.0, -40.0))
    assert float(right) < 0.01 < 2.0 < float(wrong)
    missed = [mask.clone(), mask.clone()]
    missed[0][:, :, 28:32, 34:38] = 0.0  # in the middle of the lesion
    missed[1][:, :, 20:24, 24:28] = 0.0  # at its corner
    middle, corner = (float(weighted_overlap(40.0 * (m - 0.5), mask)) for m in missed)
    assert corner > middle
    edges = edges_of(mask)
    assert int(edges[0].sum()) == 2 * (20 + 26) - 4
    assert not (edges * (1.0 - mask)).any()


def test_gradients_are_clipped() -> None:
    weights = torch.nn.Parameter(torch.zeros(2))
    weights.grad = torch.tensor([3.0, -0.1])
    ClippedAdam([weights], lr=0.1).step()
    assert weights.grad.tolist() == pytest.approx([0.5, -0.1])


def test_the_papers_scales_have_the_papers_numbers() -> None:
    recipe, plan = prepared("reconstruction", "paper")
    assert (plan["plane"], plan["slices"], plan["lr"], plan["steps"]) == (256, 4, 1e-4, 500 * 844 // 4)
    assert recipe.card.outputs == ("lesions", "probability")
    assert prepared("reconstruction", "paper", ["tasks=T1T3"])[0].card.outputs == ("probability",)
    assert prepared("unet", "paper")[1]["steps"] == 500 * 13
    assert prepared("cnn8", "paper")[1]["steps"] == 1500 * 211
    covnet, plan = prepared("covnet", "paper")
    assert (plan["lr"], plan["weight_decay"], plan["series"]) == (1e-5, 0.1, 1)
    assert covnet.stages[0].groups[0].options == {"weight_decay": 0.1}
    assert prepared("decovnet", "paper")[1]["lr"] == 1e-5
    inf_net, plan = prepared("inf-net", "paper")
    assert (plan["plane"], plan["slices"], plan["lr"]) == (352, 24, 1e-4)
    assert [inf_net.stages[0].schedule(done) for done in (0.49, 0.51, 0.99)] == [1.0, 0.1, 0.1]


@pytest.mark.parametrize(("name", "decoders"), [("reconstruction", 2), ("unet", 1)])
def test_at_small_the_ends_of_decoders_learn_first_and_wide_levels_slowly(name: str, decoders: int) -> None:
    recipe, plan = prepared(name, "small", ["width=2"])
    network = ThreeTaskNet(**recipe.card.arguments)  # type: ignore[arg-type]  # what a card says
    names = [name for name, _ in network.named_parameters()]
    ends, every = recipe.stages
    learning = [name for name in names if name.startswith(ends.trainable)]
    assert (len(learning), {name.rpartition(".")[2] for name in learning}) == (decoders, {"bias"})
    assert ends.steps + every.steps == plan["ends_steps"] + plan["steps"] == prepared("cnn8", "small")[1]["steps"]

    def factor(parameter: str) -> float:
        return next(group.lr_factor for group in every.groups if parameter.startswith(group.prefix))

    assert [factor(f"encoder.blocks.{level}.0.weight") for level in range(5)] == [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16]
    assert [factor(f"segmentation.0.{part}.0.1.weight") for part in ("ups", "blocks")] == [1 / 16, 1 / 16]
    assert (factor("segmentation.3.weight"), factor("segmentation.1.weight")) == (20.0, 1.0)


def test_the_dice_of_amyar_is_soft_too() -> None:
    class Unsure(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logit = torch.nn.Parameter(torch.tensor(0.4))

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"lesions": self.logit.expand_as(x)}

    lesions = torch.zeros(1, 1, 4, 4)
    lesions[..., :1] = 1.0
    likely = float(torch.sigmoid(torch.tensor(0.4)))
    with torch.inference_mode():
        found = reconstruction.validate(Unsure(), [{"image": torch.zeros(1, 1, 4, 4), "lesions": lesions}])
    assert found["soft Dice"] == pytest.approx((2 * 4 * likely + 1) / (16 * likely + 4 + 1))
    assert found["lesion Dice"] == pytest.approx(2 * 4 / (16 + 4)), "of the mask at a half"


def chest() -> tuple[Drawn, LungMasks]:
    drawn = draw(slice_mm=40.0, pixel_mm=5.0)
    labels = np.where(drawn.right, np.uint8(RIGHT), np.where(drawn.left, np.uint8(LEFT), np.uint8(0)))
    return drawn, LungMasks(labels=labels, sides_by_size=False)


def test_a_scan_classifier_is_trained_and_serves(folder: Path, tmp_path: Path) -> None:
    changes = ["steps=2", "validate_every=2", "slice_mm=20"]
    trained = train("decovnet", scale="tiny", data=folder, out=tmp_path, changes=changes)
    assert set(trained.scores) == {"AUC", "accuracy"}
    drawn, lungs = chest()
    found = resolve(str(trained.bundle), "triage").triage(drawn.volume, lungs)
    assert found.class_probabilities is not None
    assert found.probability == found.class_probabilities["COVID-19"]
