"""A report as one page of HTML that needs no other file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from training import figures
from training.evaluate import DETAILS, METRICS, NO_SCORE, REFERENCE, WORDS, Metric
from training.figures import area_under
from training.report import AGAINST, CLASSES, RATES, THRESHOLD, Report, scores_and_truth
from training.scores import Score, auc_score


@dataclass(frozen=True, kw_only=True)
class Table:
    """Text for a table: one row per name."""

    caption: str
    titles: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True, kw_only=True)
class Figure:
    svg: Markup
    words: str


def page(report: Report) -> str:
    """The HTML."""
    environment = Environment(
        loader=PackageLoader("training"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("evaluation.html").render(
        report=report,
        tables=list(_tables(report)),
        rocs=[*_rocs(report), *_class_rocs(report)],
        reliabilities=list(_reliabilities(report)),
        groups=list(_groups(report)),
        each=_each(report),
    )


def _tables(report: Report) -> Iterator[Table]:
    """A column per pipeline: figures with their intervals are too wide to stand beside each other."""
    columns = {part.label: [*_cells(part.scores, METRICS), str(part.refused)] for part in report.parts}
    columns[REFERENCE] = [*_cells(report.reference, METRICS), "–"]
    yield _across("The main figures", [*_titles(METRICS), "refused"], columns)
    first, *others = report.parts
    if others:
        columns = {f"{part.label} less {first.label}": _claims(part.differences) for part in others}
        yield _across("Paired differences (*: the interval leaves zero out)", _titles(METRICS), columns)
    yield _across("Masks", _titles(DETAILS), {part.label: _cells(part.details, DETAILS) for part in report.parts})
    rates = [WORDS.get(name, name) for name in RATES]
    columns = {part.label: [str(part.decision[name]) for name in RATES] for part in report.parts if part.decision}
    if columns:
        yield _across(f"COVID-19 or not, at a score of {THRESHOLD:g}", rates, columns)
    for task, names in CLASSES.items():
        columns = {
            part.label: list(map(str, part.classes[task].values())) for part in report.parts if part.classes.get(task)
        }
        if columns:
            titles = next(list(part.classes[task]) for part in report.parts if part.classes.get(task))
            yield _across(f"{task}: choice between {', '.join(names)}", titles, columns)
    columns = {part.label: [f"{part.seconds[name]:.1f}" for name in part.seconds] for part in report.parts}
    caption = f"Seconds per study, from images to result, {report.workers} at a time"
    yield _across(caption, list(first.seconds), columns)


def _across(caption: str, names: Sequence[str], columns: Mapping[str, Sequence[str]]) -> Table:
    rows = [(name, [cells[i] for cells in columns.values()]) for i, name in enumerate(names)]
    return Table(caption=caption, titles=list(columns), rows=rows)


def _rocs(report: Report) -> Iterator[Figure]:
    for name, which in AGAINST.items():
        curves = {}
        for part, found in zip(report.parts, report.measured, strict=True):
            if part.roc[name]:
                area = auc_score(*scores_and_truth(found, report.cases, which)).value
                curves[f"{part.label}: {area:.3f}"] = part.roc[name]
        if curves:
            drawn = Markup(figures.roc(curves, f"ROC curves of COVID-19 against {name}"))  # noqa: S704 - our own SVG
            yield Figure(svg=drawn, words=f"COVID-19 against {name}; in the legend the area under the curve.")


def _class_rocs(report: Report) -> Iterator[Figure]:
    for task, names in CLASSES.items():
        for name in names:
            curves = {
                f"{part.label}: {area_under(part.class_roc[task][name]):.3f}": part.class_roc[task][name]
                for part in report.parts
                if name in part.class_roc.get(task, {})
            }
            if curves:
                words = f"{task}: {name} against the rest"
                drawn = Markup(figures.roc(curves, f"ROC curves, {words}"))  # noqa: S704 - our own SVG
                yield Figure(svg=drawn, words=f"{words}; in the legend the area under the curve.")


def _reliabilities(report: Report) -> Iterator[Figure]:
    for number, (part, found) in enumerate(zip(report.parts, report.measured, strict=True)):
        if not part.decision:
            continue
        said, positive = scores_and_truth(found, report.cases)
        colour = figures.COLOURS[number % len(figures.COLOURS)]
        drawn = Markup(figures.reliability(said, positive, f"Reliability of {part.label}", colour))  # noqa: S704
        words = f"{part.label}: what was said against what was so, with the number of cases. Shares are of this mix."
        yield Figure(svg=drawn, words=words)


def _groups(report: Report) -> Iterator[Table]:
    for what in report.parts[0].groups:
        rows = [
            (f"{value}, {part.label}", [str(group.n), *_cells(group.scores, METRICS)])
            for value in report.parts[0].groups[what]
            for part in report.parts
            for group in [part.groups[what][value]]
        ]
        yield Table(caption=f"By {what}", titles=["cases", *_titles(METRICS)], rows=rows)


def _each(report: Report) -> Table:
    titles = ["kind", "truly affected"]
    for part in report.parts:
        titles += [f"{part.label}: {words}" for words in ("lung Dice", "lesion Dice", "affected", "score")]
    rows = []
    for case, *found in zip(report.cases, *report.measured, strict=True):
        cells = [case.kind, _number(case.fraction)]
        for one in found:
            cells += [_number(v) for v in (one.lung_dice, one.lesion_dice, one.fraction, one.score)]
        rows.append((case.name, cells))
    return Table(caption="Fractions are of the worse lung", titles=titles, rows=rows)


def _titles(metrics: Mapping[str, Metric]) -> list[str]:
    return [metric.title for metric in metrics.values()]


def _cells(found: Mapping[str, Score], metrics: Mapping[str, Metric]) -> list[str]:
    return [str(found.get(name, NO_SCORE)) for name in metrics]


def _claims(differences: Mapping[str, Score]) -> list[str]:
    return [f"{d} *" if d.excludes_zero else str(d) for d in (differences[name] for name in METRICS)]


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
