"""A recipe by name, followed from data to bundle."""

from __future__ import annotations

import importlib
import json
import math
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from pydantic import TypeAdapter, ValidationError

from models import zoo
from models.bundle import save_bundle
from models.cards import Card
from training import checkpoint
from training.familiar import measured
from training.loop import BEST, LAST, Fitted, Progress, Run, TrainingError
from training.precision import FLOAT32, require_precision
from training.recipe import Data, Module, Recipe
from training.team import ALONE, Team

MANIFEST, BUNDLE = "manifest.json", "bundle"
HANDS = ("commit", "uncommitted changes", "versions", "device", "threads")  # of a manifest: what trained, and on what
TOGETHER = ("torch", "numpy", "scipy", "scikit-learn", "safetensors")  # versions that decide what comes out


class Described(Protocol):
    """What a manifest says of the data."""

    @property
    def digest(self) -> str: ...

    @property
    def description(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of it. `bundle` None: not finished, the folder can be resumed."""

    bundle: Path | None
    scores: Mapping[str, float]
    best_step: int | None


def recipes() -> list[str]:
    """The names `train` knows: the files in training/recipes."""
    folder = Path(__file__).parent / "recipes"
    return sorted(p.stem.replace("_", "-") for p in folder.glob("*.py") if p.stem != "__init__")


def require(name: str) -> None:
    """Raises TrainingError where nothing of that name can be trained."""
    known = {*recipes(), *_at_once()}
    if name not in known:
        raise TrainingError(f"no recipe {name}; there are {', '.join(sorted(known))}")


def _at_once() -> Mapping[str, Callable[..., Trained]]:
    """What is fitted in one go, by its name: no network, nothing to resume, watch or stop."""
    from training import thresholds, trees

    return {**dict.fromkeys(trees.METHODS, trees.train), thresholds.NAME: thresholds.train}


def prepared(name: str, scale: str, changes: Sequence[str] = ()) -> tuple[Recipe, dict[str, Any]]:
    """The recipe and its plan, `changes` ("key=value") applied. Raises TrainingError naming what is wrong."""
    require(name)
    module = cast(Module, importlib.import_module(f"training.recipes.{name.replace('-', '_')}"))
    if scale not in module.SCALES:
        raise TrainingError(f"{name} has no scale {scale}; there are {', '.join(module.SCALES)}")
    plan = changed(module.SCALES[scale], changes)
    return module.recipe(scale, plan), asdict(plan)


def train(
    name: str,
    *,
    scale: str,
    data: Path,
    out: Path,
    changes: Sequence[str] = (),
    team: Team = ALONE,
    resume: bool = False,
    workers: int = 0,
    accumulate: int = 1,
    precision: str = FLOAT32,
    to_serve: bool = True,
    watch: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Follow the recipe and write out/bundle. `to_serve`: with the ranges of what is familiar to it, which can take as
    long as the training. Raises TrainingError where the folder holds another training."""
    if name in _at_once():
        return _at_once()[name](name, scale=scale, changes=changes, data=data, out=out)
    require_precision(precision)
    recipe, plan = prepared(name, scale, changes)
    if (out / LAST).exists() and not resume:
        raise TrainingError(f"{out} holds a training; resume it, or choose another folder")
    if resume and not (out / LAST).exists():
        raise TrainingError(f"{out} holds no training to resume")
    samples = recipe.data(data)
    described = manifest(name, scale, plan, samples, team) | {"accumulate": accumulate, "precision": precision}
    if resume:
        before = {"precision": FLOAT32, **json.loads((out / MANIFEST).read_text(encoding="utf-8"))}
        described = _continued(before, described, recipe, out / LAST)
    out.mkdir(parents=True, exist_ok=True)
    if team.rank == 0:
        (out / MANIFEST).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    torch.manual_seed(recipe.seed)
    network = zoo.architectures()[recipe.card.architecture].network(**recipe.card.arguments)
    run = Run(
        folder=out,
        team=team,
        resume=resume,
        accumulate=accumulate,
        precision=precision,
        workers=workers,
        watch=watch,
        stop=stop,
    )
    fitted = recipe.fit(recipe, network, samples, run)
    if fitted.finished and team.rank == 0:
        together = accumulate * team.size
        for folder, (card, part) in _kept(recipe, network).items():
            _bundled(out / folder, _limited(card, together), part, samples, fitted, described, to_serve=to_serve)
    bundle = out / BUNDLE if fitted.finished else None
    return Trained(bundle=bundle, scores=fitted.scores, best_step=fitted.best_step)


def bundle_so_far(name: str, *, scale: str, data: Path, out: Path, into: Path, changes: Sequence[str] = ()) -> Trained:
    """Write into/bundle of the best weights that the unfinished training in `out` has come to, as not `to_serve`;
    the training can still be resumed. Raises CheckpointError where it has no checkpoint."""
    recipe, _ = prepared(name, scale, changes)
    network = zoo.architectures()[recipe.card.architecture].network(**recipe.card.arguments)
    position = checkpoint.read(out / (BEST if (out / BEST).exists() else LAST), network)
    samples = recipe.data(data)
    fitted = Fitted(finished=False, scores=position.best_scores, best_step=position.best_step)
    described = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    for folder, (card, part) in _kept(recipe, network).items():
        words = f"stopped early, with the weights of step {position.step}"
        limited = replace(card, limits=_and(card.limits, words))
        _bundled(into / folder, limited, part, samples, fitted, described, to_serve=False)
    return Trained(bundle=into / BUNDLE, scores=fitted.scores, best_step=fitted.best_step)


def _kept(recipe: Recipe, network: torch.nn.Module) -> Mapping[str, tuple[Card, torch.nn.Module]]:
    """What is kept of a network, by the name of its folder."""
    return recipe.bundles(recipe.card, network) if recipe.bundles else {BUNDLE: (recipe.card, network)}


def manifest(name: str, scale: str, plan: Mapping[str, Any], data: Described, team: Team) -> dict[str, Any]:
    """Everything that decides what comes out, as JSON."""
    commit, changed = _commit()
    return {
        "recipe": name,
        "scale": scale,
        "plan": dict(plan),
        "data": {"digest": data.digest, "description": data.description},
        "commit": commit,
        "uncommitted changes": changed,
        "versions": {"python": platform.python_version(), **{package: version(package) for package in TOGETHER}},
        "device": team.device,
        "processes": team.size,
        "threads": torch.get_num_threads(),
    }


def _limited(card: Card, together: int) -> Card:
    """With gradients of several batches added, a batch norm has still seen one batch at a time: the card says so."""
    if together == 1:
        return card
    words = f"trained with the gradients of {together} batches together, of which batch norms saw one at a time"
    return replace(card, limits=_and(card.limits, words))


def _and(limits: str, words: str) -> str:
    return "; ".join(part for part in (limits, words) if part)


def _bundled(
    folder: Path,
    card: Card,
    network: torch.nn.Module,
    data: Data,
    fitted: Fitted,
    described: Mapping[str, Any],
    *,
    to_serve: bool,
) -> None:
    scores = {name: round(value, 4) for name, value in fitted.scores.items() if math.isfinite(value)}
    card = replace(card, synthetic=data.synthetic, training_data=data.description, scores=scores)
    if to_serve:
        card = replace(card, familiar=measured(data, card, network))
    else:
        card = replace(card, limits=_and(card.limits, "does not know what is unfamiliar to it"))
    save_bundle(folder, card, {name: t.cpu() for name, t in network.state_dict().items()})
    (folder / MANIFEST).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def changed(plan: Any, changes: Sequence[str]) -> Any:
    """The plan with its fields set from words "key=value". Raises TrainingError naming what is wrong."""
    fields = asdict(plan)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or key not in fields:
            raise TrainingError(f"{change!r} is not key=value with a key of {', '.join(fields)}")
        fields[key] = text
    try:
        return TypeAdapter(type(plan)).validate_python(fields)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise TrainingError(wrong) from error


def _continued(before: dict[str, Any], now: Mapping[str, Any], recipe: Recipe, last: Path) -> dict[str, Any]:
    """The manifest of a training that is resumed: what it said, and who takes the steps that are left, where that is
    another commit or machine. Raises TrainingError where it was another training, CheckpointError."""
    for key in ("recipe", "scale", "plan", "data", "accumulate", "precision", "processes"):
        if before.get(key) != now[key]:
            raise TrainingError(f"cannot resume: the {key} was {before.get(key)} and is {now[key]}")
    at = checkpoint.peek(last)
    done = (at.stage, at.step) == (len(recipe.stages) - 1, recipe.stages[-1].steps)
    earlier = before.get("continued", [])
    hands = {key: now[key] for key in HANDS}
    if done or hands.items() <= [before, *earlier][-1].items():
        return before
    return {**before, "continued": [*earlier, {"stage": at.stage, "step": at.step, **hands}]}


def _commit() -> tuple[str, bool]:
    """The commit this code is at, and whether files differ from it; empty outside a repository."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return "", False
