"""Mixed precision: the network computes in bfloat16, and whatever it says is float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from training.precision import BFLOAT16, FLOAT32, computing_in, in_float32


class Noting(nn.Module):
    """A convolution that remembers what it computed in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.computed_in: torch.dtype | None = None

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(x)
        self.computed_in = result.dtype
        if x.shape[-1] > 8:
            raise RuntimeError("too wide")
        return result


@dataclass(frozen=True, kw_only=True)
class Said:
    maps: Tensor
    classes: tuple[Tensor, ...] = ()
    nothing: Tensor | None = None


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


def test_a_network_computes_in_bfloat16_and_answers_in_float32() -> None:
    network, x = Noting(), torch.ones(1, 1, 8, 8)
    with computing_in(BFLOAT16, network, "cpu"):
        said = network(x)
    assert network.computed_in == torch.bfloat16
    assert said.dtype == torch.float32
    said.sum().backward()
    assert network.conv.weight.grad is not None
    assert network.conv.weight.grad.dtype == network.conv.weight.dtype == torch.float32
    network(x)
    assert network.computed_in == torch.float32  # only inside


def test_in_float32_nothing_is_touched() -> None:
    network, x = Noting(), torch.ones(1, 1, 8, 8)
    with computing_in(FLOAT32, network, "cpu"):
        assert torch.equal(network(x), network.conv(x))
    assert network.computed_in == torch.float32


def test_a_network_that_fails_leaves_nothing_behind() -> None:
    network = Noting()
    with pytest.raises(RuntimeError, match="too wide"), computing_in(BFLOAT16, network, "cpu"):
        network(torch.ones(1, 1, 9, 9))
    assert not torch.is_autocast_enabled("cpu")
    network(torch.ones(1, 1, 8, 8))
    assert network.computed_in == torch.float32


def test_every_shape_of_an_answer_is_made_float32() -> None:
    half, classes = torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.int64)
    found = in_float32({"a": [half, classes], "b": Said(maps=half, classes=(half,)), "c": Pair(half, classes), "d": 3})
    assert [t.dtype for t in found["a"]] == [torch.float32, torch.int64]
    assert (found["b"].maps.dtype, found["b"].classes[0].dtype) == (torch.float32, torch.float32)
    assert found["b"].nothing is None
    assert isinstance(found["c"], Pair)
    assert [t.dtype for t in found["c"]] == [torch.float32, torch.int64]
    assert found["d"] == 3
