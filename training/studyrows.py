"""The trainings of a study, each kept in a folder named by everything that decides what comes out.

A training that is there is not repeated; one that was stopped goes on; one whose time is up gives the best weights it
has come to, and says how far it came. A longer time continues it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from models import zoo
from models.bundle import CARD
from training import checkpoint, thresholds, trees
from training.comparison import Training, samples
from training.loop import LAST, Progress
from training.precision import FLOAT32
from training.studydata import StudyData
from training.team import Alone
from training.train import bundle_so_far, prepared, train
from training.watch import LOGS, Watch, logged, together

TIME, SO_FAR, WORK = "time.json", "so-far", "training"
# What only describes: a word changed there changes no weight.
DESCRIBES = {"models.catalogue", "models.cards", "models.zoo", "training.familiar", "training.train"}
OURS = ("models.", "training.")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What became of a training. `bundle` None: there is none yet. `share`: how much of its steps it has taken."""

    bundle: Path | None = None
    share: float = 0.0
    seconds: float = 0.0  # spent on it, in all runs together
    samples: str = ""

    @property
    def is_whole(self) -> bool:
        return self.bundle is not None and self.share >= 1.0


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where and how trainings of a study are done. `cap_s`: seconds that one may take, in all runs together."""

    data: StudyData
    scale: str
    folder: Path
    device: str = "cpu"
    precision: str = FLOAT32
    cap_s: float = float("inf")
    watch: Watch = lambda progress: None
    stop: Callable[[], bool] = lambda: False

    def seeds(self, training: Training, wanted: int) -> list[int | None]:
        """The recipe's own seed and those after it; None where nothing in it is drawn."""
        if training.at_once:
            return [None]
        first = int(self._plan(training, None)["seed"])
        return [first + n for n in range(wanted)]

    def known(self, training: Training, seed: int | None) -> Trained:
        """What there is of it, without training."""
        folder, plan = self.place(training, seed)
        return self._found(training, folder, plan)

    def made(self, training: Training, seed: int | None) -> Trained:
        """Train what is missing of it. Raises TrainingError, CheckpointError, DataError and what torch raises."""
        folder, plan = self.place(training, seed)
        found = self._found(training, folder, plan)
        if found.is_whole or (found.bundle is not None and found.seconds >= self.cap_s):
            return found
        work = folder / WORK
        clock = _Clock(folder / TIME, before=found.seconds)

        def note(progress: Progress) -> None:
            if progress.scores is not None:
                clock.write()
            self.watch(progress)

        try:
            with nullcontext(note) if training.at_once else logged(work / LOGS) as log:
                train(
                    training.recipe,
                    scale=self.scale,
                    data=self.data.folder,
                    out=work,
                    changes=self._changes(training, seed),
                    team=Alone(device=self.device),
                    resume=(work / LAST).exists(),
                    precision=self.precision,
                    to_serve=False,
                    watch=together((note, log)),
                    stop=lambda: self.stop() or clock.seconds >= self.cap_s,
                )
        finally:
            clock.write()
        if not _ready(work / training.bundle) and not self.stop():
            bundle_so_far(
                training.recipe,
                scale=self.scale,
                data=self.data.folder,
                out=work,
                into=folder / SO_FAR,
                changes=self._changes(training, seed),
            )
        return self._found(training, folder, plan)

    def _found(self, training: Training, folder: Path, plan: dict[str, Any]) -> Trained:
        seconds = 0.0
        with suppress(OSError, ValueError, KeyError):
            seconds = float(json.loads((folder / TIME).read_text(encoding="utf-8"))["seconds"])
        count, what = samples(plan)
        so_far = Trained(seconds=seconds, samples=f"{count} {what}" if count else "")
        if _ready(folder / WORK / training.bundle):
            return replace(so_far, bundle=folder / WORK / training.bundle, share=1.0)
        if not (folder / WORK / LAST).exists():
            return so_far
        share = self._share(training, folder / WORK / LAST, plan)
        bundle = folder / SO_FAR / training.bundle
        # A training that has gone on since is ahead of what it had come to.
        is_last = _ready(bundle) and (bundle / CARD).stat().st_mtime >= (folder / WORK / LAST).stat().st_mtime
        return replace(so_far, share=share, bundle=bundle if is_last else None)

    def _share(self, training: Training, last: Path, plan: dict[str, Any]) -> float:
        recipe, _ = prepared(training.recipe, self.scale, self._changes(training, int(plan["seed"])))
        position = checkpoint.peek(last)
        done = sum(stage.steps for stage in recipe.stages[: position.stage]) + position.step
        # A last checkpoint without its bundle is not the end: there is something left to write.
        return min(0.999, done / sum(stage.steps for stage in recipe.stages))

    def place(self, training: Training, seed: int | None) -> tuple[Path, dict[str, Any]]:
        """The folder of a training, by everything that decides what comes out, and its plan."""
        plan = self._plan(training, seed)
        code = code_of(training.recipe, self.scale)
        said = [training.recipe, self.scale, plan, self.data.digest, code, self.precision]
        digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]
        return self.folder / f"{training.recipe}-{digest}", plan

    def _plan(self, training: Training, seed: int | None) -> dict[str, Any]:
        if training.at_once:
            return {"changes": list(training.changes_at(self.scale))}
        return prepared(training.recipe, self.scale, self._changes(training, seed))[1]

    def _changes(self, training: Training, seed: int | None) -> tuple[str, ...]:
        chosen = () if seed is None else (f"seed={seed}",)
        return (*training.changes_at(self.scale), *chosen)


def code_of(recipe: str, scale: str) -> str:
    """Digest of the code that a training follows: the recipe, the network, and all of ours that they import. What is
    only said of it, in comments and docstrings, may change."""
    if recipe in trees.METHODS:
        return _code("training.trees")  # what measures the features is among what it imports
    if recipe == thresholds.NAME:
        return _code("training.thresholds")
    architecture = prepared(recipe, scale)[0].card.architecture
    network = zoo.architectures()[architecture].network
    return _code(f"training.recipes.{recipe.replace('-', '_')}") + _code(network.__module__)


@cache
def _code(module: str) -> str:
    paths = sorted(_reached(module).items())
    code = "".join(without_words(path.read_text(encoding="utf-8")) for _, path in paths)
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def without_words(source: str) -> str:
    """What Python code does, without its comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def _reached(module: str) -> dict[str, Path]:
    """Every module of ours that comes along, by name."""
    found: dict[str, Path] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        path = _path(name)
        if name in found or name in DESCRIBES or path is None:
            continue
        found[name] = path
        todo += _imported(path)
    return found


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith(OURS):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _path(name: str) -> Path | None:
    """Of a module; None of a package, or of a name inside a module."""
    with suppress(ModuleNotFoundError, ValueError):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin and spec.submodule_search_locations is None:
            return Path(spec.origin)
    return None


class _Clock:
    """Seconds that a training has taken, those of earlier runs among them."""

    def __init__(self, path: Path, before: float) -> None:
        self._path, self._before, self._began = path, before, time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    def write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_suffix(".new")
        aside.write_text(json.dumps({"seconds": self.seconds}) + "\n", encoding="utf-8")
        aside.replace(self._path)


def _ready(bundle: Path) -> bool:
    return (bundle / CARD).is_file()  # written last
