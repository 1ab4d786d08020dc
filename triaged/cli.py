"""The command `triaged`. What is heavy to import is imported inside the commands."""

from __future__ import annotations

from typing import Annotated

import typer

from triaged import __version__
from triaged.commands import analyse, beyond, curves, data, research, site, study

app = typer.Typer(
    name="triaged",
    help="Scores chest CTs beside the PACS and puts the most affected patient first. Research software.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a pretty traceback prints local variables, which hold identities
    add_completion=False,
)
app.add_typer(site.app)
app.add_typer(research.app)
app.add_typer(data.app)
app.add_typer(study.app)
analyse.analyse.add_typer(curves.app)
app.add_typer(analyse.app)
app.add_typer(beyond.app)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    app(prog_name="triaged")
