"""The rows of a study's table as bars with their intervals: Fig. 8 and 9 of DeepSC-COVID (Wang et al.), of any study.

Read is what `triaged study NAME --json` printed. The paper's own numbers are not drawn: they are of other data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.analyses import drawing
from training.datasets.stored import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS = 5  # panels side by side


@dataclass(frozen=True, kw_only=True)
class Bar:
    """Value and interval of one row in one column, in the units of the scores; `whole` False: the row is marked."""

    row: str
    value: float
    low: float
    high: float
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One table: its bars by column, as the paper's table has them."""

    title: str
    columns: Mapping[str, Sequence[Bar]]

    @property
    def stem(self) -> str:
        """The title as a file can have it."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def charts(path: Path, words: str = "") -> list[Chart]:
    """Of every table whose title has these words, and that has anything to draw. Raises DataError."""
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        found = [_chart(table) for table in tables if words.lower() in table["title"].lower()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not what `triaged study NAME --json` prints: {error}") from error
    found = [chart for chart in found if chart.columns]
    if not found:
        raise DataError(f"{path}: no table{f' with {words!r} in its title' * bool(words)} has anything to draw")
    return found


def _chart(table: Mapping[str, Any]) -> Chart:
    marked = set(table["marks"])
    columns: dict[str, list[Bar]] = {}
    for name in table["columns"]:
        bars = [
            Bar(
                row=one["row"],
                value=one["value"],
                low=one["value"] if one["low"] is None else one["low"],
                high=one["value"] if one["high"] is None else one["high"],
                whole=one["row"] not in marked,
            )
            for one in table["intervals"]
            if one["column"] == name and one["value"] is not None
        ]
        if bars:
            columns[name] = bars
    return Chart(title=table["title"], columns=columns)


def draw(chart: Chart) -> Figure:
    """A panel for each column, a bar for each row with its 95 % interval; what is not whole is hatched."""
    rows = list(dict.fromkeys(bar.row for bars in chart.columns.values() for bar in bars))
    down = -(-len(chart.columns) // ACROSS)
    across = min(ACROSS, len(chart.columns))
    figure = drawing.figure(2.3 * across + 1.6, (0.26 * len(rows) + 0.9) * down + 0.4)
    panels = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for axes, (name, bars) in zip(panels, chart.columns.items(), strict=False):
        for bar in bars:
            place = rows.index(bar.row)
            colour = drawing.COLOURS[place % len(drawing.COLOURS)]
            axes.barh(place, bar.value, color=colour, height=0.7, hatch="" if bar.whole else "///", edgecolor="white")
            axes.plot([bar.low, bar.high], [place, place], color="black", linewidth=1.0)
        axes.set_title(re.sub(r" %$", "", name), fontsize=9)  # a share, as it was computed
        axes.tick_params(labelsize=7)
    panels[0].set_yticks(range(len(rows)), labels=rows, fontsize=7)
    panels[0].invert_yaxis()
    for axes in panels[len(chart.columns) :]:
        axes.set_axis_off()
    part = any(not bar.whole for bars in chart.columns.values() for bar in bars)
    figure.suptitle(f"{chart.title}{' (hatched: missing in part)' if part else ''}", fontsize=9)
    return figure
