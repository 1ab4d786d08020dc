"""The training loop: fit, validate, checkpoint, resume. There is one.

Nothing random outlives a step: the batch and the network's own dropout are drawn from (seed, stage, step). So a
training that was stopped and resumed continues bit for bit on a CPU with the same number of threads.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from models.bundle import read_tensors
from training import checkpoint
from training.checkpoint import Position
from training.errors import TrainingError as TrainingError
from training.precision import FLOAT32, computing_in
from training.team import ALONE, Team

if TYPE_CHECKING:
    from training.recipe import Batch, Data, Recipe, Stage

LAST, BEST = "last.safetensors", "best.safetensors"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One step, for whoever watches. `scores` only after a validation."""

    stage: str
    step: int  # done, in this stage
    steps: int
    losses: Mapping[str, float]
    scores: Mapping[str, float] | None = None


def _nobody(progress: Progress) -> None:
    return None


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where and how a recipe is followed."""

    folder: Path
    team: Team = ALONE
    resume: bool = False
    accumulate: int = 1  # batches whose gradients make one step
    precision: str = FLOAT32  # of a step; a validation computes in float32
    workers: int = 0  # threads that prepare batches ahead; 0: in turn with the network
    watch: Callable[[Progress], None] = _nobody
    stop: Callable[[], bool] = _never  # asked after every step


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """How it ended. The network holds the best weights where it is finished."""

    finished: bool
    scores: Mapping[str, float]
    best_step: int | None


def fit(recipe: Recipe, network: nn.Module, data: Data, run: Run) -> Fitted:
    """Follow the recipe. Raises TrainingError on a loss that is no number and where memory is too small, be it for the
    network, a step, the optimiser's state or a validation; CheckpointError where there is nothing to resume from."""
    with _memory_explained():
        return _followed(recipe, network, data, run)


def _followed(recipe: Recipe, network: nn.Module, data: Data, run: Run) -> Fitted:
    run.folder.mkdir(parents=True, exist_ok=True)
    network.to(run.team.device)
    if not any(p.dim() == 5 for p in network.parameters()):  # torch has the format for 2-D convolutions only
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stub
    if recipe.norm_momentum is not None:
        _set_norm_momentum(network, recipe.norm_momentum)
    position = checkpoint.peek(run.folder / LAST) if run.resume else Position(stage=0, step=0)
    for index in range(position.stage, len(recipe.stages)):
        if index > position.stage:
            position = Position(stage=index, step=0)
        position = _Fitting(recipe, network, data, run, position).run()
        if position.step < recipe.stages[index].steps:
            return Fitted(finished=False, scores=position.best_scores, best_step=position.best_step)
        checkpoint.read(run.folder / BEST, network)
    return Fitted(finished=True, scores=position.best_scores, best_step=position.best_step)


class _Fitting:
    """One stage, from a position in it."""

    def __init__(self, recipe: Recipe, network: nn.Module, data: Data, run: Run, position: Position) -> None:
        self._recipe, self._network, self._data, self._run_ = recipe, network, data, run
        self._stage: Stage = recipe.stages[position.stage]
        self._position = position
        if position.step == 0 and self._stage.init_from is not None:
            take_over(network, self._stage.init_from)
        if position.step == 0 and self._stage.anew:
            torch.manual_seed(int(self._seeds(0).generate_state(2)[1]))
            _begin_anew(network, self._stage.anew)
        self._optimizer = _optimizer(network, self._stage)
        self._teacher = None if self._stage.teacher is None else _copy(network)
        if run.resume and position.step > 0:
            checkpoint.read(run.folder / LAST, network, self._optimizer, self._teacher)

    def run(self) -> Position:
        stage, run = self._stage, self._run_
        for batches in self._batches():
            losses = self._step(batches)
            self._position = replace(self._position, step=self._position.step + 1)
            done = self._position.step
            scores = self._validated() if done % stage.validate_every == 0 or done == stage.steps else None
            run.watch(Progress(stage=stage.name, step=done, steps=stage.steps, losses=losses, scores=scores))
            stopped = run.team.agree(run.stop())
            if (scores is not None or stopped) and run.team.rank == 0:
                checkpoint.write(run.folder / LAST, self._position, self._network, self._optimizer, self._teacher)
            if stopped:
                break
        return self._position

    def _step(self, batches: Sequence[Batch]) -> dict[str, float]:
        stage, step, team = self._stage, self._position.step, self._run_.team
        torch.manual_seed(int(self._seeds(step).generate_state(2)[1]))
        factor = stage.schedule(step / stage.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = stage.lr * group["lr_factor"] * factor
        _set_training(self._network)
        self._optimizer.zero_grad(set_to_none=True)
        values: dict[str, float] = {}
        for batch in batches:
            with computing_in(self._run_.precision, self._network, team.device):
                terms = self._terms({name: t.to(team.device) for name, t in batch.items()})
            torch.autograd.backward([torch.stack(list(terms.values())).sum() / len(batches)])
            for name, term in terms.items():
                values[name] = values.get(name, 0.0) + float(term.detach()) / len(batches)
        if not math.isfinite(team.mean(sum(values.values()))):
            raise TrainingError(f"{stage.name}, step {step}: the loss is no number ({values}); try a lower --set lr=")
        team.share(self._network.parameters())
        self._optimizer.step()
        if stage.teacher is not None and self._teacher is not None:
            _follow(self._teacher, self._network, stage.teacher.keep)
        return values

    def _terms(self, batch: Batch) -> Mapping[str, Tensor]:
        terms = self._stage.loss(self._network, batch)
        if self._stage.teacher is None or self._teacher is None:
            return terms
        return {**terms, **self._stage.teacher.loss(self._network, batch, self._teacher)}

    def _validated(self) -> Mapping[str, float]:
        if self._run_.team.rank > 0:
            return {}
        self._network.eval()
        with torch.inference_mode():
            validate = self._stage.validate or self._recipe.validate
            scores = validate(self._network, self._data.validation())
        select = self._stage.select or self._recipe.select
        best = _worth(self._position.best_scores, select)
        if self._position.best_step is None or _worth(scores, select) > best:
            self._position = replace(self._position, best_step=self._position.step, best_scores=dict(scores))
            checkpoint.write(self._run_.folder / BEST, self._position, self._network, None)
        return scores

    def _seeds(self, step: int, of_step: int = 0) -> np.random.SeedSequence:
        """Of a step's batch: the n-th that this process draws for it."""
        which = self._run_.team.rank * self._run_.accumulate + of_step
        return np.random.SeedSequence([self._recipe.seed, self._position.stage, step, *([which] if which else ())])

    def _drawn(self, step: int) -> list[Batch]:
        each = range(self._run_.accumulate)
        return [self._data.batch(np.random.default_rng(self._seeds(step, n))) for n in each]

    def _batches(self) -> Iterator[Sequence[Batch]]:
        """What is left to be learned from, step by step, whoever prepares it."""
        steps = range(self._position.step, self._stage.steps)
        if self._run_.workers == 0:
            yield from (self._drawn(step) for step in steps)
            return
        with ThreadPoolExecutor(self._run_.workers) as pool:
            ahead = 2 * self._run_.workers
            waiting = [pool.submit(self._drawn, step) for step in steps[:ahead]]
            for step in steps:
                ready = waiting.pop(0)
                if step + ahead < self._stage.steps:
                    waiting.append(pool.submit(self._drawn, step + ahead))
                yield ready.result()


@contextmanager
def _memory_explained() -> Iterator[None]:
    """Out of memory says what to do; anything else stays what it is."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
            advice = "fewer samples in a batch (--set) with --accumulate for the same gradient, or a smaller --scale"
            raise TrainingError(f"out of memory; {advice}") from error
        raise


def _worth(scores: Mapping[str, float], select: str) -> float:
    """The score that chooses; what cannot be computed is worth least."""
    value = scores.get(select, -math.inf)
    return -math.inf if math.isnan(value) else value


def take_over(network: nn.Module, bundle: Path) -> int:
    """Copy the tensors of a bundle that have the network's names and shapes; how many there were. Raises TrainingError
    where there are none, BundleError where the bundle is damaged."""
    own = network.state_dict()
    fitting = {n: t for n, t in read_tensors(bundle).items() if n in own and own[n].shape == t.shape}
    if not fitting:
        raise TrainingError(f"{bundle.name}: none of its tensors fits the network")
    network.load_state_dict(fitting, strict=False)
    return len(fitting)


def _set_training(network: nn.Module) -> None:
    """Training mode, except where nothing is trainable: a batch norm that is frozen must not learn its means either."""
    network.train()
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own):
            module.eval()


def _set_norm_momentum(network: nn.Module, momentum: float) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.momentum = momentum


def _begin_anew(network: nn.Module, prefixes: tuple[str, ...]) -> None:
    for name, module in network.named_modules():
        reset = getattr(module, "reset_parameters", None)
        if name.startswith(prefixes) and callable(reset):
            reset()


def _copy(network: nn.Module) -> nn.Module:
    """A teacher: it learns from nothing but its pupil's weights."""
    return copy.deepcopy(network).requires_grad_(False).eval()


def _follow(teacher: nn.Module, network: nn.Module, keep: float) -> None:
    """Draw the teacher towards the network; a mean teacher's batch norms too."""
    if keep == 1.0:
        return
    own = network.state_dict()  # both without a gradient
    for name, value in teacher.state_dict().items():
        if value.is_floating_point():
            value.lerp_(own[name], 1.0 - keep)
        else:
            value.copy_(own[name])


def _optimizer(network: nn.Module, stage: Stage) -> torch.optim.Optimizer:
    """Every parameter in the first group whose prefix it has; what is not trainable gets no gradient."""
    members: list[list[Tensor]] = [[] for _ in stage.groups]
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(stage.trainable))
        fitting = [n for n, group in enumerate(stage.groups) if name.startswith(group.prefix)]
        if parameter.requires_grad and fitting:
            members[fitting[0]].append(parameter)
        elif parameter.requires_grad:
            raise TrainingError(f"stage {stage.name}: {name} is trainable and in no group")
    groups: list[dict[str, Any]] = [
        {"params": parameters, "lr_factor": group.lr_factor, **group.options}
        for parameters, group in zip(members, stage.groups, strict=True)
        if parameters
    ]
    if not groups:
        raise TrainingError(f"stage {stage.name}: nothing is trainable")
    return stage.optimizer(groups, lr=stage.lr)
