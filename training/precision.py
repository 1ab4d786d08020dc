"""What a network computes in while it learns: float32, or bfloat16 wherever torch holds that safe (autocast).

Weights, gradients and the optimiser's state are float32 all the same, and so is what the network says: a loss sums over
whole volumes. bfloat16 has float32's range, so that no loss needs to be scaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from training.errors import TrainingError

FLOAT32, BFLOAT16 = "float32", "bfloat16"
PRECISIONS = (FLOAT32, BFLOAT16)


def require_precision(precision: str) -> None:
    """Raises TrainingError where there is no such precision."""
    if precision not in PRECISIONS:
        raise TrainingError(f"no precision {precision}; there are {', '.join(PRECISIONS)}")


@contextmanager
def computing_in(precision: str, network: nn.Module, device: str) -> Iterator[None]:
    """Calls of the network compute in that precision and answer in float32."""
    if precision == FLOAT32:
        yield
        return
    of_kind, cast = torch.device(device).type, ExitStack()

    def begin(module: nn.Module, said: object) -> None:
        cast.enter_context(torch.autocast(of_kind, torch.bfloat16))

    def end(module: nn.Module, said: object, found: object) -> Any:
        cast.close()
        return in_float32(found)

    hooks = (network.register_forward_pre_hook(begin), network.register_forward_hook(end, always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def in_float32(found: Any) -> Any:
    """What a network says, its numbers as float32: a tensor, or tensors in a dict, a list, a tuple or a record."""
    if isinstance(found, Tensor):
        return found.float() if found.is_floating_point() else found
    if isinstance(found, dict):
        return {name: in_float32(one) for name, one in found.items()}
    if isinstance(found, list | tuple):
        each = [in_float32(one) for one in found]
        return type(found)(*each) if hasattr(found, "_fields") else type(found)(each)  # a named tuple takes them apart
    if is_dataclass(found) and not isinstance(found, type):
        return type(found)(**{field.name: in_float32(getattr(found, field.name)) for field in fields(found)})
    return found
