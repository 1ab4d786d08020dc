"""The commands. The only place that prints and exits; what is heavy to import is imported inside the command."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from triaged import __version__, logs
from triaged.clock import now
from triaged.config import Config, load
from triaged.errors import ConfigError, NotPossible, TriagedError

if TYPE_CHECKING:
    from triaged.analysis.analyst import Analyst
    from triaged.store import Store

BAD_CONFIGURATION = 2

app = typer.Typer(
    name="triaged",
    help="Scores chest CTs beside the PACS and puts the most affected patient first. Research software.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a pretty traceback prints local variables, which hold identities
    add_completion=False,
)
out = Console()
err = Console(stderr=True)

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The TOML file of this installation.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Who = Annotated[str, typer.Option("--by", help="Who does this; goes into the event log.")]


def _fail(message: str, status: int = 1) -> NoReturn:
    # Not broken at a width: a program may look for the key, a person for the whole path.
    err.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(status)


def _load(path: Path) -> Config:
    try:
        return load(path)
    except ConfigError as error:
        _fail(str(error), BAD_CONFIGURATION)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Config, Store]]:
    """The configuration and its store; what we refuse on purpose becomes one line and exit status 1."""
    from triaged.store import Store

    config = _load(path)
    if not config.database.exists():  # opening would make an empty one, which a start would take for the one missing
        _fail(f"{config.database} does not exist: the daemon has not run here, or `triaged repair` is needed")
    try:
        with Store(config.database) as store:
            yield config, store
    except TriagedError as error:
        _fail(str(error))


def whoever() -> str:
    """The account that runs this command; in a container it may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")  # a UID or a path is told whole
    for row in rows:
        table.add_row(*("–" if cell is None else str(cell) for cell in row))
    out.print(table)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if show:
        print(__version__)
        raise typer.Exit


@app.command()
def serve(config: ConfigPath) -> None:
    """Run the daemon until it is told to stop (SIGTERM drains and exits 0)."""
    settings = _load(config)
    logs.set_up(settings.log.level, json_lines=settings.log.json_lines)
    from models.bundle import BundleError
    from models.predict import UnknownModel
    from triaged.analysis.calibration import CalibrationError
    from triaged.analysis.research import ResearchWeights, require_admitted
    from triaged.daemon import Daemon

    try:
        require_admitted(settings, "cpu")
    except (ResearchWeights, UnknownModel, BundleError, CalibrationError) as error:
        _fail(f"{config}: [analysis] {error}", BAD_CONFIGURATION)
    try:
        status = Daemon(settings).run()
    except TriagedError as error:
        _fail(str(error))
    raise typer.Exit(status)


@app.command()
def check(config: ConfigPath, as_json: AsJson = False) -> None:
    """Ask whether the daemon could work here: configuration, disk, clock, models, C-ECHO to the PACS."""
    settings = _load(config)
    from triaged.checkup import check_all

    checks = check_all(settings, now())
    if as_json:
        _print_json([{"name": c.name, "ok": c.ok, "words": c.words} for c in checks])
    else:
        _table(("", "check", ""), [("ok" if c.ok else "FAILED", c.name, c.words) for c in checks])
    raise typer.Exit(0 if all(c.ok for c in checks) else 1)


@app.command()
def status(config: ConfigPath, as_json: AsJson = False) -> None:
    """Show what the daemon has in hand. Exit status 1 where it is not running."""
    from triaged.runtime import read_runtime

    with _opened(config) as (settings, store):
        running = read_runtime(settings.storage.path)
        received_at, result_at = store.studies.last_times()
        said = {
            "running": running is not None,
            "pid": None if running is None else running.pid,
            "dicom_port": None if running is None else running.dicom_port,
            "web_port": None if running is None else running.web_port,
            "mode": settings.mode,
            "order": "ai" if settings.promotes and not store.baseline_switch else "baseline",
            "queue_depth": store.queue.depth(),
            "studies": {state.value: n for state, n in store.studies.counts_by_state().items()},
            "deliveries": {state.value: n for state, n in store.deliveries.counts_by_state().items()},
            "last_received_at": None if received_at is None else received_at.isoformat(),
            "last_result_at": None if result_at is None else result_at.isoformat(),
        }
    if as_json:
        _print_json(said)
    else:
        _table(("", ""), list(said.items()))
    raise typer.Exit(0 if said["running"] else 1)


@app.command()
def worklist(config: ConfigPath, as_json: AsJson = False) -> None:
    """Print the studies to be read, in reading order."""
    from triaged.worklist.board import item_json, read_board

    with _opened(config) as (settings, store):
        items = [item_json(item) for item in read_board(store, settings, now()).items]
    if as_json:
        _print_json(items)
    else:
        print_worklist(items)


def print_worklist(items: Sequence[dict[str, object]]) -> None:
    """The list as a table on the terminal."""
    keys = ("position", "patient_id", "accession_number", "tier", "state", "affected_percent", "ct_grade", "reason")
    _table(("#", "patient", "accession", "tier", "state", "%", "grade", "why"), [[i[k] for k in keys] for i in items])


def print_demonstration(items: Sequence[dict[str, object]]) -> None:
    """The demonstration's list as a table: what was drawn beside what was found, and the place without AI."""
    keys = ("position", "baseline_position", "kind", "true_affected_percent", "affected_percent", "ct_grade")
    names = ("#", "without AI", "drawn", "drawn %", "found %", "grade", "score", "why")
    scores = [i["covid_probability"] for i in items]
    told = [None if not isinstance(p, float) else f"{p:.2f}" for p in scores]  # a score is no percentage
    rows = [[*(i[k] for k in keys), score, i["reason"]] for i, score in zip(items, told, strict=True)]
    _table(names, rows)


@app.command()
def read(
    config: ConfigPath,
    study_uids: Annotated[list[str], typer.Argument(help="Study Instance UIDs.")],
    by: Who = "",
) -> None:
    """Mark studies as read, so that they leave the list."""
    with _opened(config) as (_, store):
        for uid in study_uids:
            store.reading.mark_read(uid, reader=by or whoever(), now=now())


@app.command()
def requeue(
    config: ConfigPath,
    study_uids: Annotated[list[str], typer.Argument(help="Study Instance UIDs.")],
    deliveries: Annotated[bool, typer.Option("--deliveries", help="Send parked results again instead.")] = False,
    by: Who = "",
) -> None:
    """Analyse studies again from the beginning, whatever came of them; or send again what could not be delivered."""
    with _opened(config) as (_, store):
        for uid in study_uids:
            if deliveries:
                store.studies.get(uid)
                store.deliveries.unpark(uid, by=by or whoever(), now=now())
                continue
            try:
                store.queue.requeue(uid, by=by or whoever(), now=now())
            except NotPossible as error:
                _fail(f"{uid}: {error}")


@app.command()
def dismiss(
    config: ConfigPath,
    study_uids: Annotated[list[str], typer.Argument(help="Study Instance UIDs.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; goes into the event log.")],
    by: Who = "",
) -> None:
    """Give up results that could not be delivered: they are not sent, and keep no images from being removed."""
    if not reason.strip():
        _fail("to give up a result needs a reason")
    with _opened(config) as (_, store):
        for uid in study_uids:
            store.studies.get(uid)
            n = store.deliveries.dismiss(uid, by=by or whoever(), reason=reason.strip(), now=now())
            out.print(f"{uid}: {n} not to be sent", highlight=False)


@app.command()
def audit(config: ConfigPath, as_json: AsJson = False) -> None:
    """Follow the event log's chain of digests. Exit status 1 where it breaks, naming the first event that does."""
    with _opened(config) as (_, store):
        chain = store.events.verify()
    said = {
        "holds": chain.broken_seq is None,
        "events": chain.events,
        "last_digest": chain.last_digest,
        "first_break": chain.broken_seq,
    }
    if as_json:
        _print_json(said)
    else:
        _table(("", ""), list(said.items()))
    raise typer.Exit(0 if chain.broken_seq is None else 1)


@app.command()
def repair(config: ConfigPath, as_json: AsJson = False) -> None:
    """Make a lost or damaged database usable again, from its last copy and the images. The daemon must not run."""
    from triaged.repair import repair as mend

    settings = _load(config)
    try:
        done = mend(settings, now())
    except TriagedError as error:
        _fail(str(error))
    said = {
        "was_sound": done.was_sound,
        "restored_from": None if done.restored_from is None else str(done.restored_from),
        "studies": done.studies,
        "instances": done.instances,
        "parked_deliveries": done.parked,
    }
    if as_json:
        _print_json(said)
    else:
        _table(("", ""), list(said.items()))


@app.command()
def score(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="DICOM files, and folders of them.")],
    out_dir: Annotated[Path | None, typer.Option("--out", help="Write seg, sr and picture here.")] = None,
    as_json: AsJson = False,
    lungs: Annotated[str | None, typer.Option(help="Model for the lungs (see `triaged models`).")] = None,
    model: Annotated[str | None, typer.Option(help="Model for the triage.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:0 ... or auto.")] = "auto",
) -> None:
    """Score studies offline: no daemon, no PACS. Files that are not DICOM are counted and skipped."""
    from models.bundle import BundleError
    from models.predict import UnknownModel
    from triaged.analysis.offline import find
    from triaged.analysis.offline import score as score_study

    logs.set_up("WARNING", json_lines=False)
    with err.status("reading headers"):
        found = find(paths)
    try:
        analyst = _analyst(lungs, model, device)
    except (UnknownModel, BundleError) as error:
        _fail(str(error), BAD_CONFIGURATION)
    items = []
    with err.status("") as bar:
        for number, (uid, files) in enumerate(found.studies.items(), start=1):

            def show(stage: str, n: int = number) -> None:
                bar.update(f"study {n} of {len(found.studies)}: {stage}")

            try:
                items.append(score_study(analyst, uid, files, out_dir, show))
            except OSError as error:
                _fail(f"the results cannot be written: {error.filename}: {error.strerror}")
    if found.skipped:
        err.print(f"{len(found.skipped)} files skipped: not DICOM, or not to be identified", soft_wrap=True)
    if as_json:
        _print_json(items)
    else:
        keys = "study_uid state covid_probability affected_percent_right affected_percent_left ct_grade seconds reason"
        titles = ("study", "state", "score", "right %", "left %", "grade", "s", "reason")
        _table(titles, [[i[k] for k in keys.split()] for i in items])


def _analyst(lungs: str | None, triage: str | None, device: str) -> Analyst:
    from triaged.analysis.analyst import Analyst
    from triaged.analysis.devices import devices
    from triaged.config import Analysis, findings_digest

    named = {key: name for key, name in (("lungs", lungs), ("triage", triage)) if name}
    settings = Analysis.model_validate({"device": device, **named})
    return Analyst(settings, devices(device, 1)[0], findings_digest(settings))


@app.command()
def models(
    every: Annotated[bool, typer.Option("--all", help="All 36 of the four papers, with their sizes.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the models that the configuration can name."""
    if every:
        _catalogue(as_json=as_json)
        return
    from models.zoo import cards

    keys = ("number", "name", "version", "roles", "paper", "synthetic", "limits")
    items = [{key: getattr(card, key) for key in keys} for card in cards()]
    if as_json:
        _print_json(items)
    else:
        _table(keys, [[", ".join(i[k]) if k == "roles" else i[k] for k in keys] for i in items])


def _catalogue(*, as_json: bool) -> None:
    from models.catalogue import ITEMS

    keys = ("number", "name", "paper", "kind", "roles", "parameters")
    items = [{key: getattr(item, key) for key in keys} for item in ITEMS]
    if as_json:
        _print_json(items)
        return
    rows = [[*(i[k] for k in keys[:4]), ", ".join(i["roles"]), _grouped(i["parameters"])] for i in items]
    _table(keys, rows)


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
        _fail(f"--method is one of {', '.join(fitting.FEWEST)}", BAD_CONFIGURATION)
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
        _fail(str(error))
    try:
        out_file.write_text(made.to_json() + "\n", encoding="utf-8")
        plot(cases, verdict.held_out, labels, out_file.with_suffix(".png"))
    except OSError as error:
        _fail(f"{out_file}: {error.strerror}")
    said = {"cases": made.cases, "positives": made.positives, **verdict.rows()}
    if as_json:
        _print_json(said)
    else:
        _table(("", "value (95 % interval)"), [(name.replace("_", " "), said[name]) for name in said])
    if card is None:
        err.print("No --model: the daemon will not notice when this map meets the scores of another model.")
    if not verdict.helps:
        err.print("On cases it was not fitted on, the map is no better than the score as it comes.", style="yellow")


@app.command()
def tables(
    paper: Annotated[str | None, typer.Argument(help="ct-triage, covid-mtl, amyar or deepsc; all where empty.")] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH; ictcf=FILE fills the forests and Welch rows of covid-mtl.")
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
        _fail(str(error), BAD_CONFIGURATION)
    except (DataError, TrainingError) as error:
        _fail(str(error))
    if as_json:
        _print_json([table.as_json() for table in made])
    else:
        out.print("\n\n".join(table.as_markdown() for table in made), highlight=False, markup=False, soft_wrap=True)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A recipe, such as ct-triage; a name that is none lists them all.")],
    data: Annotated[Path, typer.Option(help="Folder with the patients: train/ and validation/.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Checkpoints, the manifest and the bundle go here.")],
    scale: Annotated[str, typer.Option(help="tiny, small, shipped or paper.")] = "small",
    changes: Annotated[list[str] | None, typer.Option("--set", help="key=value of the recipe's plan.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:0 ... or auto.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Of the CPU; fewer or more may change the last digits.")] = None,
    workers: Annotated[int, typer.Option(help="Threads that prepare batches ahead; worth it beside a GPU.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue what was stopped.")] = False,
    board: Annotated[bool, typer.Option("--tensorboard", help="Write logs for TensorBoard too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model and write its bundle. Exit status 1 where it was stopped before its end."""
    from contextlib import ExitStack

    import torch

    from models.bundle import BundleError
    from training import watch
    from training.checkpoint import CheckpointError
    from training.datasets.stored import DataError
    from training.loop import TrainingError
    from training.train import train as follow

    if threads is not None:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with ExitStack() as stack:
            watches = [stack.enter_context(watch.terminal(err))]
            if board:
                watches.append(stack.enter_context(watch.tensorboard(out_dir / "tensorboard")))
            stop = stack.enter_context(watch.stoppable())
            trained = follow(
                name,
                scale=scale,
                changes=changes or (),
                data=data,
                out=out_dir,
                device=device,
                resume=resume,
                workers=workers,
                watch=watch.together(watches),
                stop=stop,
            )
    except (TrainingError, CheckpointError, DataError, BundleError, ModuleNotFoundError) as error:
        _fail(str(error))
    said = {"bundle": None if trained.bundle is None else str(trained.bundle), "best_step": trained.best_step}
    if as_json:
        _print_json({**said, "scores": dict(trained.scores)})
    else:
        _table(("", ""), [*said.items(), *((name, f"{value:.3f}") for name, value in trained.scores.items())])
    if trained.bundle is None:
        _fail("Stopped before the end; the same command with --resume continues.")


@app.command()
def evaluate(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(help="Bundles (folders, or names that ship), or LABEL=LUNGS,TRIAGE. None: what ships."),
    ] = None,
    data: Annotated[
        str, typer.Option(help="NAME=DIR. phantom=DIR: a library; phantom: held-out cases, drawn as needed.")
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
        _fail(str(error))
    if as_json:
        _print_json(done.as_dict())
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
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Draw synthetic chest CTs with exact truth: DICOM studies of mixed kinds, or a library to train on."""
    if library:
        _phantom_library(out_dir, cases, seed, workers)
        return
    from training.phantom.batch import write_cases

    items: list[dict[str, object]] = []
    with err.status(f"0 of {cases}") as bar:
        for case in write_cases(out_dir, cases, seed=seed, nifti=nifti, workers=workers):
            items.append(asdict(case))
            bar.update(f"{len(items)} of {cases}")
    if as_json:
        _print_json(items)
    else:
        keys = ("folder", "kind", "files", "right_fraction", "left_fraction", "study_uid")
        _table(keys, [[i[k] for k in keys] for i in items])


def _phantom_library(out_dir: Path, cases: int, seed: int, workers: int) -> None:
    """train/ of `cases` patients, and validation/ of a quarter as many from the shifted generator."""
    from training.datasets.stored import TRAIN, VALIDATION
    from training.phantom.library import Plan, generate
    from training.phantom.population import MAIN, SHIFTED

    plans = {
        TRAIN: Plan(count=cases, habits=MAIN, first_seed=100_000 * seed),
        VALIDATION: Plan(count=max(2, cases // 4), habits=SHIFTED, first_seed=100_000 * seed),
    }
    for name, plan in plans.items():
        with err.status(name) as bar:

            def show(number: int, words: str = f"{name}: {{}} of {plan.count}") -> None:
                bar.update(words.format(number + 1))

            made = generate(out_dir / name, plan, workers=workers, drawn=show)
        out.print(f"{out_dir / name}: {made.description}", highlight=False)


@app.command()
def demo(
    exit_when_done: Annotated[bool, typer.Option("--exit", help="Stop when everything has arrived.")] = False,
    as_json: AsJson = False,
    web_port: Annotated[int, typer.Option(help="Port of the board; 0 asks the system.")] = 8080,
    keep: Annotated[Path | None, typer.Option(help="Keep everything in this folder.")] = None,
    pacs: Annotated[Literal["auto", "orthanc", "small"], typer.Option(help="small: built in.")] = "auto",
) -> None:
    """Show the whole thing with synthetic studies: a PACS, the daemon, the reordered list, results stored back."""
    from triaged.demo import Demo
    from triaged.demo_pacs import PacsKind

    def say(words: str) -> None:
        err.print(words, highlight=False)

    demonstration = Demo(say=say, web_port=web_port, folder=keep, pacs=PacsKind(pacs))
    with demonstration:
        try:
            report = demonstration.run()
        except TriagedError as error:
            _fail(str(error))
        if as_json:
            _print_json(report.as_json())
        else:
            print_demonstration(report.listed())
        if not exit_when_done:
            say(f"\nThe board: {demonstration.board_url}   (Ctrl-C ends the demonstration)")
            demonstration.wait()
    raise typer.Exit(0 if report.complete else 1)


def main() -> None:
    app(prog_name="triaged")
