"""The command that carries out a whole comparison of a paper."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from triaged.clock import now
from triaged.commands.terminal import BAD_CONFIGURATION, AsJson, Device, Precision, Threads, err, fail, out, print_json

app = typer.Typer()


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="ct-triage, covid-mtl, amyar or deepsc.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Trainings and measurements; what is there is not repeated.")],
    scale: Annotated[str, typer.Option(help="tiny or small.")] = "small",
    rows: Annotated[
        str,
        typer.Option(help="A,B: train these only; the others show what is there. A wrong one lists all."),
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Of the rows that are ordered; the others have one.")] = 3,
    cap_minutes: Annotated[float, typer.Option(min=0.0, help="Of one training, in all runs together.")] = 60.0,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the phantoms, drawn where they are missing. Else OUT/data-SCALE.")
    ] = None,
    lungs: Annotated[str, typer.Option(help="The model whose lungs every row is given; else what ships.")] = "",
    results: Annotated[
        Path | None,
        typer.Option(help="A Markdown file, whose section on this is written anew; results/NAME.json beside it."),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    precision: Precision = "float32",
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw phantoms.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Train and judge the methods of a paper on the same phantoms, and print its tables with our column.

    Exit status 1 where a row that was to be trained has no whole result; the same command continues.
    """
    from models.bundle import BundleError
    from models.predict import UnknownModel
    from training import study as studies
    from training import studyreport, watch
    from training.datasets.stored import DataError
    from training.studydata import drawn
    from training.team import at_work_on

    device = at_work_on(device, threads)
    chosen = tuple(key for key in rows.split(",") if key)
    settings = studies.Settings(
        scale=scale,
        out=out_dir,
        rows=chosen,
        seeds=seeds,
        cap_minutes=cap_minutes,
        lungs=lungs,
        device=device,
        precision=precision,
    )
    began = time.monotonic()
    try:
        asked = studies.checked(name, settings)
        with err.status("phantoms") as bar:
            phantoms = drawn(data or out_dir / f"data-{scale}", scale, workers=workers, progress=bar.update)
            with watch.stoppable() as stop:
                hears = studies.Hears(what=bar.update, stop=stop)
                done = studies.run(asked, phantoms, settings, hears)
    except studies.CannotStudy as error:
        fail(str(error), BAD_CONFIGURATION)
    except (DataError, UnknownModel, BundleError) as error:
        fail(str(error))
    if results is not None:
        words = studyreport.command(asked, settings, chosen)
        minutes = (time.monotonic() - began) / 60
        studyreport.put(results, asked, done, words, now().utc.date(), minutes)
    if as_json:
        print_json(studyreport.as_json(done))
    else:
        out.print(studyreport.as_markdown(done), highlight=False, markup=False, soft_wrap=True)
    if done.missing:
        fail(f"Without a whole result: {', '.join(done.missing)}; the same command continues.")
