"""Commands of researchers about data sets: which there are, what is wrong with one, a library to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triaged.commands.terminal import AsJson, err, fail, out, print_json, print_table

app = typer.Typer()
data = typer.Typer(help="Public data sets and your own: list them, check them, prepare them for training.")
app.add_typer(data, name="data")

Name = Annotated[str, typer.Argument(help="A data set, as `triaged data list` names it; own for a folder of yours.")]
Folder = Annotated[Path, typer.Argument(help="Where it was unpacked.")]


@data.command(name="list")
def list_sets(as_json: AsJson = False) -> None:
    """List the data sets that can be read, with licence, mask convention and expected files."""
    from training.datasets.public.registry import DATA_SETS

    keys = ("name", "title", "url", "licence", "citation", "masks", "classes", "size", "layout", "note")
    items = [
        {**{key: getattr(found, key) for key in keys}, "readable": found.cases is not None}
        for found in DATA_SETS.values()
    ]
    if as_json:
        print_json(items)
    else:
        print_table(
            ("name", "as published", "licence"), [(i["name"], i["size"] or i["title"], i["licence"]) for i in items]
        )
        out.print("\nFiles, masks, sources and citations: --json", highlight=False)


@data.command()
def check(name: Name, folder: Folder, as_json: AsJson = False) -> None:
    """Read every file and say what is there, missing and malformed. Exit status 1 where it cannot be trained on."""
    from training.datasets.public.check import check as examine
    from training.datasets.public.check import parts_of
    from training.datasets.public.registry import data_set
    from training.datasets.stored import DataError

    try:
        with err.status("reading") as bar:
            report = examine(data_set(name), folder, bar.update)
    except DataError as error:
        fail(str(error))
    if as_json:
        print_json(report.as_dict())
    else:
        kinds = ", ".join(f"{n} {kind}" for kind, n in report.kinds.items())
        rows = [
            ("cases", f"{report.cases}: {kinds}"),
            ("split", parts_of(report)),
            ("with lungs", report.with_lungs),
            ("with lesions known", report.annotated),
        ]
        print_table(("", name), rows)
        for note in report.notes:
            out.print(note, highlight=False, markup=False, soft_wrap=True)
        if report.problems:
            print_table(("case", "fault", "what to do"), [(p.case, p.fault, p.words) for p in report.problems])
    if not report.sound:
        fail(f"{len(report.problems)} problems: not to be trained on as it is.")


@data.command()
def prepare(
    name: Name,
    folder: Folder,
    out_dir: Annotated[Path, typer.Option("--out", help="The library; of several data sets, one after the other.")],
    lungs: Annotated[str | None, typer.Option(help="Model for cases without a lung mask, such as lungs-unet.")] = None,
    slice_mm: Annotated[
        float | None, typer.Option(min=0.1, help="Leave slices out until they lie at least so far apart.")
    ] = None,
    leave_out: Annotated[bool, typer.Option("--leave-out", help="Go on without cases that are malformed.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:0 ... for the lungs.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Bring a data set onto the networks' grid, as the library that `triaged train --data` reads."""
    from models.bundle import BundleError
    from models.predict import UnknownModel
    from training.datasets.prepare_library import Settings
    from training.datasets.prepare_library import prepare as bring
    from training.datasets.public.registry import data_set
    from training.datasets.stored import DataError

    settings = Settings(lungs=lungs, slice_mm=slice_mm, leave_out=leave_out, device=device)
    try:
        with err.status("preparing") as bar:
            made = bring(data_set(name), folder, out_dir, settings, bar.update)
    except (DataError, UnknownModel, BundleError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or out_dir}: {error.strerror}")
    if as_json:
        left_out = [{"case": case, "words": words} for case, words in made.left_out]
        print_json({"library": str(out_dir), "parts": made.parts, "annotated": made.annotated, "left_out": left_out})
        return
    rows = [
        (part, sum(n.values()), ", ".join(f"{k} {kind}" for kind, k in n.items())) for part, n in made.parts.items()
    ]
    print_table(("part", "patients", "kinds"), rows)
    out.print(f"{made.annotated} with lesions known", highlight=False)
    for case, words in made.left_out:
        err.print(f"left out: {case}: {words}", style="yellow", highlight=False, markup=False, soft_wrap=True)
