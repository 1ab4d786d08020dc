"""`triaged beyond`: the best model of COVID-MTL's 375 features, chosen without its test part, and judged."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from triaged.clock import now
from triaged.commands.terminal import BAD_CONFIGURATION, AsJson, err, fail, out, print_json

app = typer.Typer()


@app.command()
def beyond(
    data: Annotated[str, typer.Option(help="ictcf=FILE, the feature table (.csv or .csv.gz).")],
    out_dir: Annotated[Path, typer.Option("--out", help="Every step goes here; a stopped run goes on from it.")],
    repeats: Annotated[int, typer.Option(min=1, help="Of the five folds around the choice.")] = 2,
    splits: Annotated[int, typer.Option(min=2, help="Other splits that the published one is compared with.")] = 20,
    results: Annotated[Path | None, typer.Option(help="Put the section into this Markdown file too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Choose a model of the 375 features on the training part, open the test part once, and say what it is worth."""
    from training import beyond_report
    from training.beyond import Plan, study
    from training.datasets import ictcf
    from training.datasets.stored import DataError
    from training.errors import TrainingError
    from training.tables import put_section

    name, _, path = data.partition("=")
    if name != "ictcf" or not path:
        fail(f"--data {data}: ictcf=FILE", BAD_CONFIGURATION)
    began = time.monotonic()
    try:
        with err.status("") as bar:
            table = ictcf.read(Path(path))
            found = study(table, out_dir, now().utc, Plan(repeats=repeats, splits=splits), progress=bar.update)
    except (DataError, TrainingError) as error:
        fail(str(error))
    command = f"triaged beyond --data ictcf={Path(path).name} --out DIR --repeats {repeats} --splits {splits}"
    text = beyond_report.section(found, command, now().utc.date(), (time.monotonic() - began) / 60)
    value = beyond_report.as_json(found)
    (out_dir / "beyond.md").write_text(text + "\n", encoding="utf-8")
    (out_dir / "beyond.json").write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    if results is not None:
        put_section(results, beyond_report.SECTION, text)
    if as_json:
        print_json(value)
    else:
        out.print(text, highlight=False, markup=False, soft_wrap=True)
