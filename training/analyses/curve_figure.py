"""Loss and validation scores of trainings over their steps: Fig. 4, 9 and 10 of COVID-MTL, of any runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.analyses import drawing
from training.analyses.curves import TOTAL, Run, curve, names, rows_of, together

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = ("-", "--", ":", "-.")  # of as many times as many curves as there are colours


def draw(runs: Sequence[Run], wanted: Sequence[str] = (), by: str = "") -> Figure:
    """A column for each name, a row for each value of the setting `by`. A line is the mean over seeds; shaded is what
    they lie between, and for the loss what four fifths of the steps do. Raises as `names` and `rows_of` do."""
    columns, rows = names(runs, wanted), rows_of(runs, by)
    figure = drawing.figure(3.6 * len(columns), 2.9 * len(rows) + 0.5)
    panels = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey="col")
    for line, (title, some) in zip(panels, rows.items(), strict=True):
        # Within a row the setting it stands for sets nothing apart.
        for axes, name in zip(line, columns, strict=True):
            for number, (words, of_seeds) in enumerate(together(some).items()):
                found = curve(of_seeds, name)
                if found is None:
                    continue
                style = LINES[number // len(drawing.COLOURS) % len(LINES)]
                colour = drawing.COLOURS[number % len(drawing.COLOURS)]
                label = words if found.runs == 1 else f"{words} ({found.runs} seeds)"
                axes.plot(found.steps, found.mean, color=colour, linestyle=style, label=label, linewidth=1.3)
                axes.fill_between(found.steps, found.low, found.high, color=colour, alpha=0.15, linewidth=0)
            axes.set_ylabel(name if name == TOTAL else f"{name}, validation")
            axes.grid(color="#eeeeee")
            if title:
                axes.set_title(title, fontsize=9)
        line[-1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    for axes in panels[-1]:
        axes.set_xlabel("step")
    return figure
