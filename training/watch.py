"""Whoever watches a training: a bar on the terminal, TensorBoard, a signal that asks it to stop."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training import loop
from training.loop import TrainingError

Watch = Callable[[loop.Progress], None]
LOGS = "tensorboard"  # the folder of the logs below that of a training


def together(watches: Sequence[Watch]) -> Watch:
    """One that passes everything on."""

    def watch(seen: loop.Progress) -> None:
        for each in watches:
            each(seen)

    return watch


@contextmanager
def terminal(console: Console) -> Iterator[Watch]:
    """A bar per stage with the losses, and a line per validation."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, Any] = {}

        def watch(seen: loop.Progress) -> None:
            if seen.stage not in tasks:
                tasks[seen.stage] = bar.add_task(seen.stage, total=seen.steps, losses="")
            losses = ", ".join(f"{name} {value:.3f}" for name, value in seen.losses.items())
            bar.update(tasks[seen.stage], completed=seen.step, losses=losses)
            if seen.scores is not None:
                scores = ", ".join(f"{name} {value:.3f}" for name, value in seen.scores.items())
                bar.console.print(f"{seen.stage}, step {seen.step}: {scores}", highlight=False)

        yield watch


@contextmanager
def tensorboard(folder: Path) -> Iterator[Watch]:
    """Losses and scores as TensorBoard reads them. Raises TrainingError where the `train` extra is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise TrainingError("TensorBoard is not installed: pip install 'triaged[train]'")
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(str(folder))

    def watch(seen: loop.Progress) -> None:
        for kind, values in (("loss", seen.losses), ("score", seen.scores or {})):
            for name, value in values.items():
                writer.add_scalar(f"{seen.stage}/{kind}/{name}", value, seen.step)

    try:
        yield watch
    finally:
        writer.close()


@contextmanager
def logged(folder: Path) -> Iterator[Watch]:
    """The same, and nothing where TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        yield lambda seen: None
        return
    with tensorboard(folder) as watch:
        yield watch


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM has come; the training then ends after its step. A second one ends it at once."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
