"""Models 7 and 8 by name, for `triaged train`: fitted in one go on a feature table, where networks follow a recipe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from training.datasets import ictcf
from training.loop import TrainingError
from training.tabular import NAMES_OF, TREES, write_bundle
from training.team import ALONE
from training.train import BUNDLE, MANIFEST, Trained, changed, manifest

METHODS: Mapping[str, str] = {name: method for method, name in NAMES_OF.items()}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--set` changes."""

    task: Literal["CT", "NAT", "severity"] = "CT"
    trees: int = TREES


SCALES: Mapping[str, Plan] = {"tiny": Plan(trees=20), "small": Plan(), "paper": Plan()}


@dataclass(frozen=True, kw_only=True)
class _Described:
    """What a manifest says of a table."""

    digest: str
    description: str


def train(name: str, *, scale: str, changes: Sequence[str], data: Path, out: Path) -> Trained:
    """Fit on the training part of the feature table `data`, judge on its test part, and write out/bundle.

    Raises TrainingError where the folder holds a training, DataError on a table that is none.
    """
    if scale not in SCALES:
        raise TrainingError(f"{name} has no scale {scale}; there are {', '.join(SCALES)}")
    plan: Plan = changed(SCALES[scale], changes)
    if plan.trees < 1:
        raise TrainingError(f"trees is {plan.trees}, must be at least 1")
    if (out / BUNDLE).exists():
        raise TrainingError(f"{out} holds a training; choose another folder")
    if data.is_dir():
        raise TrainingError(f"{name} is fitted on a table of features (.csv or .csv.gz), and {data} is a folder")
    table = ictcf.read(data)
    described = _Described(
        digest=hashlib.sha256(data.read_bytes()).hexdigest(), description=f"{len(table)} patients of {data.name}"
    )
    card = write_bundle(out / BUNDLE, table, plan.task, METHODS[name], trees=plan.trees)
    text = json.dumps(manifest(name, scale, asdict(plan), described, ALONE), indent=2, sort_keys=True) + "\n"
    for folder in (out, out / BUNDLE):
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    return Trained(bundle=out / BUNDLE, scores=card.scores, best_step=None)
