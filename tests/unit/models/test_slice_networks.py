"""Networks of slices and scans: sizes of their parts, subsets of tasks, what sets each apart. Sizes as a whole, shapes,
gradients and bundles are `test_zoo`'s."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.decovnet import DeCoVNet
from models.inf_net import InfNet
from models.keymaps import renamed
from models.r231 import R231
from models.reconstruction import Cnn8, ThreeTaskNet


def parameters(module: nn.Module | None) -> int:
    assert module is not None
    return sum(p.numel() for p in module.parameters())


def test_the_three_task_net_has_the_parts_of_the_paper() -> None:
    with torch.device("meta"):
        network, unet = ThreeTaskNet(), ThreeTaskNet("T2")
    assert parameters(network.encoder) == parameters(unet.encoder) == 18_842_048
    assert parameters(network.reconstruction) == parameters(network.segmentation) == 12_189_637
    assert parameters(network.classification) == 2_236_801
    assert unet.reconstruction is None
    assert unet.classification is None
    convolutions = [m for m in unet.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 10 + 10 + 4
    cnn = [m for m in Cnn8(plane=64).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(cnn) == 8


@pytest.mark.parametrize("tasks", ["", "T3T1", "T1T1", "T4", "T", "T1,T2"])
def test_tasks_that_are_none_are_refused(tasks: str) -> None:
    with pytest.raises(ValueError, match="must be some of T1, T2, T3"):
        ThreeTaskNet(tasks, plane=32, width=1)


def test_a_plane_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ValueError, match="five times"):
        ThreeTaskNet(plane=48, width=1)
    with pytest.raises(ValueError, match="six times"):
        Cnn8(plane=96)


def test_tasks_are_those_that_were_named() -> None:
    network = ThreeTaskNet("T1T3", plane=32, width=2)
    assert list(network(torch.rand(2, 1, 32, 32))) == ["reconstruction", "covid"]


@pytest.mark.parametrize("seed", range(4))
def test_no_decoder_begins_with_maps_that_are_dead(seed: int) -> None:
    torch.manual_seed(seed)
    network = ThreeTaskNet("T1T2", plane=64, width=8)
    seen: list[torch.Tensor] = []
    for decoder in (network.reconstruction, network.segmentation):
        assert decoder is not None
        decoder.get_submodule("1").register_forward_hook(lambda module, given, maps: seen.append(maps))
    with torch.inference_mode():
        network(torch.rand(2, 1, 64, 64))
    assert all((maps > 0).float().mean(dim=(0, 2, 3)).min() > 0.2 for maps in seen)
    assert len(seen) == 2


def test_decovnet_begins_as_its_shortcuts_and_takes_any_volume() -> None:
    torch.manual_seed(3)
    network = DeCoVNet(classes=2).eval()
    block = network.stages[0]
    x = torch.rand(1, 16, 4, 6, 6)
    torch.testing.assert_close(block(x), torch.relu(block.shortcut(x)))
    with torch.inference_mode():
        assert network(torch.rand(1, 2, 5, 20, 31)).shape == (1, 2)


def test_res2nets_tensors_have_their_published_names() -> None:
    with torch.device("meta"):
        names = InfNet().backbone.state_dict()
    published = {
        "conv1.0.weight": (32, 3, 3, 3),
        "conv1.6.weight": (64, 32, 3, 3),
        "bn1.running_mean": (64,),
        "layer1.0.convs.2.weight": (26, 26, 3, 3),
        "layer1.0.downsample.1.weight": (256, 64, 1, 1),
        "layer3.5.bns.0.bias": (104,),
        "layer4.2.conv3.weight": (2048, 832, 1, 1),
    }
    assert {name: tuple(names[name].shape) for name in published} == published
    assert not any(name.startswith("layer2.1.downsample") for name in names)


def test_covnets_norms_see_one_scan_at_a_time() -> None:
    pytest.importorskip("monai")
    from models.covnet import COVNet

    torch.manual_seed(4)
    network = COVNet().eval()
    names = set(network.state_dict())
    assert not any("running" in name for name in names)
    assert {"resnet.conv1.weight", "resnet.layer1.0.downsample.0.weight", "resnet.layer4.2.bn3.bias"} <= names
    x = torch.rand(5, 1, 33, 40)
    with torch.inference_mode():
        together = network(x, torch.tensor([[3, 33, 40], [2, 33, 40]]))
        alone = network(x[3:], torch.tensor([[2, 33, 40]]))
    torch.testing.assert_close(together[1:], alone)


def published_r231() -> dict[str, torch.Tensor]:
    """Names as lungmask's network has them, branches included that it never uses."""
    blocks = [f"down_path.{level}.block" for level in range(5)] + [f"up_path.{n}.conv_block.block" for n in range(4)]
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = [f"{b}.{n}.{part}" for b in blocks for n in (0, 3) for part in ("weight", "bias")]
    names += [f"{b}.{n}.{part}" for b in blocks for n in (2, 5) for part in norm]
    names += [f"up_path.{n}.up.1.{part}" for n in range(4) for part in ("weight", "bias")]
    names += ["last.weight", "last.bias", "down_path.2.residual_input_conv.weight", "up_path.0.residual_batchnorm.bias"]
    return {name: torch.zeros(1) for name in names}


def test_published_names_become_the_zoos() -> None:
    with torch.device("meta"):
        assert set(renamed("r231", published_r231())) == set(R231().state_dict())
        ours = set(InfNet().state_dict())
    published = {name.removeprefix("backbone."): torch.zeros(1) for name in ours if name.startswith("backbone.")}
    assert set(renamed("inf-net", published | {"fc.weight": torch.zeros(1)})) <= ours
    torchvision = ("conv1.weight", "layer1.0.downsample.1.running_var", "layer4.2.bn3.bias", "fc.bias")
    named = renamed("covnet", {name: torch.zeros(1) for name in torchvision})
    assert list(named) == [f"resnet.{name}" for name in torchvision[:-1]]
    with pytest.raises(ValueError, match="no published names"):
        renamed("cnn8", {})
    with pytest.raises(ValueError, match=r"stem\.weight is no published name"):
        renamed("r231", {"stem.weight": torch.zeros(1)})
