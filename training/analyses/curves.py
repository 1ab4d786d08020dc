"""What trainings went through: loss and validation scores over steps, from the logs for TensorBoard that they leave.

COVID-MTL (Bao et al.) draws them for Shift3D (Fig. 4, the total loss), for its three losses with and without Shift3D
(Fig. 9) and for the transfer (Fig. 10). Theirs are of the test set, ours of the patients that checkpoints are chosen
by; the loss is that of training, because a loss that is weighted at random anew says nothing of a validation.

Runs that differ by their seed alone are drawn as one; what else they differ in is what they are called.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.stored import DataError
from training.errors import TrainingError
from training.watch import LOGS

TOTAL = "total loss"
BLOCKS = 60  # points of a curve of losses: each the mean of as many steps, between the 10th and the 90th percentile
SEED = "seed"

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One training. `settings`: the recipe, the scale and the plan; `series`: (point, 2), step and value, by name."""

    settings: Mapping[str, Any]
    series: Mapping[str, Values]


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Runs that differ by their seed, together: the mean, and what they lie between."""

    steps: Values
    mean: Values
    low: Values
    high: Values
    runs: int


def read(folder: Path) -> Run:
    """The training in a folder: that of `triaged train --tensorboard`, or one of a study's. Raises DataError."""
    place = folder if (folder / LOGS).is_dir() else folder / "training"
    if not (place / LOGS).is_dir():
        raise DataError(f"{folder} holds no logs: train with --tensorboard, or name a folder of a study's trainings")
    try:
        manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        settings = {"recipe": manifest["recipe"], "scale": manifest["scale"], **manifest["plan"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: no readable manifest.json beside the logs: {error}") from error
    series = _series(place / LOGS)
    if not series:
        raise DataError(f"{folder}: its logs are empty; the training was stopped before its first step")
    return Run(settings=settings, series=series)


def read_all(folders: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Those that have logs, and why the others have none: what is fitted in one go has not. Raises DataError where none
    has."""
    found, without = [], []
    for folder in folders:
        try:
            found.append(read(folder))
        except DataError as error:
            without.append(str(error))
    if not found:
        raise DataError(without[0] if without else "no run is named")
    return found, without


def _series(folder: Path) -> dict[str, Values]:
    """Stage after stage on one axis of steps; a step that was done again after a stop counts as it was done last."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        raise TrainingError("TensorBoard is not installed: pip install 'triaged[train]'") from error
    log: Any = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    log.Reload()
    began: dict[str, float] = {}
    length: dict[str, int] = {}
    values: dict[tuple[str, str], dict[int, float]] = {}
    for tag in log.Tags()["scalars"]:
        stage, kind, name = tag.split("/", maxsplit=2)
        events = log.Scalars(tag)
        began[stage] = min(began.get(stage, np.inf), events[0].wall_time)
        length[stage] = max(length.get(stage, 0), *(event.step for event in events))
        said = values.setdefault((stage, TOTAL if kind == "loss" else name), {})
        once = {event.step: event.value for event in events}
        for step, value in once.items():
            said[step] = said.get(step, 0.0) + value if kind == "loss" else value
    order = sorted(began, key=lambda stage: began[stage])
    before = dict(zip(order, accumulate((length[stage] for stage in order), initial=0), strict=False))
    found: dict[str, list[tuple[float, float]]] = {}
    for stage in order:
        for (of, name), points in values.items():
            if of == stage:
                found.setdefault(name, []).extend((before[stage] + step, points[step]) for step in sorted(points))
    return {name: np.array(points, np.float64) for name, points in found.items()}


def together(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by what sets them apart, in words: the recipe, and of one recipe's runs the settings in which they differ.
    Those that a seed alone sets apart have the same."""
    by_recipe: dict[str, list[Run]] = {}
    for run in runs:
        by_recipe.setdefault(str(run.settings["recipe"]), []).append(run)
    found: dict[str, list[Run]] = {}
    for recipe, some in by_recipe.items():
        keys = list(dict.fromkeys(key for run in some for key in run.settings if key != SEED))
        apart = [key for key in keys if len({json.dumps(run.settings.get(key)) for run in some}) > 1]
        for run in some:
            settings = [_said(key, run.settings[key]) for key in apart if key in run.settings]
            named = [recipe] if len(by_recipe) > 1 or not settings else []
            found.setdefault(", ".join([*named, *settings]), []).append(run)
    return found


def _said(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return key if value else f"no {key}"
    return f"{key} {value}"


def curve(runs: Sequence[Run], name: str) -> Curve | None:
    """Of the runs that have it; None where none has."""
    there = [run.series[name] for run in runs if name in run.series]
    if not there:
        return None
    return _of_losses(there) if name == TOTAL else _of_scores(there)


def _of_losses(there: Sequence[Values]) -> Curve:
    points = np.concatenate(there)
    last = points[:, 0].max()
    count = int(min(BLOCKS, last))
    block = np.minimum(((points[:, 0] - 1) / last * count).astype(np.intp), count - 1)
    blocks = np.unique(block)
    parts = [points[block == n] for n in blocks]
    low, high = np.array([np.nanquantile(part[:, 1], [0.1, 0.9]) for part in parts]).T
    means = np.array([part.mean(axis=0) for part in parts])
    return Curve(steps=means[:, 0], mean=means[:, 1], low=low, high=high, runs=len(there))


def _of_scores(there: Sequence[Values]) -> Curve:
    """At the steps at which any was validated; what could not be computed is left out."""
    points = np.concatenate(there)
    points = points[~np.isnan(points[:, 1])]
    steps = np.unique(points[:, 0])
    at = [points[points[:, 0] == step, 1] for step in steps]
    mean, low, high = (np.array([of(values) for values in at]) for of in (np.mean, np.min, np.max))
    return Curve(steps=steps, mean=mean, low=low, high=high, runs=len(there))


def names(runs: Sequence[Run], wanted: Sequence[str] = ()) -> list[str]:
    """What is drawn: what is wanted, or the loss and every score. Raises ValueError on one that no run has."""
    there = list(dict.fromkeys(name for run in runs for name in run.series))
    unknown = [name for name in wanted if name not in there]
    if unknown:
        raise ValueError(f"no run has {', '.join(unknown)}; there are {', '.join(there)}")
    return list(wanted) or sorted(there, key=lambda name: name != TOTAL)


def rows_of(runs: Sequence[Run], key: str) -> dict[str, list[Run]]:
    """Runs by a setting, of which each value is drawn as a row; one row where no setting is named. Raises ValueError on
    one that a run has not."""
    if not key:
        return {"": list(runs)}
    if any(key not in run.settings for run in runs):
        known = sorted(set.intersection(*(set(run.settings) for run in runs)))
        raise ValueError(f"not every run has {key}; all have {', '.join(known)}")
    found: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: json.dumps(run.settings[key])):
        found.setdefault(_said(key, run.settings[key]), []).append(run)
    return found


def numbers(runs: Sequence[Run], wanted: Sequence[str] = (), by: str = "") -> dict[str, Any]:
    """What is drawn, in numbers: by row, name and what sets runs apart."""
    return {
        row: {
            name: {
                words: {"steps": c.steps, "mean": c.mean, "low": c.low, "high": c.high, "runs": c.runs}
                for words, some in together(of_row).items()
                if (c := curve(some, name)) is not None
            }
            for name in names(runs, wanted)
        }
        for row, of_row in rows_of(runs, by).items()
    }
