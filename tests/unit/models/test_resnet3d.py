"""Models 9 and 27: how the maps shrink, what is projected, and pseudo-3D."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from models.resnet3d import ResNet3D

HARA: dict[str, Any] = {"depth": 50, "stem": 7, "stem_slices": 1, "first_stride": 1, "momentum": 0.1}


def shapes(network: ResNet3D, *size: int) -> list[tuple[int, ...]]:
    x = network.stem(torch.empty(1, 1, *size))
    found = [tuple(x.shape[1:])]
    for stage in network.stages:
        x = stage(x)
        found.append(tuple(x.shape[1:]))
    return found


def test_every_stage_of_the_34_halves_the_map() -> None:
    with torch.device("meta"):
        assert shapes(ResNet3D(), 200, 250, 250) == [
            (64, 50, 63, 63),
            (64, 25, 32, 32),
            (128, 13, 16, 16),
            (256, 7, 8, 8),
            (512, 4, 4, 4),
        ]


@pytest.mark.parametrize("pseudo", [False, True])
def test_the_50_keeps_the_slices_in_its_stem_and_the_map_in_its_first_stage(pseudo: bool) -> None:
    with torch.device("meta"):
        network = ResNet3D(3, pseudo=pseudo, **HARA)
        assert shapes(network, 48, 256, 256) == [
            (64, 24, 64, 64),
            (256, 24, 64, 64),
            (512, 12, 32, 32),
            (1024, 6, 16, 16),
            (2048, 3, 8, 8),
        ]
    assert network.head[-1].out_features == 3


def test_shortcuts_are_projected_only_where_the_shape_changes() -> None:
    with torch.device("meta"):
        for network, first in ((ResNet3D(), True), (ResNet3D(**HARA), True), (ResNet3D(first_stride=1), False)):
            projected = [
                [not isinstance(block.shortcut, nn.Identity) for block in stage]
                for stage in network.stages
                if isinstance(stage, nn.Sequential)
            ]
            assert [p[0] for p in projected] == [first, True, True, True]
            assert not any(any(p[1:]) for p in projected)


def test_pseudo_3d_has_no_cubes_behind_the_stem() -> None:
    with torch.device("meta"):
        network = ResNet3D(3, pseudo=True, **HARA)
    kernels = {m.kernel_size for m in network.stages.modules() if isinstance(m, nn.Conv3d)}
    assert kernels == {(1, 1, 1), (1, 3, 3), (3, 1, 1)}


def test_every_batch_norm_has_the_momentum_asked_for() -> None:
    with torch.device("meta"):
        for network, momentum in ((ResNet3D(), 0.01), (ResNet3D(**HARA), 0.1)):
            assert {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm3d)} == {momentum}


def test_another_depth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be of \[34, 50\]"):
        ResNet3D(depth=18)  # type: ignore[arg-type]
