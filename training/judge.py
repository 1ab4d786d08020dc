"""Run pipelines over a data set in several processes, keep what was measured, and sum it up.

Each case's measurements lie in a file of their own as soon as they are made, under a name that tells the case's origin,
the pipeline and the code: a run that was stopped is continued, and a pipeline that joins later runs alone.
"""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import models
from models.pipeline import Pipeline
from training.cases import Cases
from training.evaluate import CLASSICAL, Contender, Evaluation, summary
from training.measure import VERSION, Case, Measured, measure, remaining
from training.scores import RESAMPLES

Progress = Callable[[int, int], None]  # (done, of how many)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The cases, and for each pipeline (the first is the baseline) what it made of each."""

    contenders: tuple[Contender, ...]
    cases: tuple[Case, ...]
    measured: tuple[tuple[Measured, ...], ...]

    def evaluation(self, *, seed: int = 0, resamples: int = RESAMPLES) -> Evaluation:
        return summary(self.contenders, self.cases, self.measured, seed=seed, resamples=resamples)


def judge(
    cases: Cases,
    contenders: Sequence[Contender],
    *,
    baseline: Contender = CLASSICAL,
    device: str = "cpu",
    workers: int = 1,
    keep: Path | None = None,
    surfaces: bool = False,
    progress: Progress = lambda done, of: None,
) -> Judged:
    """The baseline and every contender over every case, one case in memory at a time and process.

    `keep` is the folder of measurements; None keeps none. `surfaces`: with their distances (needs MONAI). Raises
    UnknownModel or BundleError where a pipeline cannot be made, before any case is drawn.
    """
    everyone = (baseline, *contenders)
    who = [_identity(contender, device) for contender in everyone]
    jobs = [
        _Job(cases=cases, number=n, contenders=everyone, who=who, device=device, keep=keep, surfaces=surfaces)
        for n in range(len(cases))
    ]
    kept, found = [], []
    for case, measured in _run(jobs, workers):
        kept.append(case)
        found.append(measured)
        progress(len(kept), len(jobs))
    return Judged(contenders=everyone, cases=tuple(kept), measured=tuple(zip(*found, strict=True)))


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One case for every pipeline."""

    cases: Cases
    number: int
    contenders: tuple[Contender, ...]
    who: list[str]
    device: str
    keep: Path | None
    surfaces: bool

    def path(self, who: str) -> Path | None:
        if self.keep is None:
            return None
        said = json.dumps([VERSION, self.cases.name, self.cases.origin(self.number), who, self.surfaces])
        return self.keep / f"{self.number:05}-{hashlib.sha256(said.encode()).hexdigest()[:16]}.json"


def _run(jobs: Sequence[_Job], workers: int) -> Iterator[tuple[Case, list[Measured]]]:
    if workers <= 1:
        yield from map(_done, jobs)
        return
    # Processes that share the cores wait for each other's threads longer than these work. OpenMP and ITK read this as
    # they are loaded, so it has to be there before the processes are.
    for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ.setdefault(name, "1")
    # Spawned, not forked: the caller may have threads.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(_done, jobs)
    finally:
        pool.shutdown(cancel_futures=True)


def _done(job: _Job) -> tuple[Case, list[Measured]]:
    paths = [job.path(who) for who in job.who]
    known = [_read(path) for path in paths]
    if all(one is not None for one in known):
        there = [one for one in known if one is not None]
        return there[0][0], [measured for _, measured in there]
    case = job.cases[job.number]
    left, found = remaining(case), []
    for contender, who, path, one in zip(job.contenders, job.who, paths, known, strict=True):
        if one is None:
            measured = measure(_pipeline(contender, job.device, who), case, surfaces=job.surfaces)
            _write(path, left, measured)
        found.append(measured if one is None else one[1])
    return left, found


@functools.cache
def _pipeline(contender: Contender, device: str, who: str) -> Pipeline:
    """Made once; `who` it is takes part, for a bundle may be trained anew under the same name."""
    return contender.pipeline(device)


def _identity(contender: Contender, device: str) -> str:
    """What decides what a pipeline says: its models with their weights, the device, and the code."""
    identities = [asdict(identity) for identity in contender.pipeline(device).identities]
    return json.dumps([identities, device, code()], sort_keys=True)


@functools.cache
def code() -> str:
    files = sorted(path for folder in models.__path__ for path in Path(folder).glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _write(path: Path | None, case: Case, measured: Measured) -> None:
    """Whole or not at all."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"case": asdict(case), "measured": asdict(measured)}) + "\n", encoding="utf-8")
    temporary.replace(path)


def _read(path: Path | None) -> tuple[Case, Measured] | None:
    if path is None or not path.is_file():
        return None
    said = json.loads(path.read_text(encoding="utf-8"))
    return Case(**said["case"]), Measured(**said["measured"])
