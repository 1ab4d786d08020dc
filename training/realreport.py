"""The real check in words: one line per figure, one column per pipeline, and what misses its aim marked as missed."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from training.evaluate import Contender
from training.realstudies import LABELLED, MARKED, STUDIES, THINNED, Checked, Reading, SliceAuc
from training.tables import markdown

# What the project promises itself (Dice; fractions of a lung).
LEAST_DICE, MOST_NORMAL, MOST_BETWEEN_KERNELS = 0.95, 0.02, 0.03
NORMAL = "normal-001"
NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One cell of the table, with the line it stands in. What was not measured has no aim to miss."""

    what: str
    wanted: str
    said: str
    is_met: bool = True

    @property
    def cell(self) -> str:
        return self.said if self.is_met else f"{self.said} **missed**"


def table(checked: Sequence[Checked]) -> str:
    """The first pipeline is the one that the others have to beat."""
    scored = any(not np.isnan(reading.score) for one in checked for reading in one.readings.values())
    columns = [list(figures(one, checked[0], with_scores=scored)) for one in checked]
    lines = [[line[0].what, line[0].wanted, *(f.cell for f in line)] for line in zip(*columns, strict=True)]
    return markdown(["", "wanted", *(c.contender.label for c in checked)], lines)


def figures(checked: Checked, first: Checked, *, with_scores: bool) -> Iterator[Figure]:
    """Every figure of one pipeline, the same lines for each."""
    yield from _lungs(checked)
    yield from _slices(checked, first)
    yield from _affected(checked)
    if with_scores:
        yield from _scores(checked)
    seconds = sum(reading.seconds for reading in checked.readings.values() if not reading.refused)
    yield Figure(what="seconds for all of these", wanted="–", said=f"{seconds:.0f}")


def _lungs(checked: Checked) -> Iterator[Figure]:
    for name, _, _ in MARKED:
        found = checked.readings[name].marked_dice
        yield Figure(
            what=f"lung Dice, {name}",
            wanted=f"at least {LEAST_DICE}",
            said=_number(found),
            is_met=not found < LEAST_DICE,
        )
    for name, reading in checked.readings.items():
        marked = "–" if np.isnan(reading.marked_ml) else f"{reading.marked_ml:.0f} in all"
        yield Figure(what=f"lungs right + left, mL, {name}", wanted=marked, said=_volumes(reading))


def _slices(checked: Checked, first: Checked) -> Iterator[Figure]:
    for name in LABELLED:
        found, to_beat = checked.slices[name], first.slices[name].both
        yield Figure(
            what=f"slice AUC of the lesion area, {name}",
            wanted=f"more than {first.contender.label}",
            said=_number(found.both),
            is_met=checked is first or not found.both <= to_beat,
        )
        for side in ("right", "left"):
            yield _side(found, side, name)


def _side(found: SliceAuc, side: str, name: str) -> Figure:
    """A lesion in one lung says more of that lung's lobes than of the other's, unless the sides are swapped."""
    own = found.right if side == "right" else found.left
    other = found.crossed_right if side == "right" else found.crossed_left
    return Figure(
        what=f"slice AUC, {side} lung against its own lobes (against the other lung's), {name}",
        wanted="own above other",
        said=f"{_number(own)} ({_number(other)})",
        is_met=not own <= other,
    )


def _affected(checked: Checked) -> Iterator[Figure]:
    for name in STUDIES:
        reading, is_normal = checked.readings[name], name == NORMAL
        yield Figure(
            what=f"affected right / left, {name}",
            wanted=f"at most {100 * MOST_NORMAL:.0f} %" if is_normal else "–",
            said=f"{_percent(reading.right_fraction)} / {_percent(reading.left_fraction)}",
            is_met=not (is_normal and reading.fraction > MOST_NORMAL),
        )
    normal = checked.readings[NORMAL].fraction
    yield Figure(
        what=f"affected, worse lung, {THINNED} thinned to 6 mm spacing (from the 1st, 2nd, 3rd slice)",
        wanted=f"each above {NORMAL}",
        said=" / ".join(map(_percent, checked.thinned)),
        is_met=not any(fraction <= normal for fraction in checked.thinned),
    )
    points = 100 * (checked.readings["lungdx-A0001 L"].fraction - checked.readings["lungdx-A0001 B"].fraction)
    yield Figure(
        what="affected, worse lung, lungdx-A0001: kernel L less kernel B, points",
        wanted=f"within {100 * MOST_BETWEEN_KERNELS:.0f}",
        said="–" if np.isnan(points) else f"{points:+.2f}",
        is_met=not abs(points) > 100 * MOST_BETWEEN_KERNELS,
    )


def _scores(checked: Checked) -> Iterator[Figure]:
    for name in STUDIES:
        yield Figure(
            what=f"COVID-19 score (uncalibrated), {name}", wanted="–", said=_number(checked.readings[name].score)
        )
    yield Figure(what=f"the same, {THINNED} thinned", wanted="–", said=" / ".join(map(_number, checked.thinned_scores)))


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _percent(fraction: float) -> str:
    return "–" if np.isnan(fraction) else f"{100 * fraction:.2f} %"


def _volumes(reading: Reading) -> str:
    if reading.refused:
        return f"refused: {reading.refused}"
    return f"{reading.right_ml:.0f} + {reading.left_ml:.0f} = {reading.right_ml + reading.left_ml:.0f}"


def report(checked: Sequence[Checked], on: date, *, is_default: bool) -> str:
    """The section of RESULTS.md: what was run, when and on what, and the table."""
    named = " ".join(f"--pipeline {_argument(c.contender)}" for c in checked[1:])
    command = "make real-check" if is_default else f'make real-check ARGS="{named}"'
    pipelines = [f"- **{c.contender.label}**: {_models(c.contender)}" for c in checked]
    return "\n\n".join(
        [
            "## The real studies",
            f"`{command}`, {on.isoformat()}, {machine()}.",
            "For checking, not for choosing: nothing was fitted on these, and weights were chosen on drawn cases.\n"
            "They have refused weights, and where cap-001 was missed was looked at before the generator was extended\n"
            "(CHANGELOG): its row is no longer independent. One study of a kind shows that a figure is sane, not how\n"
            "good a method is; slices of one patient are no sample, so there are no intervals.",
            "\n".join(pipelines),
            table(checked),
        ]
    )


def _models(contender: Contender) -> str:
    """The models by name; of a bundle elsewhere the name of its folder alone."""
    return f"lungs by `{Path(contender.lungs).name}`, triage by `{Path(contender.triage).name}`"


def _argument(contender: Contender) -> str:
    return f"{contender.label}={Path(contender.lungs).name},{Path(contender.triage).name}"


def machine() -> str:
    """Processor, cores and versions; no name of a host."""
    model = platform.machine()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    libraries = ", ".join(f"{name} {version(name).partition('+')[0]}" for name in ("numpy", "scipy", "torch"))
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}, {libraries}"
