"""The scale `paper` of every recipe, against the facts of its paper or of the code its authors published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from models.case import Kind
from training.train import prepared, recipes

DEEPSC_HU, CT_TRIAGE_HU, PICTURES_HU = (-1400.0, 200.0), (-1000.0, 300.0), (-1350.0, 150.0)
SCANS, MARKED = 1353, 1000  # DeepSC-COVID's training scans, and those of them with lesions

# name: steps of each stage, samples of a step, learning rates, optimiser, window (where the paper or its code says so)
FACTS: Mapping[
    str, tuple[tuple[int, ...], int, tuple[float, ...], type[torch.optim.Optimizer], tuple[float, float]]
] = {
    "lungs-unet": ((16_000,), 30, (1e-3,), torch.optim.Adam, CT_TRIAGE_HU),
    "lesion-unet": ((30_000,), 30, (1e-4,), torch.optim.Adam, CT_TRIAGE_HU),
    "lesion-unet-plus": ((30_000,), 30, (1e-4,), torch.optim.Adam, CT_TRIAGE_HU),
    "lesion-unet-3d": ((10_000,), 16, (0.01,), torch.optim.SGD, CT_TRIAGE_HU),
    "slice-pool": ((60_000,), 5, (1e-4,), torch.optim.Adam, CT_TRIAGE_HU),
    "ct-triage": ((60_000,), 5, (1e-4,), torch.optim.Adam, CT_TRIAGE_HU),
    "resnet3d": ((80 * 93,), 10, (5e-3,), torch.optim.SGD, (-1024.0, 976.0)),
    "squeezenet3d": ((80 * 93,), 10, (5e-3,), torch.optim.SGD, (-1024.0, 976.0)),
    "shiftnet3d": ((80 * 93,), 10, (5e-3,), torch.optim.SGD, (-1024.0, 976.0)),
    "covid-mtl": ((80 * 93,), 10, (5e-3,), torch.optim.SGD, (-1024.0, 976.0)),
    "covid-mtl-transfer": ((80 * 93, 50 * 93), 10, (5e-3, 5e-3), torch.optim.SGD, (-1024.0, 976.0)),
    "reconstruction": ((500 * 211,), 4, (1e-4,), torch.optim.Adam, PICTURES_HU),
    "unet": ((500 * 13,), 4, (1e-4,), torch.optim.Adam, PICTURES_HU),
    "cnn8": ((1500 * 211,), 4, (1e-4,), torch.optim.Adam, PICTURES_HU),
    "r231": ((16_000,), 30, (1e-3,), torch.optim.Adam, (-1024.0, 600.0)),
    "deepsc": ((100 * SCANS, 50 * SCANS), 1, (1e-3, 1e-4), torch.optim.Adam, DEEPSC_HU),
    "deepsc-lesions": ((100 * SCANS,), 1, (1e-3,), torch.optim.Adam, DEEPSC_HU),
    "deepsc-diagnosis": ((100 * SCANS,), 1, (1e-3,), torch.optim.Adam, DEEPSC_HU),
    "unetpp": ((100 * MARKED // 8,), 8, (3e-4,), torch.optim.Adam, DEEPSC_HU),
    "unetpp-l1": ((100 * MARKED // 8,), 8, (3e-4,), torch.optim.Adam, DEEPSC_HU),
    "densevnet": ((30_000,), 2, (1e-3,), torch.optim.Adam, DEEPSC_HU),
    "coplenet": ((80 * MARKED // 8,), 8, (1e-4,), torch.optim.Adam, (-1400.0, 100.0)),
    "fss": ((100 * MARKED // 8,), 8, (1e-4,), torch.optim.Adam, DEEPSC_HU),
    "resnet50": ((30 * (SCANS * 254 // 32),), 32, (1e-4,), torch.optim.Adam, DEEPSC_HU),
    "resnet50-3d": ((100 * (SCANS // 2),), 2, (1e-4,), torch.optim.Adam, DEEPSC_HU),
    "covnet": ((50 * SCANS,), 1, (1e-5,), torch.optim.Adam, (-1250.0, 250.0)),
    "decovnet": ((300 * SCANS,), 1, (1e-5,), torch.optim.Adam, (-1200.0, 600.0)),
    "inf-net": ((100 * 3 * 2,), 24, (1e-4,), torch.optim.Adam, PICTURES_HU),
}
SAMPLES = ("series", "scans", "volumes", "boxes", "slices")  # what a plan calls them, the whole before its parts


def test_every_recipe_is_held_against_its_paper() -> None:
    assert set(recipes()) == set(FACTS)


@pytest.mark.parametrize("name", FACTS)
def test_the_scale_paper_is_the_papers(name: str) -> None:
    steps, samples, rates, optimizer, window = FACTS[name]
    recipe, plan = prepared(name, "paper")
    assert tuple(stage.steps for stage in recipe.stages) == steps
    assert tuple(stage.lr for stage in recipe.stages) == rates
    assert next(plan[key] for key in SAMPLES if key in plan) == samples
    weight = torch.nn.Parameter(torch.zeros(1))
    made: Any = recipe.stages[0].optimizer([{"params": [weight]}], lr=1.0)
    assert isinstance(made, optimizer)
    assert recipe.card.input is not None
    assert recipe.card.input.window_hu == window
    if optimizer is torch.optim.SGD and name != "lesion-unet-3d":
        group = made.param_groups[0]
        assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 5e-5)
        assert recipe.stages[0].schedule(0.999) == pytest.approx(0.01), "the floor of its cosine"
    if name == "lesion-unet-3d":
        assert made.param_groups[0]["momentum"] == 0.0, "plain"
    if name == "lungs-unet":
        assert [recipe.stages[0].schedule(done) for done in (0.0, 0.49, 0.5)] == [1.0, 1.0, 0.1]


def test_what_scores_slices_says_in_its_card_how_they_become_a_study() -> None:
    cards = [prepared(name, "paper")[0].card for name in recipes()]
    scoring = [c for c in cards if c.input and c.input.kind is Kind.SLICES and "probability" in c.outputs]
    assert {card.number for card in scoring} == {14, 16, 26}
    assert all(card.input is not None and card.input.aggregator is not None for card in scoring)
