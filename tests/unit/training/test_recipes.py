"""Every recipe of the folder: what it names exists, and is the network of the paper at every scale but `shipped`."""

from __future__ import annotations

import json

import pytest
import torch

from models import catalogue, zoo
from tests.unit.models.zoo_samples import SAMPLES
from training.train import prepared, recipes

SCALES = ("paper", "small", "tiny")


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_trains_the_network_of_its_paper(name: str) -> None:
    for scale in SCALES:
        recipe, plan = prepared(name, scale)
        card = recipe.card
        assert plan == json.loads(json.dumps(plan)), "a plan goes into the manifest"
        item = catalogue.item(card.number)
        assert item.name == name
        assert set(card.roles) <= set(item.roles)
        assert card.architecture in {c.architecture for c in item.configurations}
        if SAMPLES[card.architecture].needs:
            pytest.importorskip(SAMPLES[card.architecture].needs)
        with torch.device("meta"):
            network = zoo.architectures()[card.architecture].network(**card.arguments)
        assert sum(p.numel() for p in network.parameters()) in {c.parameters for c in item.configurations}


def test_the_shipped_second_head_learns_at_the_papers_rate() -> None:
    """Ten times as fast its hidden units died (training/recipes/ct_triage.py); the paper's plan has one rate."""
    for scale, factors in (("shipped", {"classification.": 0.1, "": 1.0}), ("paper", {"": 1.0})):
        (stage,) = prepared("ct-triage", scale)[0].stages
        assert {group.prefix: group.lr_factor for group in stage.groups} == factors
    (stage,) = prepared("ct-triage", "shipped")[0].stages
    assert stage.groups[0].lr_factor * stage.lr == pytest.approx(1e-4)
    card = prepared("ct-triage", "shipped")[0].card
    with torch.device("meta"):
        network = zoo.architectures()[card.architecture].network(**card.arguments)
    assert any(name.startswith(stage.groups[0].prefix) for name, _ in network.named_parameters())
