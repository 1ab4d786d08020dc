"""Every architecture of the zoo: shapes, gradients, there and back through a bundle, and sizes as the list has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import catalogue, zoo
from models.bundle import load_bundle, save_bundle
from models.cards import ROLES, Card
from models.catalogue import ITEMS, Configuration
from tests.unit.models.zoo_samples import SAMPLES, Sample

ARCHITECTURES = zoo.architectures()
CONFIGURATIONS = [
    pytest.param(configuration, id=f"{item.number}-{item.name}-{n}")
    for item in ITEMS
    for n, configuration in enumerate(item.configurations)
]


def tensors(found: object) -> Iterator[Tensor]:
    """What a network gives, whatever it is wrapped in."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, Mapping):
        yield from (t for part in found.values() for t in tensors(part))
    elif isinstance(found, Sequence):
        yield from (t for part in found for t in tensors(part))
    elif is_dataclass(found):
        yield from (t for f in fields(found) for t in tensors(getattr(found, f.name)))
    else:
        assert found is None, f"a network gave a {type(found).__name__}"


def built(name: str, sample: Sample) -> tuple[nn.Module, tuple[Tensor, ...]]:
    if sample.needs:
        pytest.importorskip(sample.needs)
    torch.manual_seed(1)
    return ARCHITECTURES[name].network(**sample.arguments), sample.inputs(torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_network_learns_and_comes_back_from_its_bundle(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    network, inputs = built(name, sample)
    found = list(tensors(network.train()(*inputs)))
    assert tuple(tuple(t.shape) for t in found) == sample.shapes
    assert all(torch.isfinite(t).all() for t in found)

    torch.stack([t.square().mean() for t in found]).sum().backward()  # type: ignore[no-untyped-call]
    for parameter, weights in network.named_parameters():
        if weights.requires_grad:
            assert weights.grad is not None, f"{parameter} gets no gradient"
            assert torch.isfinite(weights.grad).all(), parameter
            assert weights.grad.any(), f"the gradient of {parameter} is 0"

    card = Card(
        name=name,
        version="1",
        number=1,
        paper="none",
        roles=("triage",),
        outputs=(),
        architecture=name,
        arguments=sample.arguments,
    )
    save_bundle(tmp_path, card, network.state_dict())
    again = load_bundle(tmp_path, ARCHITECTURES).network
    assert not again.training
    network.eval()
    with torch.inference_mode():
        first, second, loaded = (list(tensors(n(*inputs))) for n in (network, network, again))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, loaded, strict=True))


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_sizes_are_those_of_the_list(configuration: Configuration) -> None:
    needs = SAMPLES[configuration.architecture].needs
    if needs:
        pytest.importorskip(needs)
    with torch.device("meta"):
        network = ARCHITECTURES[configuration.architecture].network(**configuration.arguments)
    assert sum(p.numel() for p in network.parameters()) == configuration.parameters


def test_the_list_has_all_36_once() -> None:
    assert [item.number for item in ITEMS] == list(range(1, 37))
    assert len({item.name for item in ITEMS}) == 36
    assert catalogue.item(32).name == "thresholding"
    for item in ITEMS:
        assert set(item.roles) <= set(ROLES), item.name
        assert (item.parameters is not None) == (item.kind == "network"), item.name
        assert item.kind == "network" or not item.configurations, item.name


def test_the_list_and_the_zoo_name_the_same() -> None:
    named = {c.architecture for item in ITEMS for c in item.configurations}
    assert named == set(ARCHITECTURES)
    assert set(SAMPLES) == set(ARCHITECTURES)
    by_number = {item.number: item for item in ITEMS}
    for name, card in zoo.METHODS.items():
        if name != "generic-lungs":  # the second reading of 33
            assert by_number[card.number].name == name
        assert by_number[card.number].roles == card.roles


def test_a_role_of_the_list_can_be_filled() -> None:
    for item in ITEMS:
        fills = [ARCHITECTURES[c.architecture] for c in item.configurations]
        for role in item.roles if fills else ():
            assert any(getattr(architecture, role) for architecture in fills), item.name
