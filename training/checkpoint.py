"""Where training stands, on disk: one safetensors file, the numbers that are no tensors as JSON in its header.

One file, written aside and renamed, so that a crash leaves the old one or the new one. Never a pickle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

HEADER = "checkpoint"
NETWORK, OPTIMIZER, TEACHER = "network/", "optimizer/", "teacher/"


class CheckpointError(Exception):
    """A checkpoint that cannot be read or does not fit."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far a training is, and what its best weights so far were worth. `step` counts within the stage."""

    stage: int
    step: int
    best_step: int | None = None
    best_scores: Mapping[str, float] = field(default_factory=dict)


def write(
    path: Path,
    position: Position,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer | None,
    teacher: torch.nn.Module | None = None,
) -> None:
    tensors = {NETWORK + name: t for name, t in network.state_dict().items()}
    if teacher is not None:
        tensors |= {TEACHER + name: t for name, t in teacher.state_dict().items()}
    numbers: dict[str, float] = {}
    if optimizer is not None:
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"{OPTIMIZER}{index}/{key}"] = value
                elif value is not None:
                    numbers[f"{index}/{key}"] = value
    header = json.dumps({"position": asdict(position), "numbers": numbers})
    content = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata={HEADER: header})
    aside = path.with_suffix(".new")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def read(
    path: Path,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    teacher: torch.nn.Module | None = None,
) -> Position:
    """Put the weights, the optimiser's state and the teacher's weights back in place. Raises CheckpointError."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()[HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        network.load_state_dict({n.removeprefix(NETWORK): t for n, t in tensors.items() if n.startswith(NETWORK)})
        if teacher is not None:
            teacher.load_state_dict({n.removeprefix(TEACHER): t for n, t in tensors.items() if n.startswith(TEACHER)})
        if optimizer is not None:
            _restore(optimizer, tensors, header["numbers"])
        return Position(**header["position"])
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path.name} cannot be continued from: {error}") from error


def peek(path: Path) -> Position:
    """How far it is, without the tensors. Raises CheckpointError."""
    try:
        with safe_open(path, framework="pt") as file:
            return Position(**json.loads(file.metadata()[HEADER])["position"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path.name} is no checkpoint: {error}") from error


def _restore(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], numbers: Mapping[str, float]) -> None:
    state: dict[int, dict[str, Tensor | float]] = {}
    kept = {n.removeprefix(OPTIMIZER): t for n, t in tensors.items() if n.startswith(OPTIMIZER)}
    every: dict[str, Tensor | float] = {**kept, **numbers}
    for name, value in every.items():
        index, key = name.split("/", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
