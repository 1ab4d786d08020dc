"""From what rows said of the cases to tables: means over seeds, intervals over cases and seeds, and who beats whom.

Cases are drawn again with the same draws for every row, so that a difference is a paired one; seeds are drawn again row
by row. An ordering is claimed only between rows that were trained with several seeds (or that learn nothing), and only
where the interval of the difference leaves zero out. Three seeds are few: the intervals are rather too narrow, and they
are not corrected for how many pairs there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from training import reported
from training.comparison import Column, Section
from training.evaluate import Metric
from training.measure import NAN, Case, Measured
from training.reported import Cell, Table
from training.scores import CONFIDENCE, RESAMPLES, Indices, Score
from training.tables import markdown

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one row said of a set of cases: by part, one sequence of measurements per seed. `marks`: why it is
    missing or not whole; `words`: how it was trained."""

    parts: Mapping[str, Sequence[Sequence[Measured]]] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    words: str = ""
    learns: bool = True  # a method without training is the same for every seed

    def of(self, part: str) -> Sequence[Sequence[Measured]]:
        return self.parts.get(part, self.parts.get("", ()))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One cell: its score over cases and seeds; `drawn` has its value in every resample; `spread` is the deviation of
    the values of the cases, which says something where the metric is their mean; `silent`: cases without an answer."""

    score: Score
    drawn: Values
    spread: float
    seeds: int
    silent: int


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """In this column the first row is better than the second."""

    column: str
    better: str
    worse: str
    difference: Score

    def __str__(self) -> str:
        return f"{self.column}: {self.better} is better than {self.worse} by {self.difference}"


@dataclass(frozen=True, kw_only=True)
class StudyTable:
    """A table in the form of the papers' tables, the intervals of its cells, what must be known of its rows, and the
    orderings that may be claimed."""

    table: Table
    answers: Mapping[str, Mapping[str, Answer]]
    marks: Mapping[str, tuple[str, ...]]
    orderings: tuple[Ordering, ...]

    def as_json(self) -> dict[str, object]:
        """The form of `triaged tables`, and more beside it."""
        intervals = [
            {"row": row, "column": column, **_plain(answer.score), "seeds": answer.seeds}
            for row, cells in self.answers.items()
            for column, answer in cells.items()
        ]
        claims = [
            {"column": o.column, "better": o.better, "worse": o.worse, **_plain(o.difference)} for o in self.orderings
        ]
        marks = {row: list(words) for row, words in self.marks.items() if words}
        return {**self.table.as_json(), "intervals": intervals, "marks": marks, "orderings": claims}

    def as_markdown(self) -> str:
        parts = [self.table.as_markdown()]
        if any(self.answers.values()):
            parts += ["Ours with 95 % intervals over cases and, where there are several, seeds:", self._intervals()]
        marked = [f"- **{row}**: {'; '.join(words)}" for row, words in self.marks.items() if words]
        if marked:
            parts.append("\n".join(marked))
        if self.orderings:
            parts.append("\n".join(["What may be claimed:", "", *(f"- {ordering}" for ordering in self.orderings)]))
        return "\n\n".join(parts)

    def _intervals(self) -> str:
        """In the units of the scores, without the scale of the paper's print."""
        heads = [name for name in self.table.columns if any(name in cells for cells in self.answers.values())]
        lines = [
            [row, *(str(cells[name].score) if name in cells else "" for name in heads)]
            for row, cells in self.answers.items()
            if cells
        ]
        return markdown(["", *heads], lines)


def _plain(score: Score) -> dict[str, float | int | None]:
    numbers = {name: None if np.isnan(v) else v for name, v in vars(score).items()}
    return {**numbers, "n": score.n}


def tabled(
    section: Section,
    title: str,
    note: str,
    cases: Sequence[Case],
    said: Mapping[str, Said],
    *,
    reference: str = "",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> StudyTable:
    """The section on one set of cases; `said` by the name of the row, `reference` the name of one that no paper has."""
    answers: dict[str, dict[str, Answer]] = {name: {} for name in said}
    for column in section.columns:
        draws = Draws(column.metric, cases, seed=seed, resamples=resamples)
        for name, one in said.items():
            if name == reference and not column.reference:
                continue
            answer = draws.answer(one.of(column.part), who=name, learns=one.learns)
            if answer is not None:
                answers[name][column.name] = answer
    papers = {row.name: section.printed(row) for row in section.rows}
    alone = tuple(row for row in section.paper.rows if row.name not in said) if section.paper else ()
    rows = (
        *(reported.Row(name=row.name, paper=row.paper) for row in alone),  # experts, of whom there are none here
        *(
            reported.Row(
                name=name, paper=papers.get(name, {}), ours=_cells(section.columns, answers[name], papers.get(name, {}))
            )
            for name in said
        ),
    )
    return StudyTable(
        table=Table(title=title, columns=section.heads, rows=rows, note=note),
        answers=answers,
        marks={name: _marks(one, answers[name]) for name, one in said.items()},
        orderings=tuple(orderings(section, answers, said, reference)),
    )


class Draws:
    """The cases of one column, drawn again and again, the same for every row."""

    def __init__(self, metric: Metric, cases: Sequence[Case], *, seed: int, resamples: int) -> None:
        self._metric = metric
        self._at = [i for i, case in enumerate(cases) if metric.cases(case)]
        self._cases = [cases[i] for i in self._at]
        kinds = np.array([case.kind for case in self._cases])
        groups = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)] if self._cases else []
        rng = np.random.default_rng(seed)
        self._draws: list[Indices] = [
            np.concatenate([group[rng.integers(group.size, size=group.size)] for group in groups])
            for _ in range(resamples if groups else 0)
        ]
        self._seed = seed

    def answer(self, measured: Sequence[Sequence[Measured]], *, who: str, learns: bool = True) -> Answer | None:
        """None where nobody answers. What one seed leaves without an answer is left out for that seed."""
        everyone, drawn, spreads, silent = [], [], [], 0
        for one in measured:
            found = [one[i] for i in self._at]
            values = np.array([self._metric.value(m) for m in found])
            there = ~np.isnan(values)
            if not there.any():
                continue
            silent = max(silent, int((~there).sum()))
            kept = np.flatnonzero(there)
            place = np.cumsum(there) - 1
            statistic = self._metric.of([found[i] for i in kept], [self._cases[i] for i in kept])
            everyone.append(statistic(np.arange(kept.size)))
            drawn.append(
                np.array([statistic(place[d[there[d]]]) if there[d].any() else NAN for d in self._draws], np.float64)
            )
            spreads.append(values[kept].std(ddof=1) if kept.size > 1 else NAN)
        if not everyone:
            return None
        rng = np.random.default_rng([self._seed, crc32(who.encode())])
        over_seeds = _over_seeds(np.stack(drawn), rng) if learns else drawn[0]
        tail = (1.0 - CONFIDENCE) / 2.0
        low, high = np.nanquantile(over_seeds, [tail, 1 - tail]) if _any(over_seeds) else (NAN, NAN)
        value = float(np.mean(everyone))
        n = len(self._at) - silent
        return Answer(
            score=Score(value=value, low=float(low), high=float(high), n=n),
            drawn=over_seeds,
            spread=float(np.mean(spreads)),
            seeds=len(everyone),
            silent=silent,
        )


def _over_seeds(drawn: Values, rng: np.random.Generator) -> Values:
    """(seeds, resamples) to the mean over as many seeds, drawn again for every resample."""
    seeds, resamples = drawn.shape
    chosen = rng.integers(seeds, size=(seeds, resamples))
    return np.asarray(np.take_along_axis(drawn, chosen, axis=0).mean(axis=0), np.float64)


def _any(values: Values) -> bool:
    return bool((~np.isnan(values)).any())


def orderings(
    section: Section, answers: Mapping[str, Mapping[str, Answer]], said: Mapping[str, Said], reference: str
) -> list[Ordering]:
    """Of every two rows that can be ordered, in every column that orders."""
    if not section.ordered:
        return []
    found = []
    for column in (column for column in section.columns if column.ordered):
        able = [
            name
            for name, cells in answers.items()
            if name != reference and column.name in cells and _can_be_ordered(cells[column.name], said[name])
        ]
        for one, other in combinations(able, 2):
            ordering = _ordering(column, (one, answers[one][column.name]), (other, answers[other][column.name]))
            if ordering is not None:
                found.append(ordering)
    return found


def _can_be_ordered(answer: Answer, said: Said) -> bool:
    return (answer.seeds > 1 or not said.learns) and answer.silent == 0 and not said.marks


def _ordering(column: Column, one: tuple[str, Answer], other: tuple[str, Answer]) -> Ordering | None:
    (name, mine), (its_name, its) = one, other
    difference = mine.drawn - its.drawn
    if not _any(difference):
        return None
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.nanquantile(difference, [tail, 1 - tail])
    score = Score(value=mine.score.value - its.score.value, low=float(low), high=float(high), n=mine.score.n)
    if not score.excludes_zero:
        return None
    is_mine = (score.value > 0) != column.lower_is_better
    low, high = sorted((abs(score.low), abs(score.high)))
    size = Score(value=abs(score.value), low=float(low), high=float(high), n=score.n)
    better, worse = (name, its_name) if is_mine else (its_name, name)
    return Ordering(column=column.name, better=better, worse=worse, difference=size)


def _cells(columns: Sequence[Column], answers: Mapping[str, Answer], printed: Mapping[str, Cell]) -> dict[str, Cell]:
    """Rounded as the paper prints them; what the paper says in words, and no metric fills, is taken over."""
    filled = {column.name: _cell(column, answers.get(column.name)) for column in columns}
    words = {name: cell for name, cell in printed.items() if isinstance(cell, str) and name not in filled and answers}
    return words | filled


def _cell(column: Column, answer: Answer | None) -> Cell:
    if answer is None or np.isnan(answer.score.value):
        return None
    value = round(column.scale * answer.score.value, column.digits)
    if column.spread is None:
        return value
    over = answer.spread if column.spread == "cases" else float(np.nanstd(answer.drawn)) if _any(answer.drawn) else NAN
    shown = f"{value:.{column.digits}f}"
    return shown if np.isnan(over) else f"{shown} ({column.scale * over:.{column.digits}f})"


def _marks(said: Said, answers: Mapping[str, Answer]) -> tuple[str, ...]:
    silent = max((answer.silent for answer in answers.values()), default=0)
    return (*said.marks, f"says nothing of {silent} cases, which are left out") if silent else said.marks
