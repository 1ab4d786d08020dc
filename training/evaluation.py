"""One evaluation from its settings to its tables: which data set, who is judged, where it is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from training import cardscores, heldoutreport, surfaces
from training.cases import Cases
from training.datasets.heldout import COUNT, HeldOutPhantoms
from training.datasets.library import PHANTOM, cases_in
from training.datasets.public.registry import DATA_SETS
from training.datasets.stored import DataError
from training.evaluate import Contender, Evaluation
from training.judge import Judged, Progress, judge
from training.page import page
from training.report import report
from training.tables import put_section

MEASUREMENTS = "measurements"  # below the folder of an evaluation
REPORT, PAGE = "report.json", "report.html"


class CannotEvaluate(Exception):
    """The data set does not allow it, or something is not installed; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `triaged evaluate` is told."""

    data: str = PHANTOM  # NAME=DIR, of a data set as it was unpacked or of a library; phantom alone is drawn
    out: Path | None = None  # measurements, report and page
    results: Path | None = None  # the Markdown file whose section is written
    cases: int | None = None  # at most so many; of what is drawn, so many
    keep: Path | None = None  # drawn cases
    workers: int = 2
    device: str = "cpu"
    cards: bool = False  # figures go into the cards of the bundles too
    surfaces: bool = True  # distances of surfaces too, where there is a report to hold them


def run(contenders: Sequence[Contender], settings: Settings, progress: Progress = lambda done, of: None) -> Evaluation:
    """Judge the contenders beside thresholding, and write what the settings want written.

    Raises CannotEvaluate where the data set is unknown or unfit, UnknownModel or BundleError where a model is.
    """
    began = time.monotonic()
    with_surfaces = settings.surfaces and settings.out is not None
    if with_surfaces and not surfaces.is_available():
        raise CannotEvaluate(f"{surfaces.MISSING}, or --no-surfaces")
    try:
        cases = data_set(settings)
        judged = judge(
            cases,
            contenders,
            device=settings.device,
            workers=settings.workers,
            keep=None if settings.out is None else settings.out / MEASUREMENTS,
            surfaces=with_surfaces,
            progress=progress,
        )
    except DataError as error:
        raise CannotEvaluate(str(error)) from error
    evaluation = judged.evaluation()
    if settings.out is not None:
        _write_report(settings.out, judged, evaluation, cases, settings.workers)
    if settings.results is not None:
        command = heldoutreport.command(contenders, cases)
        minutes = (time.monotonic() - began) / 60
        text = heldoutreport.section(evaluation, judged.contenders, cases, command, date.today(), minutes)
        put_section(settings.results, heldoutreport.SECTION, text)
    if settings.cards:
        cardscores.put(evaluation, cases.description)
    return evaluation


def data_set(settings: Settings) -> Cases:
    """The cases of NAME=DIR, or the phantoms that are drawn. Raises CannotEvaluate, or DataError on a folder that holds
    none of them."""
    name, _, folder = settings.data.partition("=")
    if name != PHANTOM and name not in DATA_SETS:
        raise CannotEvaluate(f"unknown data set {name!r}: there are {PHANTOM}, {', '.join(DATA_SETS)}")
    if name == PHANTOM and not folder:
        return HeldOutPhantoms(count=settings.cases or COUNT, keep=settings.keep)
    if settings.results is not None:
        raise CannotEvaluate(f"the section on held-out cases is of those that are drawn: --data {PHANTOM}, no folder")
    if not folder:
        raise CannotEvaluate(f"--data {name}: name its folder too, --data {name}=DIR")
    found = cases_in(name, Path(folder), settings.cases)
    if not len(found):
        raise CannotEvaluate(f"{folder} holds no patients")
    return found


def _write_report(out: Path, judged: Judged, evaluation: Evaluation, cases: Cases, workers: int) -> None:
    found = report(judged, evaluation, cases, on=date.today(), workers=workers)
    out.mkdir(parents=True, exist_ok=True)
    (out / REPORT).write_text(found.to_json(), encoding="utf-8")
    (out / PAGE).write_text(page(found), encoding="utf-8")
