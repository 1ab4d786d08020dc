"""The loop: repeatable, resumable bit for bit, honest about what it cannot do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.bundle import save_bundle
from models.cards import Card
from training import checkpoint
from training.checkpoint import CheckpointError
from training.loop import BEST, LAST, Progress, Run, TrainingError, fit
from training.precision import BFLOAT16
from training.recipe import Batch, Group, Recipe, Stage, Teacher, constant, cosine, drop


class Net(nn.Module):
    """Small, with everything that makes resuming hard: batch norm, dropout, two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Conv2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.body(x))
        return result


class Noise:
    """Learn to sharpen: batches from the generator alone."""

    digest = "d"
    description = "noise"
    synthetic = True

    def batch(self, rng: np.random.Generator) -> Batch:
        x = torch.from_numpy(rng.normal(size=(2, 1, 10, 13)).astype(np.float32))
        return {"image": x, "target": 2.0 * x + 1.0}

    def validation(self) -> Iterable[Batch]:
        yield self.batch(np.random.default_rng(99))


def error(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    return {"square": (network(batch["image"]) - batch["target"]).square().mean()}


def score(network: nn.Module, cases: Iterable[Batch]) -> Mapping[str, float]:
    return {"closeness": -float(np.mean([float(error(network, case)["square"].detach()) for case in cases]))}


CARD = Card(name="x", version="1", number=1, paper="none", roles=("lungs",), outputs=("lungs",))
NORM = "body.1.running_mean"
STAGE = Stage(name="only", steps=12, loss=error, lr=0.05, schedule=cosine, validate_every=4)
RECIPE = Recipe(card=CARD, stages=(STAGE,), data=lambda folder: Noise(), validate=score, select="closeness", seed=3)


def weights(recipe: Recipe, run: Run, data: Noise | None = None) -> dict[str, Tensor]:
    torch.manual_seed(recipe.seed)
    network = Net()
    assert fit(recipe, network, data or Noise(), run).finished
    return {name: t.clone() for name, t in network.state_dict().items()}


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def after(steps: int) -> Callable[[], bool]:
    """A stop that comes after so many steps."""
    asked = iter(range(1, 10_000))
    return lambda: next(asked) >= steps


def test_two_trainings_from_one_seed_are_equal_and_another_seed_differs(tmp_path: Path) -> None:
    once, again = (weights(RECIPE, Run(folder=tmp_path / name)) for name in "ab")
    assert same(once, again)
    assert not same(once, weights(replace(RECIPE, seed=4), Run(folder=tmp_path / "c")))


TWO_STAGES = replace(RECIPE, stages=(replace(STAGE, steps=5, validate_every=2), replace(STAGE, name="then", lr=0.01)))


def agreement(network: nn.Module, batch: Batch, teacher: nn.Module) -> dict[str, Tensor]:
    return {"agreement": (network(batch["image"]) - teacher(batch["image"])).square().mean()}


TAUGHT = replace(
    RECIPE,
    stages=(
        replace(STAGE, steps=5, validate_every=2),
        replace(STAGE, name="then", teacher=Teacher(loss=agreement, keep=0.9)),
    ),
)
SGD = replace(RECIPE, stages=(replace(STAGE, optimizer=partial(torch.optim.SGD, momentum=0.9)),))


@pytest.mark.parametrize("recipe", [RECIPE, TWO_STAGES, SGD, TAUGHT], ids=["adam", "two stages", "sgd", "teacher"])
@pytest.mark.parametrize("stopped_after", [1, 4, 5, 7, 11])
def test_resuming_continues_bit_for_bit(recipe: Recipe, stopped_after: int, tmp_path: Path) -> None:
    expected = weights(recipe, Run(folder=tmp_path / "whole"))
    torch.manual_seed(recipe.seed)
    first = fit(recipe, Net(), Noise(), Run(folder=tmp_path / "cut", stop=after(stopped_after)))
    assert not first.finished
    torch.manual_seed(1234)  # another process starts from other weights
    network = Net()
    second = fit(recipe, network, Noise(), Run(folder=tmp_path / "cut", resume=True))
    assert second.finished
    assert same(network.state_dict(), expected)


def test_steps_in_bfloat16_learn_the_same_roughly_and_resume_bit_for_bit(tmp_path: Path) -> None:
    full = weights(RECIPE, Run(folder=tmp_path / "full"))
    mixed = weights(RECIPE, Run(folder=tmp_path / "mixed", precision=BFLOAT16))
    assert {t.dtype for t in mixed.values() if t.is_floating_point()} == {torch.float32}
    assert not same(full, mixed)
    decided = [name for name in full if name not in ("body.0.bias", NORM)]  # a bias before a batch norm is noise
    assert {name: t.tolist() for name, t in mixed.items() if name in decided} == {
        name: pytest.approx(full[name].numpy(), abs=0.05) for name in decided
    }
    cut = Run(folder=tmp_path / "cut", precision=BFLOAT16, stop=after(5))
    torch.manual_seed(RECIPE.seed)
    assert not fit(RECIPE, Net(), Noise(), cut).finished
    assert same(weights(RECIPE, replace(cut, resume=True, stop=lambda: False)), mixed)


def test_batches_prepared_ahead_are_the_same_batches(tmp_path: Path) -> None:
    expected = weights(RECIPE, Run(folder=tmp_path / "a"))
    assert same(weights(RECIPE, Run(folder=tmp_path / "b", workers=3)), expected)


def test_the_best_weights_are_kept_and_not_the_last(tmp_path: Path) -> None:
    """A rate that ruins everything after the middle: what is kept is from before."""
    ruinous = replace(RECIPE, stages=(replace(STAGE, schedule=drop(0.5, 400.0)),))
    watched: list[Progress] = []
    network = Net()
    fitted = fit(ruinous, network, Noise(), Run(folder=tmp_path, watch=watched.append))
    seen = {p.step: p.scores["closeness"] for p in watched if p.scores is not None}
    assert list(seen) == [4, 8, 12]
    assert fitted.best_step == max(seen, key=lambda step: seen[step]) == 4
    network.eval()
    assert score(network, Noise().validation())["closeness"] == pytest.approx(seen[4], rel=1e-5)
    assert [p.step for p in watched] == list(range(1, 13))


def test_a_score_that_cannot_be_computed_never_beats_one_that_can(tmp_path: Path) -> None:
    scores = iter([float("nan"), -5.0, float("nan")])
    fitted = fit(
        replace(RECIPE, validate=lambda network, cases: {"closeness": next(scores)}),
        Net(),
        Noise(),
        Run(folder=tmp_path),
    )
    assert (fitted.best_step, fitted.scores) == (8, {"closeness": -5.0})


def test_what_is_not_trainable_stays_as_it_is_batch_norm_included(tmp_path: Path) -> None:
    frozen = replace(RECIPE, stages=(replace(STAGE, trainable=("head",)),))
    torch.manual_seed(frozen.seed)
    before = Net().state_dict()
    found = weights(frozen, Run(folder=tmp_path))
    changed = {name for name in found if not torch.equal(found[name], before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_a_layer_that_begins_anew_does_so_once_and_as_often_as_one_likes_in_the_same_way(tmp_path: Path) -> None:
    """From what the first stage left of it the second could not learn: its rate is 0."""
    second = replace(STAGE, name="second", steps=8, anew=("head",), trainable=("head",), lr=0.0)
    both = replace(RECIPE, stages=(STAGE, second))
    alone, whole = weights(RECIPE, Run(folder=tmp_path / "alone")), weights(both, Run(folder=tmp_path / "whole"))
    changed = {name for name in whole if not torch.equal(whole[name], alone[name])}
    assert changed == {"head.weight", "head.bias"}
    learning = replace(both, stages=(STAGE, replace(second, lr=0.05)))
    stopped = Run(folder=tmp_path / "stopped", stop=after(14))
    torch.manual_seed(RECIPE.seed)
    assert not fit(learning, Net(), Noise(), stopped).finished
    resumed = weights(learning, replace(stopped, resume=True, stop=lambda: False))
    assert same(resumed, weights(learning, Run(folder=tmp_path / "unstopped")))
    assert not torch.equal(resumed["head.weight"], whole["head.weight"])


def test_batch_norms_follow_as_fast_as_the_recipe_says(tmp_path: Path) -> None:
    """With a momentum of 1 they hold the statistics of the last batch, with 0 what they began with."""
    means = [
        weights(replace(RECIPE, norm_momentum=m), Run(folder=tmp_path / name))[NORM]
        for m, name in ((None, "own"), (0.0, "still"), (1.0, "last"))
    ]
    assert torch.equal(means[1], torch.zeros(3))
    assert (means[2] - means[0]).abs().max() > 1e-3
    assert means[0].abs().max() > 1e-3


def test_a_second_stage_is_resumed_with_the_norms_of_the_first(tmp_path: Path) -> None:
    slow = replace(RECIPE, stages=(STAGE, replace(STAGE, name="second", steps=8)), norm_momentum=0.01)
    stopped = Run(folder=tmp_path / "stopped", stop=after(14))
    torch.manual_seed(RECIPE.seed)
    assert not fit(slow, Net(), Noise(), stopped).finished
    resumed = weights(slow, replace(stopped, resume=True, stop=lambda: False))
    assert same(resumed, weights(slow, Run(folder=tmp_path / "unstopped")))


def test_groups_have_their_own_rate(tmp_path: Path) -> None:
    still = (Group(prefix="body", lr_factor=0.0), Group())
    found = weights(replace(RECIPE, stages=(replace(STAGE, groups=still),)), Run(folder=tmp_path))
    torch.manual_seed(RECIPE.seed)
    before = Net().state_dict()
    assert torch.equal(found["body.0.weight"], before["body.0.weight"])
    assert not torch.equal(found["head.weight"], before["head.weight"])


def test_a_teacher_is_what_the_network_was_and_follows_it_as_slowly_as_it_is_told(tmp_path: Path) -> None:
    seen: dict[float, list[tuple[Tensor, Tensor]]] = {1.0: [], 0.75: []}
    for keep, steps in seen.items():

        def watched(
            network: nn.Module, batch: Batch, teacher: nn.Module, into: list[tuple[Tensor, Tensor]] = steps
        ) -> dict[str, Tensor]:
            assert not teacher.training
            assert not any(p.requires_grad for p in teacher.parameters())
            into.append(tuple(n.get_parameter("head.weight").detach().clone() for n in (network, teacher)))  # type: ignore[arg-type]
            return agreement(network, batch, teacher)

        stage = replace(STAGE, teacher=Teacher(loss=watched, keep=keep))
        torch.manual_seed(3)
        fit(replace(RECIPE, stages=(stage,)), Net(), Noise(), Run(folder=tmp_path / str(keep)))
    still, following = seen[1.0], seen[0.75]
    assert len(still) == STAGE.steps
    assert all(torch.equal(teacher, still[0][0]) for _, teacher in still)
    assert torch.equal(following[0][1], following[0][0])
    for (_, before), (network, after) in itertools.pairwise(following):
        torch.testing.assert_close(after, 0.75 * before + 0.25 * network)
    loss = [p.losses for p in _progress(TAUGHT, tmp_path / "told")]
    assert "agreement" not in loss[0]
    assert set(loss[-1]) == {"square", "agreement"}


def _progress(recipe: Recipe, folder: Path) -> list[Progress]:
    seen: list[Progress] = []
    fit(recipe, Net(), Noise(), Run(folder=folder, watch=seen.append))
    return seen


def test_a_stage_starts_from_the_bundle_it_names(tmp_path: Path) -> None:
    torch.manual_seed(77)
    other = Net().state_dict()
    save_bundle(tmp_path / "bundle", CARD, {"head.weight": other["head.weight"], "foreign": torch.zeros(2)})
    stage = replace(STAGE, init_from=tmp_path / "bundle", lr=0.0)
    found = weights(replace(RECIPE, stages=(stage,)), Run(folder=tmp_path / "run"))
    assert torch.equal(found["head.weight"], other["head.weight"])
    assert not torch.equal(found["body.0.weight"], other["body.0.weight"])
    save_bundle(tmp_path / "bundle", CARD, {"foreign": torch.zeros(2)})
    with pytest.raises(TrainingError, match="none of its tensors fits"):
        weights(replace(RECIPE, stages=(stage,)), Run(folder=tmp_path / "again"))


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (replace(STAGE, groups=(Group(prefix="head"),)), "in no group"),
        (replace(STAGE, trainable=("tail",)), "nothing is trainable"),
        (replace(STAGE, loss=lambda n, b: {"bad": error(n, b)["square"] * torch.inf}), "no number"),
    ],
)
def test_what_cannot_be_trained_says_why(stage: Stage, words: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=words):
        weights(replace(RECIPE, stages=(stage,)), Run(folder=tmp_path))


def test_a_checkpoint_is_whole_or_refused(tmp_path: Path) -> None:
    fit(RECIPE, Net(), Noise(), Run(folder=tmp_path, stop=after(4)))
    assert checkpoint.peek(tmp_path / LAST).step == checkpoint.peek(tmp_path / BEST).best_step == 4
    assert not list(tmp_path.glob("*.new"))
    (tmp_path / LAST).write_bytes((tmp_path / LAST).read_bytes()[:-5])
    with pytest.raises(CheckpointError):
        fit(RECIPE, Net(), Noise(), Run(folder=tmp_path, resume=True))


class Greedy(torch.optim.Adam):
    """Its state does not fit: what Adam keeps of every weight is taken at its first step."""

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def greedy(network: nn.Module, cases: Iterable[Batch]) -> Mapping[str, float]:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried")


class Heavy(Noise):
    def batch(self, rng: np.random.Generator) -> Batch:
        raise MemoryError


@pytest.mark.parametrize(
    ("recipe", "data"),
    [
        (replace(RECIPE, stages=(replace(STAGE, optimizer=Greedy),)), Noise()),
        (replace(RECIPE, validate=greedy), Noise()),
        (RECIPE, Heavy()),
    ],
    ids=["the optimiser's state", "a validation", "a batch"],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_out_of_memory_says_what_to_do_wherever_it_happens(
    recipe: Recipe, data: Noise, workers: int, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"out of memory; fewer samples .*--accumulate .*smaller --scale"):
        fit(recipe, Net(), data, Run(folder=tmp_path, workers=workers))


def test_another_fault_of_torch_stays_what_it_is(tmp_path: Path) -> None:
    def wrong(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        fit(replace(RECIPE, stages=(replace(STAGE, loss=wrong),)), Net(), Noise(), Run(folder=tmp_path))


def test_schedules() -> None:
    assert (constant(0.7), cosine(0.0), drop(0.5, 0.1)(0.49), drop(0.5, 0.1)(0.5)) == (1.0, 1.0, 1.0, 0.1)
    assert cosine(0.5) == pytest.approx(0.5)
    assert cosine(1.0) == pytest.approx(0.0)


def test_a_stage_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="0 steps"):
        replace(STAGE, steps=0)
