"""What a study compares, as frozen records: trainings, rows, columns and sections. `training.study` carries it out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from training import thresholds, trees
from training.evaluate import Metric
from training.reported import Cells, Table
from training.train import BUNDLE

# Fields of plans: what a training's steps are called, and what a step takes, the whole before its parts.
STEPS = ("ends_steps", "steps", "joint_steps", "transfer_steps")
TAKEN = ("series", "scans", "volumes", "boxes", "slices")


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of a recipe: `changes` ("key=value") of its plan at every scale, `at` further ones at a scale.
    `bundle`: which of its bundles, where a training leaves several."""

    recipe: str
    changes: tuple[str, ...] = ()
    at: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bundle: str = BUNDLE

    def changes_at(self, scale: str) -> tuple[str, ...]:
        return (*self.changes, *self.at.get(scale, ()))

    @property
    def on_features(self) -> bool:
        """Fitted in one go on a table of features: no network, no seed."""
        return self.recipe in trees.METHODS

    @property
    def at_once(self) -> bool:
        """Fitted in one go, on features or patients: no network, no seed."""
        return self.on_features or self.recipe == thresholds.NAME

    @property
    def draws(self) -> bool:
        """Whether it might have come out otherwise: not of a search, which looks at everything."""
        return self.recipe != thresholds.NAME


@dataclass(frozen=True, kw_only=True)
class Method:
    """What needs no training, by its name in the zoo."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method of a table. `parts`: who answers what, by the part that a column names; "" answers everything else.
    `headline`: trained with several seeds, so that it can be ordered. `paper`: of a row that no printed table has."""

    name: str
    parts: Mapping[str, Training | Method]
    headline: bool = False
    paper: Cells = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name as a command line can have it."""
        words = self.name.lower().replace("+", " plus ").replace("w/o", "without")
        return re.sub(r"[^a-z0-9]+", "-", words).strip("-")

    def of(self, part: str) -> Training | Method | None:
        return self.parts.get(part, self.parts.get(""))


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: a metric of what `part` answers, times `scale`, to so many `digits`. `spread`: printed as the paper
    prints it, with a standard deviation in brackets, of the cases or of the bootstrap's resamples."""

    name: str
    metric: Metric
    part: str = ""
    scale: float = 1.0
    digits: int = 3
    spread: Literal["cases", "resamples"] | None = None
    lower_is_better: bool = False
    ordered: bool = True  # may tell one row from another
    reference: bool = True  # the true descriptors can fill it


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table. `paper`: the printed one whose rows and columns these are, by name. `ordered` False: its labels are
    simulated, and nothing is claimed."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    paper: Table | None = None
    note: str = ""
    ordered: bool = True

    @property
    def heads(self) -> tuple[str, ...]:
        """The paper's columns where there are, those that nobody fills among them."""
        return self.paper.columns if self.paper else tuple(column.name for column in self.columns)

    def printed(self, row: Row) -> Cells:
        """What the paper reports of a row."""
        there = {printed.name: printed.paper for printed in self.paper.rows} if self.paper else {}
        return there.get(row.name, row.paper)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A comparison: its tables, and in words what every row is given at the scale small. `surfaces`: a column asks for
    their distances, which take longer than most networks. `pictures`: a case is one slice, not a whole study."""

    name: str
    title: str
    sections: tuple[Section, ...]
    budget: str
    surfaces: bool = False
    pictures: bool = False

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row once, by its key."""
        return tuple({row.key: row for section in self.sections for row in section.rows}.values())


def samples(plan: Mapping[str, Any]) -> tuple[int, str]:
    """How many samples a training sees, and of what: (1200, "series")."""
    taken = next((name for name in TAKEN if name in plan), "")
    steps = sum(int(plan[name]) for name in STEPS if name in plan)
    return steps * int(plan[taken]) if taken else 0, taken
