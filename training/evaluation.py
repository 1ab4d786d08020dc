"""One evaluation from its settings to its table: which data set, who is judged, where it is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from training import heldoutreport
from training.cases import Cases
from training.datasets.heldout import COUNT, HeldOutPhantoms
from training.evaluate import Contender, Evaluation
from training.judge import Progress, judge
from training.tables import put_section

MEASUREMENTS = "measurements"  # below the folder of an evaluation


class CannotEvaluate(Exception):
    """The data set does not allow it; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `triaged evaluate` is told."""

    data: str = "phantom"
    out: Path | None = None
    results: Path | None = None  # the Markdown file whose section is written
    cases: int | None = None
    keep: Path | None = None  # drawn cases
    workers: int = 2
    device: str = "cpu"


def run(contenders: Sequence[Contender], settings: Settings, progress: Progress = lambda done, of: None) -> Evaluation:
    """Judge the contenders beside thresholding, and write what the settings want written.

    Raises CannotEvaluate where the data set is unknown, UnknownModel or BundleError where a model is.
    """
    began = time.monotonic()
    cases = data_set(settings)
    judged = judge(
        cases,
        contenders,
        device=settings.device,
        workers=settings.workers,
        keep=None if settings.out is None else settings.out / MEASUREMENTS,
        progress=progress,
    )
    evaluation = judged.evaluation()
    if settings.results is not None:
        command = heldoutreport.command(contenders, cases)
        minutes = (time.monotonic() - began) / 60
        text = heldoutreport.section(evaluation, judged.contenders, cases, command, date.today(), minutes)
        put_section(settings.results, heldoutreport.SECTION, text)
    return evaluation


def data_set(settings: Settings) -> Cases:
    """Raises CannotEvaluate."""
    if settings.data != "phantom":
        raise CannotEvaluate(f"unknown data set {settings.data!r}: phantom is what there is")
    return HeldOutPhantoms(count=settings.cases or COUNT, keep=settings.keep)
