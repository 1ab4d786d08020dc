"""What a recipe is: frozen records that say how a model is trained. The loop that follows them is `training.loop`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.cards import Card
from training import loop

Batch = Mapping[str, Tensor]
Scores = Mapping[str, float]
Loss = Callable[[nn.Module, Batch], Mapping[str, Tensor]]  # named, weighted terms; their sum is minimised
Validate = Callable[[nn.Module, Iterable[Batch]], Scores]
Schedule = Callable[[float], float]  # share of the stage that is done, [0, 1), to a factor of the learning rate


class Data(Protocol):
    """What a recipe trains on. A batch depends on its generator alone: that is what makes training repeatable."""

    @property
    def digest(self) -> str: ...  # sha256 of everything that can reach the network

    @property
    def description(self) -> str: ...  # goes into the card

    @property
    def synthetic(self) -> bool: ...

    def batch(self, rng: np.random.Generator) -> Batch: ...

    def validation(self) -> Iterable[Batch]: ...


@dataclass(frozen=True, kw_only=True)
class Group:
    """Parameters whose names begin with `prefix`, and what is special about them. The first group that fits counts."""

    prefix: str = ""
    lr_factor: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)  # of the optimiser, such as weight_decay


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A second network beside the one that is trained: as that was when the stage began, and after every step drawn
    towards it by 1 - `keep`. 1: it stays what it was, to give pseudo-labels; 0.99: a mean teacher. `loss` is given the
    network, a batch and the teacher, and its terms are added to those of the stage."""

    loss: Callable[[nn.Module, Batch, nn.Module], Mapping[str, Tensor]]
    keep: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of training with one loss. The next stage starts from the best weights of this one."""

    name: str
    steps: int
    loss: Loss
    lr: float
    schedule: Schedule
    validate_every: int  # steps; a checkpoint is kept as often
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam  # called with parameter groups and lr
    groups: tuple[Group, ...] = (Group(),)
    trainable: tuple[str, ...] = ("",)  # prefixes of names; everything else keeps its value
    anew: tuple[str, ...] = ()  # prefixes of names of layers that begin with new random weights
    init_from: Path | None = None  # a bundle; tensors of equal name and shape are taken over
    select: str = ""  # the validation score that chooses in this stage, where it is not the recipe's
    validate: Validate | None = None  # where it is not the recipe's
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or self.validate_every < 1:
            raise ValueError(f"stage {self.name}: {self.steps} steps, validated every {self.validate_every}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One model: its card without what only training can say (data, scores, sha256), its data and its stages."""

    card: Card
    stages: tuple[Stage, ...]
    data: Callable[[Path], Data]
    validate: Validate
    select: str  # the validation score of which the highest is kept
    seed: int
    norm_momentum: float | None = None  # of the batch norms while training, where it is not the network's own
    fit: Callable[[Recipe, nn.Module, Data, loop.Run], loop.Fitted] = loop.fit
    # What is kept of the trained network, by the folder's name, where it is not the network itself as "bundle".
    bundles: Callable[[Card, nn.Module], Mapping[str, tuple[Card, nn.Module]]] | None = None


class Module(Protocol):
    """What a file in `training.recipes` offers: plans by scale, and the recipe of a plan."""

    SCALES: Mapping[str, Any]  # frozen dataclasses, whose fields `--set` changes

    def recipe(self, scale: str, plan: Any) -> Recipe: ...


def constant(done: float) -> float:
    return 1.0


def linear(done: float) -> float:
    """From 1 to 0."""
    return 1.0 - done


def cosine(done: float) -> float:
    """From 1 to 0."""
    return 0.5 * (1.0 + math.cos(math.pi * done))


def drop(at: float, factor: float) -> Schedule:
    """1, and `factor` from the share `at` on."""
    return lambda done: 1.0 if done < at else factor
