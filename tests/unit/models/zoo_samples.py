"""How each architecture of the zoo is tried: small arguments where it has them, a tiny input, what comes out of it.

One entry per line of `models.zoo.architectures()`; `test_zoo.py` runs them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """`shapes` are those of the tensors that come out, in order; `needs` a package that is not in the core."""

    inputs: Callable[[Generator], tuple[Tensor, ...]]
    shapes: tuple[Shape, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""


def drawn(*shape: int) -> Callable[[Generator], tuple[Tensor, ...]]:
    """One input of that shape, even in [0, 1]."""
    return lambda generator: (torch.rand(shape, generator=generator),)


def series(*sizes: Shape, plane: tuple[int, int]) -> Callable[[Generator], tuple[Tensor, ...]]:
    """The slices of series of those sizes (slices, rows, columns), one after the other on one plane, and the sizes."""
    slices = sum(size[0] for size in sizes)
    return lambda generator: (torch.rand(slices, 1, *plane, generator=generator), torch.tensor(sizes))


SAMPLES: Mapping[str, Sample] = {
    "lungs-unet": Sample(arguments={"width": 2, "levels": 3}, inputs=drawn(3, 1, 20, 31), shapes=((3, 1, 20, 31),)),
    "lesion-unet": Sample(
        arguments={"width": 2, "levels": 4, "axes": 3}, inputs=drawn(2, 1, 10, 20, 31), shapes=((2, 1, 10, 20, 31),)
    ),
    "multitask-net": Sample(
        arguments={"width": 2, "levels": 3, "pyramid_hidden": 16},
        inputs=series((5, 20, 31), (3, 17, 22), plane=(20, 31)),
        shapes=((8, 1, 20, 31), (2,)),
    ),
    "three-task-net": Sample(
        arguments={"plane": 32, "width": 8},
        inputs=drawn(2, 1, 32, 32),
        shapes=((2, 1, 32, 32), (2, 1, 32, 32), (2,)),
    ),
    "cnn8": Sample(arguments={"plane": 64}, inputs=drawn(3, 1, 64, 64), shapes=((3,),)),
    "r231": Sample(arguments={"width": 4}, inputs=drawn(2, 1, 32, 48), shapes=((2, 3, 32, 48),)),
    "deepsc": Sample(
        inputs=lambda g: (
            torch.rand(2, 1, 8, 32, 32, generator=g),
            torch.rand(2, 1, 16, 32, 32, generator=g),
            torch.tensor([[[0.0, 0.5], [0.0, 1.0], [0.25, 1.25]], [[0.4, 0.9], [0.1, 1.1], [0.0, 1.0]]]),
        ),
        shapes=(
            (2, 1, 8, 32, 32),
            *((2, 1, n, 4 * n, 4 * n) for n in (1, 2, 4, 8)),
            (2, 3),
            *((2, c, n, 2 * n, 2 * n) for c, n in ((64, 4), (128, 2), (256, 1))),
        ),
    ),
    "unetpp": Sample(
        arguments={"depth": 3, "deep_supervision": True}, inputs=drawn(2, 1, 20, 31), shapes=((2, 3, 20, 31),)
    ),
    "densevnet": Sample(inputs=drawn(2, 1, 16, 24, 32), shapes=((2, 2, 16, 24, 32),)),
    "coplenet": Sample(inputs=drawn(2, 1, 20, 31), shapes=((2, 2, 20, 31),)),
    "fss": Sample(
        arguments={"supports": 2, "plane": [20, 31]},
        inputs=lambda g: (
            torch.rand(2, 1, 40, 52, generator=g),
            torch.rand(2, 1, 40, 52, generator=g),
            (torch.rand(2, 1, 40, 52, generator=g) > 0.5).float(),
        ),
        shapes=((2, 1, 40, 52),),
        needs="monai",
    ),
    "resnet3d": Sample(arguments={"classes": 3}, inputs=drawn(2, 1, 16, 40, 33), shapes=((2, 3),)),
    "squeezenet3d": Sample(arguments={"shift": True}, inputs=drawn(2, 1, 16, 40, 33), shapes=((2, 2),)),
    "covid-mtl": Sample(
        arguments={"tasks": ["CT", "severity"], "features": 11},
        inputs=lambda g: (torch.rand(2, 1, 16, 40, 33, generator=g), torch.rand(2, 11, generator=g)),
        shapes=((2, 2), (2, 3)),
    ),
    "covid-mtl-transfer": Sample(inputs=drawn(2, 1, 16, 40, 33), shapes=((2, 2), (2, 2), (2, 3))),
    "resnet50": Sample(inputs=drawn(2, 1, 33, 40), shapes=((2, 3),), needs="monai"),
    "covnet": Sample(inputs=series((3, 33, 40), (2, 33, 40), plane=(33, 40)), shapes=((2, 3),), needs="monai"),
    # The published start leaves what stands before its zeros without a gradient in the first step.
    "decovnet": Sample(arguments={"begin_as_shortcuts": False}, inputs=drawn(1, 2, 10, 33, 40), shapes=((1, 3),)),
    "decovnet-lungs": Sample(inputs=drawn(2, 1, 32, 48), shapes=((2, 2, 32, 48),)),
    "inf-net": Sample(inputs=drawn(2, 1, 50, 64), shapes=((2, 4, 50, 64), (2, 1, 50, 64))),
    "slice-pool": Sample(
        arguments={"head": "maximum"},
        inputs=series((3, 33, 40), (2, 33, 40), plane=(33, 40)),
        shapes=((2,),),
        needs="monai",
    ),
}
