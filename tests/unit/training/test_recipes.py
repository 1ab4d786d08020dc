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


def test_the_shipped_score_is_learned_once_more_alone_and_from_the_beginning() -> None:
    """Beside moving features its hidden units died (training/recipes/ct_triage.py); the paper's plan has one stage."""
    assert len(prepared("ct-triage", "paper")[0].stages) == 1
    recipe, _ = prepared("ct-triage", "shipped")
    together, score = recipe.stages
    assert together.trainable == ("",)
    assert score.trainable == score.anew
    with torch.device("meta"):
        network = zoo.architectures()[recipe.card.architecture].network(**recipe.card.arguments)
    names = {name.split(".")[0] for name, _ in network.named_parameters() if name.startswith(score.trainable)}
    assert names == {"classification"}
