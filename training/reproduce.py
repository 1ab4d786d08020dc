"""Our column of the papers' tables: from the published feature table of COVID-MTL, and from studies.

What is computed from the feature table (the cohort, the forests and Welch's analysis) is on the paper's own data and
split, so it may be compared. What was measured on other data is headed "not comparable": studies that were written
down lie in training/results, and `--data study=FILE` names one; cases with known lungs (`--data own=DIR`, or another
data set's name) fill the table of lungs. Everything else keeps an empty column. Numbers are rounded as the paper prints
them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from training import reported
from training.datasets import ictcf
from training.datasets.ictcf import TASKS, FeatureTable
from training.datasets.library import PHANTOM, cases_in
from training.datasets.public.registry import DATA_SETS
from training.datasets.stored import DataError
from training.lungtable import lung_table
from training.reported import Cell, Cells, Row, Table
from training.tabular import TREES, Judged, judged_on_test
from training.welch import welch

Progress = Callable[[str], None]  # called with what is computed next

SIGNIFICANT = 0.001  # of all three groupings (Bao et al., section 5.5)
METHODS = ("RF", "LGBM")
DATA_OF = {"ictcf": "covid-mtl"}  # data sets that fill rows, each with its paper
STUDY = "study"  # what `triaged study NAME --json` printed
RESULTS = Path(__file__).parent / "results"
UNMEASURED = "Ours: nothing measured. `triaged study {}` does, on drawn patients."
SAME_DATA = "Ours: the authors' published feature table (iCTCF), their split, {}. The same data: may be compared."
FITTED = SAME_DATA.format("fitted on the 930 training patients with the authors' seed, judged on the 399 of the test")
WHOLE = SAME_DATA.format("all patients")


class CannotTell(Exception):
    """A paper or a data set that there is not; the message says which there are."""


def tables_of(paper: str | None, data: Sequence[str] = (), progress: Progress = lambda what: None) -> tuple[Table, ...]:
    """The tables of one paper or of all, with those of studies in their place. `data` are words NAME=PATH. Raises
    CannotTell, DataError, TrainingError."""
    if paper is not None and paper not in reported.PAPERS:
        raise CannotTell(f"{paper} is none of the papers: {', '.join(reported.PAPERS)}")
    files: dict[str, Path] = {}
    for words in data:
        name, _, path = words.partition("=")
        known = dict.fromkeys((*DATA_OF, STUDY, PHANTOM, *DATA_SETS))
        if name not in known or not path:
            raise CannotTell(f"--data {words}: NAME=PATH, and NAME one of {', '.join(known)}")
        if name != STUDY:
            _require_paper(name, DATA_OF.get(name, "covid-mtl"), paper)
            files[name] = Path(path)
    studied = _studied(data, paper)
    tables = dict(reported.PAPERS) if paper is None else {paper: reported.PAPERS[paper]}
    if "ictcf" in files:
        tables["covid-mtl"] = covid_mtl(ictcf.read(files.pop("ictcf")), progress)
    for name, folder in files.items():
        lungs = lung_table(cases_in(name, folder), progress)
        kept = [lungs if table.title == lungs.title else table for table in tables["covid-mtl"]]
        tables["covid-mtl"] = tuple(kept)
    return tuple(table for name, some in tables.items() for table in _merged(name, some, studied.get(name, ())))


def _require_paper(what: str, its: str, asked: str | None) -> None:
    if asked not in {None, its}:
        raise CannotTell(f"--data {what} fills tables of {its}, not of {asked}")


def _studied(data: Sequence[str], asked: str | None) -> dict[str, tuple[Table, ...]]:
    """The tables of studies by paper: those that were written down, and instead of them those that are named."""
    found = {name: of_study(kept)[1] for name in reported.PAPERS if (kept := RESULTS / f"{name}.json").is_file()}
    for words in data:
        name, _, path = words.partition("=")
        if name == STUDY:
            paper, tables = of_study(Path(path))
            _require_paper(words, paper, asked)
            found[paper] = tables
    return found


def of_study(path: Path) -> tuple[str, tuple[Table, ...]]:
    """The paper and the tables of what `triaged study NAME --json` printed. Raises DataError."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        tables = tuple(
            Table(
                title=table["title"],
                columns=tuple(table["columns"]),
                rows=tuple(Row(name=row["name"], paper=row["paper"], ours=row["ours"]) for row in table["rows"]),
                note=table["note"],
            )
            for table in said
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not what `triaged study NAME --json` prints: {error}") from error
    for paper, printed in reported.PAPERS.items():
        if any(_stands_for(table, one) for table in tables for one in printed):
            return paper, tables
    raise DataError(f"{path} holds no table of {', '.join(reported.PAPERS)}")


def _stands_for(table: Table, printed: Table) -> bool:
    """A study has a table of each set of cases, whose name follows the printed title."""
    return table.title.startswith(f"{printed.title}; ")


def _merged(paper: str, printed: Sequence[Table], studied: Sequence[Table]) -> list[Table]:
    """Each printed table as it is filled from the paper's own data, and the study's below it or, where there is none of
    its own, instead of it; then what the study has beyond print."""
    found: list[Table] = []
    for table in printed:
        ours = [one for one in studied if _stands_for(one, table)]
        if any(row.ours for row in table.rows):
            found += [table, *ours]
        else:
            found += ours or [replace(table, note=UNMEASURED.format(paper))]
    return found + [one for one in studied if not any(_stands_for(one, table) for table in printed)]


def covid_mtl(table: FeatureTable, progress: Progress = lambda what: None, *, trees: int = TREES) -> tuple[Table, ...]:
    """The paper's tables with our column wherever this data gives it. Minutes: six fits of 1,000 trees or more."""
    judged: dict[tuple[str, str], Judged] = {}
    for method in METHODS:
        for task in TASKS:
            progress(f"{method}, {task}")
            judged[method, task] = judged_on_test(table, task, method, trees)
    progress("Welch's analysis of variance")
    return (
        cohort(table),
        reported.LUNGS,
        _filled(reported.DIAGNOSIS, FITTED, {m: diagnosis(judged[m, "CT"], judged[m, "NAT"]) for m in METHODS}),
        _filled(reported.SEVERITY, FITTED, {m: severity(judged[m, "severity"]) for m in METHODS}),
        _filled(reported.WELCH, WHOLE, {row.name: variances(table, row.name) for row in reported.WELCH.rows}),
    )


def cohort(table: FeatureTable) -> Table:
    """Table 1: who is in the two parts."""
    ours: dict[str, dict[str, Cell]] = {row.name: {} for row in reported.COHORT.rows}
    for part, rows in (("train", table.train), ("test", ~table.train)):
        some = table.where(rows)
        counts = {task: np.bincount(label, minlength=TASKS[task][1]) for task, label in some.labels.items()}
        union = int((np.char.find(some.hospitals, "Union") >= 0).sum())
        men = int((some.genders == "Male").sum())
        values: list[Cell] = [
            f"{men}/{len(some) - men}",
            f"{some.ages.mean():.2f} ± {some.ages.std(ddof=1):.2f}",
            f"{counts['CT'][1]}/{counts['CT'][0]}",
            f"{counts['NAT'][1]}/{counts['NAT'][0]}",
            "/".join(str(n) for n in counts["severity"]),
            f"{union}/{len(some) - union}",
        ]
        for row, value in zip(ours.values(), values, strict=True):
            row[part] = value
    return _filled(reported.COHORT, WHOLE, ours)


def diagnosis(ct: Judged, nat: Judged) -> Cells:
    """A row of table 3."""
    return {"input": "features", **_weighted("CT ", ct), **_weighted("NAT ", nat)}


def severity(judged: Judged) -> Cells:
    """A row of table 4."""
    return {**_weighted("", judged), "AUC sd": round(judged.auc_sd, 3)}


def variances(table: FeatureTable, feature: str) -> Cells:
    """A row of Welch's analysis, as printed: two decimals, p with three, and what is smaller as a bound."""
    values = table.column(feature)
    cells: dict[str, Cell] = {}
    significant = True
    for task, labels in table.labels.items():
        found = welch([values[labels == c] for c in range(TASKS[task][1])])
        cells[f"{task} F"] = "<.01" if found.statistic < 0.01 else round(found.statistic, 2)
        cells[f"{task} df2"] = round(found.df2, 2)
        cells[f"{task} p"] = "<.001" if found.p < 0.001 else round(found.p, 3)
        significant &= found.p < SIGNIFICANT
    return {**cells, "significant": "yes" if significant else "no"}


def _weighted(prefix: str, judged: Judged) -> Cells:
    return {
        f"{prefix}precision": round(judged.precision, 3),
        f"{prefix}recall": round(judged.recall, 3),
        f"{prefix}F1": round(judged.f1, 3),
        f"{prefix}accuracy %": round(100 * judged.accuracy, 2),
        f"{prefix}AUC": round(judged.auc, 3),
    }


def _filled(table: Table, note: str, ours: Mapping[str, Cells]) -> Table:
    rows = tuple(replace(row, ours=ours.get(row.name, {})) for row in table.rows)
    return replace(table, rows=rows, note=note)
