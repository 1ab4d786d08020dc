"""Commands of researchers that draw what trainings and studies left: curves over steps, rows of a table as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triaged.commands.analyse import OutDir, print_paths, told
from triaged.commands.terminal import AsJson, err, print_json

app = typer.Typer()


@app.command()
def curves(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of trainings: runs of `train --tensorboard`, or OUT/trainings/* of a study."),
    ],
    out_dir: OutDir,
    score: Annotated[
        list[str] | None, typer.Option(help="Draw this loss or score (several times for several); else all.")
    ] = None,
    rows: Annotated[str, typer.Option(help="A setting, such as shift, of which each value is a row of panels.")] = "",
    as_json: AsJson = False,
) -> None:
    """Draw loss and validation scores of trainings over their steps: COVID-MTL's Fig. 4, 9 and 10.

    Runs are named for the settings in which they differ; those that differ by their seed alone are drawn as one.
    """
    with told():
        from training.analyses import curve_figure, drawing
        from training.analyses import curves as analysis

        with err.status("reading") as bar:
            found, without = analysis.read_all(runs)
            numbers = analysis.numbers(found, score or (), rows)
            bar.update("drawing")
            paths = drawing.save(curve_figure.draw(found, score or (), rows), out_dir, "curves")
        paths.append(drawing.save_numbers(numbers, out_dir, "curves"))
        if as_json:
            print_json(drawing.plain(numbers))
            return
    print_paths(paths)
    for words in without:
        err.print(f"left out: {words}", style="yellow", highlight=False, markup=False, soft_wrap=True)


@app.command()
def bars(
    study: Annotated[Path, typer.Argument(help="What `triaged study NAME --json` printed.")],
    out_dir: OutDir,
    title: Annotated[str, typer.Option(help="Draw the tables with these words in their title; else all.")] = "",
    as_json: AsJson = False,
) -> None:
    """Draw the rows of a study's tables as bars with their intervals: DeepSC-COVID's Fig. 8 and 9."""
    with told():
        from training.analyses import bars as analysis
        from training.analyses import drawing

        charts = analysis.charts(study, title)
        with err.status("drawing"):
            paths = [p for chart in charts for p in drawing.save(analysis.draw(chart), out_dir, chart.stem)]
    if as_json:
        print_json({"files": [str(path) for path in paths]})
    else:
        print_paths(paths)
