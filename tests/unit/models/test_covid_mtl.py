"""Models 10 to 13: sizes part by part, what Shift3D does and leaves alone, features, uncertainty."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.covid_mtl import TASKS, CovidMTL, Fire, Shift3D, SqueezeNet3D, SqueezeTrunk

SHAPE = (2, 5, 10, 20, 31)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_parts_have_the_papers_sizes() -> None:
    with torch.device("meta"):
        network = CovidMTL(features=375)
        assert network.features is not None
        parts = [network.trunk, network.features, *network.specific.values()]
        assert [parameters(p) for p in parts] == [3_659_008, 139_488, 16_416, 16_416, 16_416]
        assert parameters(SqueezeTrunk(squeeze=16)) == 1_834_304  # the original squeeze


def test_the_papers_volume_becomes_the_papers_map() -> None:
    with torch.device("meta"):
        trunk = SqueezeTrunk()
        assert sum(isinstance(part, Fire) for part in trunk) == 8
        x = torch.empty(1, 1, 200, 250, 250)
        shapes = []
        for part in trunk:
            x = part(x)
            shapes.append(tuple(x.shape[1:]))
    assert shapes[0] == (64, 100, 125, 125)
    assert shapes[-1] == (512, 7, 8, 8)
    assert [shapes[n] for n, part in enumerate(trunk) if isinstance(part, nn.MaxPool3d)] == [
        (64, 50, 63, 63),
        (128, 25, 32, 32),
        (256, 13, 16, 16),
        (384, 7, 8, 8),
    ]


def test_a_shift_only_rolls_and_every_channel_for_itself() -> None:
    x = torch.arange(2 * 5 * 10 * 20 * 31, dtype=torch.float32).reshape(SHAPE)
    torch.manual_seed(3)
    shifted = Shift3D(chance=1.0)(x)
    assert torch.equal(shifted.flatten(2).sort(dim=2).values, x.flatten(2))
    corners = shifted[:, :, 0, 0, 0] - x[:, :, 0, 0, 0]
    assert len(corners.unique()) > 3
    torch.manual_seed(3)
    assert torch.equal(Shift3D(chance=1.0)(x), shifted)


def test_a_shift_goes_no_farther_than_it_may() -> None:
    """A line marked in the middle of each axis moves by a fifth of that axis at most, and along one axis only."""
    x = torch.zeros(64, 1, 10, 20, 30)
    x[:, :, 5, 10, 15] = 1.0
    torch.manual_seed(1)
    moved = Shift3D(furthest=0.2, chance=1.0)(x).nonzero()[:, 2:] - torch.tensor([5, 10, 15])
    assert moved.abs().amax(dim=0).tolist() == [2, 4, 6]
    assert (moved.amin(dim=0) < 0).all()
    assert ((moved != 0).sum(dim=1) <= 1).all()


def test_all_channels_move_alike_where_they_are_told_to() -> None:
    x = torch.arange(10 * 20 * 31, dtype=torch.float32).reshape(1, 1, 10, 20, 31).expand(SHAPE)
    torch.manual_seed(8)
    shifted = Shift3D(chance=1.0, each_channel=False)(x)
    assert not torch.equal(shifted, x)
    assert all(torch.equal(shifted[:, c], shifted[:, 0]) for c in range(1, 5))


def test_lines_that_re_enter_can_be_filled() -> None:
    x = torch.ones(64, 1, 10, 20, 31)
    torch.manual_seed(2)
    shifted = Shift3D(chance=1.0, fill=-7.0)(x)
    filled = (shifted == -7.0).flatten(1).sum(dim=1)
    sizes = {0, *(n * lines for n, most in ((620, 2), (310, 4), (200, 6)) for lines in range(1, most + 1))}
    assert set(filled.tolist()) <= sizes
    assert (filled > 0).any()


def test_nothing_is_shifted_in_evaluation_nor_without_a_chance() -> None:
    x = torch.rand(SHAPE)
    assert torch.equal(Shift3D(chance=1.0).eval()(x), x)
    assert torch.equal(Shift3D(chance=0.0)(x), x)
    with pytest.raises(ValueError, match="chance of 2"):
        Shift3D(chance=2.0)


def test_shift_adds_no_weights() -> None:
    torch.manual_seed(4)
    plain, shifting = SqueezeNet3D(squeeze=2).eval(), SqueezeNet3D(squeeze=2, shift=True).eval()
    shifting.load_state_dict(plain.state_dict())
    x = torch.rand(1, 1, 16, 20, 31)
    assert torch.equal(plain(x), shifting(x))


def test_features_are_scaled_by_their_ranges_and_a_constant_one_says_nothing() -> None:
    torch.manual_seed(5)
    network = CovidMTL(["NAT"], features=3, squeeze=2).eval()
    x, scaled = torch.rand(2, 1, 16, 20, 31), torch.tensor([[0.25, 0.5, 0.0], [1.0, 0.0, 0.0]])
    expected = network(x, scaled)["NAT"]
    network.get_buffer("feature_low").copy_(torch.tensor([-1e6, 0.0, 7.0]))
    network.get_buffer("feature_high").copy_(torch.tensor([3e6, 0.02, 7.0]))
    raw = torch.tensor([[0.0, 0.01, 7.0], [3e6, 0.0, 9.0]])
    torch.testing.assert_close(network(x, raw)["NAT"], expected)


def test_features_are_given_where_they_belong_and_nowhere_else() -> None:
    x, features = torch.rand(1, 1, 16, 20, 31), torch.rand(1, 3)
    with pytest.raises(ValueError, match="features are missing"):
        CovidMTL(["CT"], features=3, squeeze=2).eval()(x)
    with pytest.raises(ValueError, match="takes no features"):
        CovidMTL(["CT"], squeeze=2).eval()(x, features)


def test_uncertainty_adds_one_number_for_each_task() -> None:
    with torch.device("meta"):
        assert parameters(CovidMTL(uncertainty=True)) - parameters(CovidMTL()) == len(TASKS)


@pytest.mark.parametrize("tasks", [[], ["CT", "mood"]])
def test_an_unknown_task_is_refused(tasks: list[str]) -> None:
    with pytest.raises(ValueError, match="must be of"):
        CovidMTL(tasks)
