"""Models 1 and 6: sizes as the paper's code gives them, shapes, gradients, and the pyramid."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.ct_triage import LungsUNet, MultitaskNet
from models.layers import max_pyramid


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_papers_networks_have_the_papers_sizes() -> None:
    assert parameters(LungsUNet()) == 10_583_112
    network = MultitaskNet()
    parts = [network.backbone, network.segmentation, network.classification]
    assert [parameters(part) for part in parts] == [10_581_904, 1_208, 4_794_368]
    assert parameters(network) == 15_377_480


def test_the_shipped_plans_are_small() -> None:
    assert parameters(LungsUNet(width=8, levels=5)) == 663_112
    assert parameters(MultitaskNet(width=8, levels=5, pyramid_hidden=64)) == 962_760


@pytest.mark.parametrize(("rows", "columns"), [(20, 31), (1, 7), (64, 33)])
def test_any_plane_comes_back_in_its_own_size(rows: int, columns: int) -> None:
    network = LungsUNet(width=2, levels=4).eval()
    assert network(torch.rand(3, 1, rows, columns)).shape == (3, 1, rows, columns)


def series() -> tuple[Tensor, Tensor]:
    """Two series of unlike sizes in one batch, the second padded with zeros."""
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(13, 1, 20, 31, generator=generator)
    x[10:, :, 17:] = 0.0
    x[10:, :, :, 22:] = 0.0
    return x, torch.tensor([[10, 20, 31], [3, 17, 22]])


def test_both_heads_teach_the_backbone() -> None:
    torch.manual_seed(1)
    network = MultitaskNet(width=2, levels=3, pyramid_hidden=4)
    x, sizes = series()
    for head in (0, 1):
        network.zero_grad()
        outputs = network(x, sizes)
        assert (outputs[0].shape, outputs[1].shape) == ((13, 1, 20, 31), (2,))
        outputs[head].square().mean().backward()
        gradients = [p.grad for p in network.backbone.parameters()]
        assert all(g is not None and torch.isfinite(g).all() for g in gradients)
        assert any(g is not None and g.abs().sum() > 0 for g in gradients)


def test_a_lung_net_passes_gradients_to_its_first_layer() -> None:
    network = LungsUNet(width=2, levels=3)
    network(torch.rand(2, 1, 10, 13)).square().mean().backward()
    assert network.stem.weight.grad is not None
    assert network.stem.weight.grad.abs().sum() > 0


def test_padding_of_a_small_series_does_not_reach_its_score() -> None:
    torch.manual_seed(2)
    network = MultitaskNet(width=2, levels=2, pyramid_hidden=64).eval()
    x, sizes = series()
    features = network.backbone(x)
    alone = network.identify(features[10:, :, :17, :22])
    assert torch.equal(network(x, sizes)[1][1:], alone)
    assert not torch.equal(network.identify(features[10:]), alone)


def test_the_pyramid_covers_every_voxel_and_knows_where_it_is() -> None:
    x = torch.zeros(1, 11, 20, 31)
    assert max_pyramid(x, (1, 2, 4, 8)).shape == (585,)
    x[0, 10, 0, 30] = 1.0  # last slice, first row, last column
    found = max_pyramid(x, (1, 2))
    assert found.tolist() == [1.0, 0, 0, 0, 0, 0, 1.0, 0, 0]


def test_a_pyramid_takes_fewer_slices_than_bins() -> None:
    x = torch.arange(3.0)[None, :, None, None].expand(1, 3, 20, 31)
    found = max_pyramid(x, (4,)).reshape(4, 4, 4)
    assert found[:, 0, 0].tolist() == [0.0, 1.0, 2.0, 2.0]


def test_evaluation_repeats_itself() -> None:
    network = MultitaskNet(width=2, levels=3, pyramid_hidden=4).eval()
    x, sizes = series()
    first, second = network(x, sizes), network(x, sizes)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
