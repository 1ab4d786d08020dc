"""The real check: pipelines on the real studies beside the checkout, for checking and never for choosing.

`make real-check` writes the table to RESULTS.md. Every figure is reported, good or bad. Without the data it says so and
ends well.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from models import zoo
from models.bundle import read_card
from training.evaluate import Contender
from training.realreport import report, table
from training.realstudies import check
from training.tables import put_section

DATA = "TRIAGED_SHARED_DATA"  # where the data lies, if not beside the checkout
RESULTS = Path(__file__).parent / "RESULTS.md"
SECTION = "real-check"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def contenders(named: Sequence[str]) -> list[Contender]:
    """The classical path, then what was named as LABEL=LUNGS,TRIAGE; without names, the bundles that ship."""
    found = [Contender(label="classical", lungs="classical-lungs", triage="thresholding")]
    for text in named:
        label, _, rest = text.partition("=")
        lungs, comma, triage = rest.partition(",")
        if not (label and lungs and comma and triage):
            raise ValueError(f"{text!r} is not LABEL=LUNGS,TRIAGE")
        found.append(Contender(label=label, lungs=lungs, triage=triage))
    if not named:
        shipped = {name: read_card(folder) for name, folder in zoo.shipped().items()}
        lungs_names = [name for name, card in shipped.items() if "lungs" in card.roles]
        triage_names = [name for name, card in shipped.items() if "triage" in card.roles]
        if lungs_names and triage_names:
            found.append(Contender(label="learned", lungs=lungs_names[0], triage=triage_names[0]))
    return found


@app.command()
def main(
    pipeline: Annotated[list[str] | None, typer.Option(help="LABEL=LUNGS,TRIAGE; names or folders of bundles.")] = None,
    out: Annotated[Path, typer.Option(help="The file whose section is written.")] = RESULTS,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
) -> None:
    """Check pipelines on the real studies and write the table."""

    data = Path(os.environ.get(DATA, "../shared/data"))
    if not (data / "MANIFEST.md").is_file():
        typer.echo(f"skipped: no real CT data in {data} (set {DATA})")
        return
    try:
        wanted = contenders(pipeline or [])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    checked = [check(data, contender, device, lambda words: typer.echo(words, err=True)) for contender in wanted]
    put_section(out, SECTION, report(checked, date.today(), is_default=not pipeline))
    typer.echo(table(checked))


if __name__ == "__main__":
    app()
