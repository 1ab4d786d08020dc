"""Commands of the site's administrators: the daemon, its list, its studies."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from triaged import logs
from triaged.clock import now
from triaged.commands.terminal import BAD_CONFIGURATION, AsJson, Device, err, fail, out, print_json, print_table, tell
from triaged.config import Config, load
from triaged.errors import ConfigError, NotPossible, TriagedError

if TYPE_CHECKING:
    from triaged.analysis.analyst import Analyst
    from triaged.store import Store

app = typer.Typer()

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The TOML file of this installation.")]
Who = Annotated[str, typer.Option("--by", help="Who does this; goes into the event log.")]


def load_config(path: Path) -> Config:
    try:
        return load(path)
    except ConfigError as error:
        fail(str(error), BAD_CONFIGURATION)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Config, Store]]:
    """The configuration and its store; what we refuse on purpose becomes one line and exit status 1."""
    from triaged.store import Store

    config = load_config(path)
    if not config.database.exists():  # opening would make an empty one, which a start would take for the one missing
        fail(f"{config.database} does not exist: the daemon has not run here, or `triaged repair` is needed")
    try:
        with Store(config.database) as store:
            yield config, store
    except TriagedError as error:
        fail(str(error))


def whoever() -> str:
    """The account that runs this command; in a container it may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


@app.command()
def serve(config: ConfigPath) -> None:
    """Run the daemon until it is told to stop (SIGTERM drains and exits 0)."""
    settings = load_config(config)
    logs.set_up(settings.log.level, json_lines=settings.log.json_lines)
    from models.bundle import BundleError
    from models.predict import UnknownModel
    from triaged.analysis.calibration import CalibrationError
    from triaged.analysis.research import ResearchWeights, require_admitted
    from triaged.daemon import Daemon

    try:
        require_admitted(settings, "cpu")
    except (ResearchWeights, UnknownModel, BundleError, CalibrationError) as error:
        fail(f"{config}: [analysis] {error}", BAD_CONFIGURATION)
    try:
        status = Daemon(settings).run()
    except TriagedError as error:
        fail(str(error))
    raise typer.Exit(status)


@app.command()
def check(config: ConfigPath, as_json: AsJson = False) -> None:
    """Ask whether the daemon could work here: configuration, disk, clock, models, C-ECHO to the PACS."""
    settings = load_config(config)
    from triaged.checkup import check_all

    checks = check_all(settings, now())
    if as_json:
        print_json([{"name": c.name, "ok": c.ok, "words": c.words} for c in checks])
    else:
        print_table(("", "check", ""), [("ok" if c.ok else "FAILED", c.name, c.words) for c in checks])
    raise typer.Exit(0 if all(c.ok for c in checks) else 1)


@app.command()
def status(config: ConfigPath, as_json: AsJson = False) -> None:
    """Show what the daemon has in hand. Exit status 1 where it is not running."""
    from triaged.runtime import read_runtime

    with opened(config) as (settings, store):
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
        print_json(said)
    else:
        print_table(("", ""), list(said.items()))
    raise typer.Exit(0 if said["running"] else 1)


@app.command()
def worklist(config: ConfigPath, as_json: AsJson = False) -> None:
    """Print the studies to be read, in reading order."""
    from triaged.worklist.board import item_json, read_board

    with opened(config) as (settings, store):
        items = [item_json(item) for item in read_board(store, settings, now()).items]
    if as_json:
        print_json(items)
    else:
        print_worklist(items)


def print_worklist(items: Sequence[dict[str, object]]) -> None:
    """The list as a table on the terminal."""
    keys = ("position", "patient_id", "accession_number", "tier", "state", "affected_percent", "ct_grade", "reason")
    titles = ("#", "patient", "accession", "tier", "state", "%", "grade", "why")
    print_table(titles, [[i[k] for k in keys] for i in items])


def print_demonstration(items: Sequence[dict[str, object]]) -> None:
    """The demonstration's list as a table: what was drawn beside what was found, and the place without AI."""
    keys = ("position", "baseline_position", "kind", "true_affected_percent", "affected_percent", "ct_grade")
    names = ("#", "without AI", "drawn", "drawn %", "found %", "grade", "score", "why")
    scores = [i["covid_probability"] for i in items]
    told = [None if not isinstance(p, float) else f"{p:.2f}" for p in scores]  # a score is no percentage
    rows = [[*(i[k] for k in keys), score, i["reason"]] for i, score in zip(items, told, strict=True)]
    print_table(names, rows)


@app.command()
def read(
    config: ConfigPath,
    study_uids: Annotated[list[str], typer.Argument(help="Study Instance UIDs.")],
    by: Who = "",
) -> None:
    """Mark studies as read, so that they leave the list."""
    with opened(config) as (_, store):
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
    with opened(config) as (_, store):
        for uid in study_uids:
            if deliveries:
                store.studies.get(uid)
                store.deliveries.unpark(uid, by=by or whoever(), now=now())
                continue
            try:
                store.queue.requeue(uid, by=by or whoever(), now=now())
            except NotPossible as error:
                fail(f"{uid}: {error}")


@app.command()
def dismiss(
    config: ConfigPath,
    study_uids: Annotated[list[str], typer.Argument(help="Study Instance UIDs.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; goes into the event log.")],
    by: Who = "",
) -> None:
    """Give up results that could not be delivered: they are not sent, and keep no images from being removed."""
    if not reason.strip():
        fail("to give up a result needs a reason")
    with opened(config) as (_, store):
        for uid in study_uids:
            store.studies.get(uid)
            n = store.deliveries.dismiss(uid, by=by or whoever(), reason=reason.strip(), now=now())
            out.print(f"{uid}: {n} not to be sent", highlight=False)


@app.command()
def audit(config: ConfigPath, as_json: AsJson = False) -> None:
    """Follow the event log's chain of digests. Exit status 1 where it breaks, naming the first event that does."""
    with opened(config) as (_, store):
        chain = store.events.verify()
    said = {
        "holds": chain.broken_seq is None,
        "events": chain.events,
        "last_digest": chain.last_digest,
        "first_break": chain.broken_seq,
    }
    tell(said, as_json=as_json)
    raise typer.Exit(0 if chain.broken_seq is None else 1)


@app.command()
def repair(config: ConfigPath, as_json: AsJson = False) -> None:
    """Make a lost or damaged database usable again, from its last copy and the images. The daemon must not run."""
    from triaged.repair import repair as mend

    settings = load_config(config)
    try:
        done = mend(settings, now())
    except TriagedError as error:
        fail(str(error))
    said = {
        "was_sound": done.was_sound,
        "restored_from": None if done.restored_from is None else str(done.restored_from),
        "studies": done.studies,
        "instances": done.instances,
        "parked_deliveries": done.parked,
    }
    tell(said, as_json=as_json)


@app.command()
def score(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="DICOM files, and folders of them.")],
    out_dir: Annotated[Path | None, typer.Option("--out", help="Write seg, sr and picture here.")] = None,
    as_json: AsJson = False,
    lungs: Annotated[str | None, typer.Option(help="Model for the lungs (see `triaged models`).")] = None,
    model: Annotated[str | None, typer.Option(help="Model for the triage.")] = None,
    device: Device = "auto",
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
        fail(str(error), BAD_CONFIGURATION)
    items = []
    with err.status("") as bar:
        for number, (uid, files) in enumerate(found.studies.items(), start=1):

            def show(stage: str, n: int = number) -> None:
                bar.update(f"study {n} of {len(found.studies)}: {stage}")

            try:
                items.append(score_study(analyst, uid, files, out_dir, show))
            except OSError as error:
                fail(f"the results cannot be written: {error.filename}: {error.strerror}")
    if found.skipped:
        err.print(f"{len(found.skipped)} files skipped: not DICOM, or not to be identified", soft_wrap=True)
    if as_json:
        print_json(items)
    else:
        keys = "study_uid state covid_probability affected_percent_right affected_percent_left ct_grade seconds reason"
        titles = ("study", "state", "score", "right %", "left %", "grade", "s", "reason")
        print_table(titles, [[i[k] for k in keys.split()] for i in items])


def _analyst(lungs: str | None, triage: str | None, device: str) -> Analyst:
    from triaged.analysis.analyst import Analyst
    from triaged.analysis.devices import devices
    from triaged.config import Analysis, findings_digest

    named = {key: name for key, name in (("lungs", lungs), ("triage", triage)) if name}
    settings = Analysis.model_validate({"device": device, **named})
    return Analyst(settings, devices(device, 1)[0], findings_digest(settings))


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
            fail(str(error))
        if as_json:
            print_json(report.as_json())
        else:
            print_demonstration(report.listed())
        if not exit_when_done:
            say(f"\nThe board: {demonstration.board_url}   (Ctrl-C ends the demonstration)")
            demonstration.wait()
    raise typer.Exit(0 if report.complete else 1)
