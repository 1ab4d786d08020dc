"""What every command has in common: how it prints, how it fails, what its options are called."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

BAD_CONFIGURATION = 2

out = Console()
err = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:0 ... or auto.")]
Precision = Annotated[
    str,
    typer.Option(help="Trainings compute in float32, or in bfloat16 where that is safe: faster where hardware has it."),
]
Threads = Annotated[int | None, typer.Option(help="Of the CPU; fewer or more may change the last digits.")]


def fail(message: str, status: int = 1) -> NoReturn:
    # Not broken at a width: a program may look for the key, a person for the whole path.
    err.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(status)


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")  # a UID or a path is told whole
    for row in rows:
        table.add_row(*("–" if cell is None else str(cell) for cell in row))
    out.print(table)


def tell(facts: Mapping[str, object], *, as_json: bool) -> None:
    """Facts by name, for a program or for a person."""
    if as_json:
        print_json(facts)
    else:
        print_table(("", ""), list(facts.items()))
