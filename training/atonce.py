"""What everything has in common that is fitted in one go: no network, nothing to resume, watch or stop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from training.loop import TrainingError
from training.team import ALONE
from training.train import BUNDLE, MANIFEST, changed, manifest

P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a manifest says of the data."""

    digest: str
    description: str


def planned(name: str, scale: str, scales: Mapping[str, P], changes: Sequence[str]) -> P:
    """The plan of the scale with `changes` ("key=value") applied. Raises TrainingError naming what is wrong."""
    if scale not in scales:
        raise TrainingError(f"{name} has no scale {scale}; there are {', '.join(scales)}")
    plan: P = changed(scales[scale], changes)
    return plan


def require_new(out: Path) -> None:
    """Raises TrainingError where the folder holds a training."""
    if (out / BUNDLE).exists():
        raise TrainingError(f"{out} holds a training; choose another folder")


def write_manifest(out: Path, name: str, scale: str, plan: Any, data: Described) -> None:
    """Beside the bundle and in it."""
    text = json.dumps(manifest(name, scale, asdict(plan), data, ALONE), indent=2, sort_keys=True) + "\n"
    for folder in (out, out / BUNDLE):
        (folder / MANIFEST).write_text(text, encoding="utf-8")
