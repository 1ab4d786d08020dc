"""One process or several that train a network together: Lightning Fabric launches them and carries what they exchange.

Every process draws batches of its own and takes every step with the mean of all gradients, so that all hold the same
weights after it: n processes train with batches n times as large. Only the first, the leader, validates, writes and is
asked to stop. Batch norms see the batch of their own process; the leader's running statistics are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from training.errors import TrainingError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MISSING = "several processes need Lightning Fabric: pip install 'triaged[train]'"


class Team(Protocol):
    @property
    def size(self) -> int: ...

    @property
    def rank(self) -> int: ...  # 0: the leader

    @property
    def device(self) -> str: ...  # of this process

    def share(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by its mean over the processes; a parameter without one counts as zero."""

    def mean(self, value: float) -> float: ...

    def agree(self, said: bool) -> bool:
        """What the leader says."""


@dataclass(frozen=True, kw_only=True)
class Alone:
    """One process, which exchanges nothing."""

    device: str = "cpu"
    size: int = 1
    rank: int = 0

    def share(self, parameters: Iterable[Tensor]) -> None:
        return None

    def mean(self, value: float) -> float:
        return value

    def agree(self, said: bool) -> bool:
        return said


ALONE = Alone()


class Together:
    """Processes that run this program side by side, one per device."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self.size, self.rank = fabric.world_size, fabric.global_rank
        self.device = str(fabric.device)

    def share(self, parameters: Iterable[Tensor]) -> None:
        of_all = [p for p in parameters if p.requires_grad]
        flat = torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in of_all])
        mean = self._fabric.all_reduce(flat, reduce_op="mean")
        assert isinstance(mean, Tensor)  # as what it was given
        for parameter, gradient in zip(of_all, torch.split(mean, [p.numel() for p in of_all]), strict=True):
            parameter.grad = gradient.view_as(parameter).clone()

    def mean(self, value: float) -> float:
        mean = self._fabric.all_reduce(torch.tensor(value, device=self.device), reduce_op="mean")
        assert isinstance(mean, Tensor)
        return mean.item()

    def agree(self, said: bool) -> bool:
        return bool(self._fabric.broadcast(said))


def at_work_on(device: str, threads: int | None) -> str:
    """The device that "auto" means: the GPU where there is one. `threads` None: as many of the CPU as torch takes."""
    if threads is not None:
        torch.set_num_threads(threads)
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def team(device: str, devices: int) -> Team:
    """The team of `devices` processes on devices of a kind ("cpu", "cuda"), started here: the others run this program's
    command line again. Raises TrainingError where that cannot be."""
    if devices < 2:
        return Alone(device=device)
    if ":" in device:
        raise TrainingError(f"{devices} devices of the kind {device.partition(':')[0]}: do not name one of them")
    try:
        from lightning_fabric import Fabric as Launched
    except ImportError as error:
        raise TrainingError(MISSING) from error
    if device == "cuda" and torch.cuda.device_count() < devices:
        raise TrainingError(f"{devices} devices were asked for, and there are {torch.cuda.device_count()}")
    fabric = Launched(accelerator=device, devices=devices, strategy="ddp")
    fabric.launch()
    return Together(fabric)
