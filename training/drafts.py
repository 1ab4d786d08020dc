"""How recipes begin: the plan, the card, the stage and the samples that most of them have in the same form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import catalogue
from models.cards import Card
from training.datasets.fixed import OneBatch
from training.datasets.stored import open_libraries
from training.recipe import Data, Loss, Schedule, Stage, constant

SHIPPED = "shipped"  # the scale of the bundles that come with the package

Opened = Callable[[Path], Data]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--set` changes in every recipe."""

    steps: int
    lr: float
    validate_every: int  # steps
    validation_cases: int
    by_heart: bool = False  # one batch, again and again
    seed: int


def drafted(number: int, scale: str) -> Card:
    """The card of a model of the list, trained at that scale; what it gives and how, its recipe says. What ships bears
    the model's own name."""
    item = catalogue.item(number)
    name = item.name if scale == SHIPPED else f"{item.name}-{scale}"
    return Card(name=name, version="1", number=number, paper=item.paper, roles=item.roles, outputs=())


def stage(plan: Plan, name: str, loss: Loss, schedule: Schedule = constant, **special: Any) -> Stage:
    """All steps of the plan with one loss; `special`: the fields of `Stage` in which a recipe differs from most."""
    fields: dict[str, Any] = {"steps": plan.steps, "lr": plan.lr, "validate_every": plan.validate_every}
    return Stage(name=name, loss=loss, schedule=schedule, **(fields | special))


def samples(plan: Plan, kind: Callable[..., Data], *, richest: bool = False) -> Opened:
    """How a recipe opens its data: a set of that kind, which lacks nothing but the patients of a folder; where the plan
    learns by heart one batch of it, and for `richest` one that shows much of lesions."""

    def opened(folder: Path) -> Data:
        train, held_out = open_libraries(folder)
        found = kind(train=train, held_out=held_out, validation_cases=plan.validation_cases)
        return OneBatch(of=found, seed=plan.seed, richest=richest) if plan.by_heart else found

    return opened
