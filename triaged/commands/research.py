"""Commands of researchers: the zoo, training, judging, synthetic patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triaged.clock import now
from triaged.commands.terminal import (
    BAD_CONFIGURATION,
    AsJson,
    Device,
    Precision,
    Threads,
    err,
    fail,
    out,
    print_json,
    print_table,
    tell,
)

if TYPE_CHECKING:
    from training.loop import Progress
    from training.team import Team
    from training.train import Trained

app = typer.Typer()

BETWEEN_SEEDS = 100_000  # patients that a library may have before it runs into another one's
RUNS = Path("runs")  # trainings, and the phantoms they share, where nobody says another place


@app.command()
def models(
    named: Annotated[
        str | None, typer.Argument(help="Print the card of this model, or of the bundle in this folder.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All 36 of the four papers, with their sizes.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the models that the configuration can name, or print the card of one."""
    if named is not None:
        _print_card(named)
        return
    if every:
        _catalogue(as_json=as_json)
        return
    from models.zoo import cards, megabytes

    keys = ("number", "name", "version", "roles", "paper", "synthetic", "limits")
    items = [{key: getattr(card, key) for key in keys} | {"megabytes": megabytes(card)} for card in cards()]
    if as_json:
        print_json([item | {"card": asdict(card)} for item, card in zip(items, cards(), strict=True)])
    else:
        shown = ("number", "name", "version", "roles", "megabytes", "synthetic", "limits")  # the paper: --all, --json
        print_table(shown, [[", ".join(i[k]) if k == "roles" else i[k] for k in shown] for i in items])


def _print_card(named: str) -> None:
    from models.bundle import BundleError, read_card
    from models.zoo import METHODS, shipped

    try:
        card = METHODS[named] if named in METHODS else read_card(shipped().get(named, Path(named)))
    except BundleError as error:
        fail(str(error), BAD_CONFIGURATION)
    print_json(asdict(card))


def _catalogue(*, as_json: bool) -> None:
    from models.catalogue import ITEMS

    keys = ("number", "name", "paper", "kind", "roles", "parameters")
    items = [{key: getattr(item, key) for key in keys} for item in ITEMS]
    if as_json:
        print_json(items)
        return
    rows = [[*(i[k] for k in keys[:4]), ", ".join(i["roles"]), _grouped(i["parameters"])] for i in items]
    print_table(keys, rows)


def _grouped(count: int | None) -> str | None:
    return None if count is None else f"{count:,}"


@app.command()
def calibrate(
    scores: Annotated[Path, typer.Argument(help="CSV with the columns score and label (1: COVID-19, 0: not).")],
    out_file: Annotated[Path, typer.Option("--out", help="Write the map here, as JSON; a plot goes beside it (.png).")],
    method: Annotated[str, typer.Option(help="platt (from 50 cases) or isotonic (from 200).")] = "platt",
    model: Annotated[str | None, typer.Option(help="The triage model that gave them: a name or a folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit a map from this site's scores (of `triaged score`, which never maps them) to probabilities."""
    from training import calibrate as fitting
    from training.reliability import plot
    from triaged.analysis.calibration import CalibrationError, card_of

    if method not in fitting.FEWEST:
        fail(f"--method is one of {', '.join(fitting.FEWEST)}", BAD_CONFIGURATION)
    try:
        card = None if model is None else card_of(model)
        cases, labels = fitting.read_cases(scores)
        made = fitting.fit(
            cases,
            labels,
            method,
            made_on=now().utc.date(),
            model="" if card is None else f"{card.name} {card.version}",
            model_sha256="" if card is None else card.sha256,
        )
        verdict = fitting.judge(cases, labels, made.method)
    except (CalibrationError, fitting.CannotCalibrate) as error:
        fail(str(error))
    try:
        out_file.write_text(made.to_json() + "\n", encoding="utf-8")
        plot(cases, verdict.held_out, labels, out_file.with_suffix(".png"))
    except OSError as error:
        fail(f"{out_file}: {error.strerror}")
    said = {"cases": made.cases, "positives": made.positives, **verdict.rows()}
    if as_json:
        print_json(said)
    else:
        print_table(("", "value (95 % interval)"), [(name.replace("_", " "), said[name]) for name in said])
    if card is None:
        err.print("No --model: the daemon will not notice when this map meets the scores of another model.")
    if not verdict.helps:
        err.print("On cases it was not fitted on, the map is no better than the score as it comes.", style="yellow")


@app.command()
def tables(
    paper: Annotated[str | None, typer.Argument(help="ct-triage, covid-mtl, amyar or deepsc; all where empty.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=PATH; ictcf=FILE fills the forests and Welch rows of covid-mtl, own=DIR or another data set its "
            "lungs; study=FILE is what `triaged study --json` printed."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the papers' result tables beside ours: computed from --data, empty where nothing was measured."""
    from training.datasets.stored import DataError
    from training.loop import TrainingError
    from training.reproduce import CannotTell, tables_of

    try:
        with err.status("") as bar:
            made = tables_of(paper, data or (), progress=bar.update)
    except CannotTell as error:
        fail(str(error), BAD_CONFIGURATION)
    except (DataError, TrainingError) as error:
        fail(str(error))
    if as_json:
        print_json([table.as_json() for table in made])
    else:
        out.print("\n\n".join(table.as_markdown() for table in made), highlight=False, markup=False, soft_wrap=True)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A recipe, such as ct-triage; a name that is none lists them all.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with train/ and validation/. Else the phantoms of the scale, drawn as needed."),
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Checkpoints, manifest and bundle go here. Else runs/NAME-SCALE.")
    ] = None,
    scale: Annotated[str, typer.Option(help="tiny, small, shipped or paper.")] = "small",
    changes: Annotated[list[str] | None, typer.Option("--set", help="key=value of the recipe's plan.")] = None,
    device: Device = "auto",
    threads: Threads = None,
    workers: Annotated[int, typer.Option(help="Threads that prepare batches ahead; worth it beside a GPU.")] = 0,
    devices: Annotated[int, typer.Option(min=1, help="Processes that train together, one per device.")] = 1,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches per step, for less memory than one large one.")] = 1,
    precision: Precision = "float32",
    resume: Annotated[bool, typer.Option("--resume", help="Continue what was stopped.")] = False,
    board: Annotated[bool, typer.Option("--tensorboard", help="Write logs for TensorBoard too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model and write its bundle. Exit status 1 where it was stopped before its end."""
    from models.bundle import BundleError
    from training.checkpoint import CheckpointError
    from training.datasets.stored import DataError
    from training.loop import TrainingError
    from training.team import at_work_on, team
    from training.train import require
    from training.train import train as follow
    from training.watch import LOGS, stoppable

    device = at_work_on(device, threads)
    try:
        require(name)
        data, out_dir = data or _phantoms_for(scale), out_dir or RUNS / f"{name}-{scale}"
        crew = team(device, devices)
        with _watched(crew, out_dir / LOGS if board else None) as watch, stoppable() as stop:
            trained = follow(
                name,
                scale=scale,
                changes=changes or (),
                data=data,
                out=out_dir,
                team=crew,
                resume=resume,
                workers=workers,
                accumulate=accumulate,
                precision=precision,
                watch=watch,
                stop=stop,
            )
    except (TrainingError, CheckpointError, DataError, BundleError, ModuleNotFoundError) as error:
        fail(str(error))
    if crew.rank == 0:  # the others run this command too, and keep silent
        _tell_of(trained, as_json=as_json)
    raise typer.Exit(0 if trained.bundle else 1)


def _phantoms_for(scale: str) -> Path:
    from training.studydata import phantoms_for

    with err.status("phantoms") as bar:
        return phantoms_for(scale, RUNS / f"data-{scale}", progress=bar.update)


@contextmanager
def _watched(crew: Team, logs: Path | None) -> Iterator[Callable[[Progress], None]]:
    """The leader's steps are shown, and written as logs for TensorBoard where there is a folder for them."""
    from training import watch

    with ExitStack() as stack:
        watches = [stack.enter_context(watch.terminal(err))] if crew.rank == 0 else []
        if watches and logs is not None:
            watches.append(stack.enter_context(watch.tensorboard(logs)))
        yield watch.together(watches)


def _tell_of(trained: Trained, *, as_json: bool) -> None:
    """What came of a training."""
    said = {"bundle": None if trained.bundle is None else str(trained.bundle), "best_step": trained.best_step}
    scores = {"scores": dict(trained.scores)} if as_json else {n: f"{value:.3f}" for n, value in trained.scores.items()}
    tell({**said, **scores}, as_json=as_json)
    if trained.bundle is None:
        fail("Stopped before the end; the same command with --resume continues.")


@app.command()
def evaluate(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(help="Bundles (folders, or names that ship), or LABEL=LUNGS,TRIAGE. None: what ships."),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            help="NAME=DIR: a data set of `triaged data list` as unpacked or prepared, own for a folder of yours, "
            "phantom=DIR for a library; phantom alone: held-out cases, drawn as needed."
        ),
    ] = "phantom",
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="report.html and report.json; measurements too: what is there is not repeated."),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="A Markdown file, whose section on this is written anew.")
    ] = None,
    lungs: Annotated[str | None, typer.Option(help="Model for the lungs of bundles that have none.")] = None,
    cases: Annotated[
        int | None, typer.Option(min=1, help="Fewer or more cases than the data set's own number.")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep drawn cases in this folder, about 10 MB each.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, one thread each.")] = 2,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:0 ...")] = "cpu",
    surfaces: Annotated[bool, typer.Option(help="With distances of surfaces in the report (needs MONAI).")] = True,
    cards: Annotated[bool, typer.Option("--cards", help="Write the figures into the bundles' cards.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hold models against cases with known truth, beside thresholding on the same cases."""
    from models.bundle import BundleError
    from models.predict import UnknownModel
    from training.contenders import contenders
    from training.evaluation import CannotEvaluate, Settings, run

    settings = Settings(
        data=data,
        out=out_dir,
        results=results,
        cases=cases,
        keep=keep,
        workers=workers,
        device=device,
        surfaces=surfaces,
        cards=cards,
    )
    try:
        with err.status("preparing") as bar:
            done = run(contenders(bundles or [], lungs), settings, lambda n, of: bar.update(f"{n} of {of} cases"))
    except (CannotEvaluate, UnknownModel, BundleError, ValueError) as error:
        fail(str(error))
    if as_json:
        print_json(done.as_dict())
    else:
        print(done.as_markdown())


@app.command()
def phantom(
    out_dir: Annotated[Path, typer.Option("--out", help="Write below this folder.")],
    cases: Annotated[int, typer.Option(min=1, help="How many patients.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal patients.")] = 1,
    nifti: Annotated[bool, typer.Option("--nifti", help="Write NIfTI images and masks too.")] = False,
    library: Annotated[
        bool, typer.Option("--library", help="Write what `triaged train --data` reads instead of DICOM studies.")
    ] = False,
    validation_cases: Annotated[
        int | None, typer.Option(min=1, help="Of a library, those that checkpoints are chosen by. Else a quarter.")
    ] = None,
    validation_seed: Annotated[int | None, typer.Option(min=0, help="Theirs; else --seed and 10 more.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Draw synthetic chest CTs with exact truth: DICOM studies of mixed kinds, or a library to train on."""
    if library:
        held_out = max(2, cases // 4) if validation_cases is None else validation_cases
        beside = seed + 10 if validation_seed is None else validation_seed
        _phantom_library(out_dir, (cases, held_out), (seed, beside), workers)
        return
    from training.phantom.batch import write_cases

    items: list[dict[str, object]] = []
    with err.status(f"0 of {cases}") as bar:
        for case in write_cases(out_dir, cases, seed=seed, nifti=nifti, workers=workers):
            items.append(asdict(case))
            bar.update(f"{len(items)} of {cases}")
    if as_json:
        print_json(items)
    else:
        keys = ("folder", "kind", "files", "right_fraction", "left_fraction", "study_uid")
        print_table(keys, [[i[k] for k in keys] for i in items])


def _phantom_library(out_dir: Path, cases: tuple[int, int], seeds: tuple[int, int], workers: int) -> None:
    """train/, and validation/ from the shifted generator: how many patients each has, and their seeds."""
    from training.datasets.stored import TRAIN, VALIDATION
    from training.phantom.library import Plan, generate
    from training.phantom.population import MAIN, SHIFTED

    plans = {
        TRAIN: Plan(count=cases[0], habits=MAIN, first_seed=BETWEEN_SEEDS * seeds[0]),
        VALIDATION: Plan(count=cases[1], habits=SHIFTED, first_seed=BETWEEN_SEEDS * seeds[1]),
    }
    for name, plan in plans.items():
        with err.status(name) as bar:

            def show(number: int, words: str = f"{name}: {{}} of {plan.count}") -> None:
                bar.update(words.format(number + 1))

            made = generate(out_dir / name, plan, workers=workers, drawn=show)
        out.print(f"{out_dir / name}: {made.description}", highlight=False)
