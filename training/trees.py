"""Models 7 and 8 by name, for `triaged train`: fitted in one go on a feature table, where networks follow a recipe.

The table is a file, as the authors of COVID-MTL publish theirs, or it is measured on the drawn patients of a folder.
The grid of the features goes into the bundle: a study is measured on the same when it serves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from training import atonce
from training.atonce import Described, require_new, write_manifest
from training.datasets import ictcf
from training.datasets.drawn_features import features_of
from training.datasets.measured import GRIDS_MM
from training.loop import TrainingError
from training.tabular import NAMES_OF, TREES, write_bundle
from training.train import BUNDLE, Trained

METHODS: Mapping[str, str] = {name: method for method, name in NAMES_OF.items()}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--set` changes. `grid_mm`: of patients who are yet to be measured; a table has its own."""

    task: Literal["CT", "NAT", "severity"] = "CT"
    trees: int = TREES
    grid_mm: float


SCALES: Mapping[str, Plan] = {
    "tiny": Plan(trees=20, grid_mm=GRIDS_MM["tiny"]),
    "small": Plan(grid_mm=GRIDS_MM["small"]),
    "paper": Plan(grid_mm=GRIDS_MM["paper"]),
}


def train(name: str, *, scale: str, changes: Sequence[str], data: Path, out: Path) -> Trained:
    """Fit on the training part of a table of features, or of those of the drawn patients in a folder, judge on its test
    part, and write out/bundle.

    Raises TrainingError where the folder holds a training, DataError on a table or patients that are none.
    """
    plan = planned(name, scale, changes)
    require_new(out)
    path = features_of(data, plan.grid_mm) if data.is_dir() else data
    table = ictcf.read(path)
    if plan.grid_mm not in (table.grid_mm, SCALES[scale].grid_mm):
        raise TrainingError(f"{path.name} was measured at {table.grid_mm:g} mm, not at grid_mm={plan.grid_mm:g}")
    plan = replace(plan, grid_mm=table.grid_mm)
    card = write_bundle(out / BUNDLE, table, plan.task, METHODS[name], trees=plan.trees)
    digest, whose = hashlib.sha256(path.read_bytes()).hexdigest(), f"{len(table)} patients of {path.name}"
    write_manifest(out, name, scale, plan, Described(digest=digest, description=whose))
    return Trained(bundle=out / BUNDLE, scores=card.scores, best_step=None)


def planned(name: str, scale: str, changes: Sequence[str]) -> Plan:
    """The plan of the scale with `changes` ("key=value") applied. Raises TrainingError naming what is wrong."""
    plan = atonce.planned(name, scale, SCALES, changes)
    for key in ("trees", "grid_mm"):
        if not getattr(plan, key) > 0:
            raise TrainingError(f"{key} is {getattr(plan, key):g}, must be more than 0")
    return plan
