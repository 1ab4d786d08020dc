"""The section of RESULTS.md on models of the 375 features beyond COVID-MTL's: every step, what it says and what not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from scipy import stats

from training import reported
from training.beyond import (
    BOOSTING,
    FEWER_TREES,
    FOREST,
    LARGER_STEPS,
    METHODS,
    OURS,
    OUTER,
    Found,
    paired,
    percentile,
)
from training.datasets.ictcf import TASKS
from training.realreport import machine
from training.scores import CONFIDENCE, Score
from training.tables import markdown
from training.tabular import TREES

SECTION = "beyond"
LIMITS = """The authors' published feature table (iCTCF), their split. Chosen by cross-validation on the training part
alone, from a list that was written down before; the test part was opened once, after the choice was frozen. Features
only: no age, no sex, nothing of the scanner. AUC is the mean over classes, each against the rest. An ordering is
claimed (\\*) only where the interval of the paired difference leaves zero out. Two hospitals of one city."""
LIGHT = f"""RF with {FEWER_TREES} trees, LGBM with {TREES // LARGER_STEPS} at {LARGER_STEPS} times the rate; in the test
part both are as published."""
OTHERS = (FOREST, BOOSTING)


def section(found: Found, command: str, on: date, minutes: float) -> str:
    """`minutes`: of this run; what an earlier one fitted is not in it."""
    parts = [
        "## Beyond the forests: the 375 features of COVID-MTL",
        f"`{command}`, {on.isoformat()}, {machine()}; {minutes:.0f} min, less what was kept from a run before.",
        LIMITS,
        "\n".join(f"- {line}" for line in verdicts(found)),
        "### The way of choosing, in folds of the training part",
        _folds(found),
        "### The choice, by its own cross-validation on the training part",
        _candidates(found),
        f"### The test part, opened {found.opened}",
        _test(found),
        "### Beside the paper's networks, which had the volumes",
        _networks(found),
        "### The published split among others (D31)",
        _splits(found),
        "### From one hospital to the other",
        _hospitals(found),
    ]
    return "\n\n".join(parts)


def as_json(found: Found) -> dict[str, Any]:
    """Everything that the section is written from, and the differences over folds and splits."""
    return {
        "patients": {"train": found.patients[0], "test": found.patients[1]},
        "choice": {task: {"name": c.candidate, "auc": dict(c.auc)} for task, c in found.choices.items()},
        "opened": found.opened,
        "folds": {
            t: {"auc": a, "chosen": found.fold_choices[t], "differences": _plain(over_folds(found, t))}
            for t, a in found.folds.items()
        },
        "test": found.test,
        "splits": {
            t: {
                "auc": a,
                "published": found.published[t],
                "percentile": {m: percentile(found.published[t][m], a[m]) for m in METHODS},
                "differences": _plain(over_splits(found, t)),
            }
            for t, a in found.splits.items()
        },
        "hospitals": found.hospitals,
        "verdicts": verdicts(found),
    }


def verdicts(found: Found) -> list[str]:
    """One sentence a task: what the folds and the test part say of the choice against the paper's two methods."""
    said = []
    for task in TASKS:
        words = []
        for other in OTHERS:
            folds = over_folds(found, task)[other]
            test = _score(found.test["all"][task][f"{OURS} - {other}"]["AUC"])
            words.append(f"{_word(folds)} {other} in the folds ({_signed(folds)}), {_word(test)} it in the test part")
        said.append(f"**{task}**, {found.choices[task].candidate}: {'; '.join(words)}.")
    return said


def over_folds(found: Found, task: str) -> Mapping[str, Score]:
    """Ours less each of the paper's methods."""
    return _differences(found.folds[task], 1.0 / (OUTER - 1))


def over_splits(found: Found, task: str) -> Mapping[str, Score]:
    training, test = found.patients
    return _differences(found.splits[task], test / training)


def auc_interval(auc: float, positives: int, negatives: int) -> tuple[float, float]:
    """95 % of an AUC of which only the value is known: the standard error of Hanley and McNeil (Radiology 1982)."""
    q1, q2 = auc / (2.0 - auc), 2.0 * auc**2 / (1.0 + auc)
    rest = (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    width = float(
        stats.norm.ppf(0.5 + CONFIDENCE / 2.0) * np.sqrt((auc * (1.0 - auc) + rest) / (positives * negatives))
    )
    return max(auc - width, 0.0), min(auc + width, 1.0)


def _differences(aucs: Mapping[str, Sequence[float]], test_to_training: float) -> Mapping[str, Score]:
    return {other: paired(aucs[OURS], aucs[other], test_to_training) for other in OTHERS}


def _folds(found: Found) -> str:
    rows = []
    for task in TASKS:
        aucs, differences = found.folds[task], over_folds(found, task)
        chosen = ", ".join(f"{name} {n}" for name, n in Counter(found.fold_choices[task]).most_common())
        means = [f"{np.mean(aucs[m]):.3f}" for m in METHODS]
        rows.append([task, *means, *(_signed(differences[o]) for o in OTHERS), chosen])
    text = markdown(["", *METHODS, *(f"{OURS} − {o}" for o in OTHERS), "chosen, times"], rows)
    return f"{text}\n\nMean AUC; intervals by the corrected resampled t-test. {LIGHT}"


def _candidates(found: Found) -> str:
    rows = []
    for name in next(iter(found.choices.values())).auc:
        cells = []
        for task in TASKS:
            cell = f"{found.choices[task].auc[name]:.3f}"
            cells.append(f"**{cell}**" if found.choices[task].candidate == name else cell)
        rows.append([name, *cells])
    text = markdown(["", *TASKS], rows)
    return f"{text}\n\nThe best of many is a little too good here; the folds above and the test part are not."


def _test(found: Found) -> str:
    rows = []
    for part, tasks in found.test.items():
        for task in TASKS:
            scores = tasks[task]
            cells = [str(_score(scores[m][s])) for s in ("AUC", "accuracy") for m in METHODS]
            rows.append([part, task, *cells, *(_signed(_score(scores[f"{OURS} - {o}"]["AUC"])) for o in OTHERS)])
    header = [f"{score}, {m}" for score in ("AUC", "accuracy") for m in METHODS]
    text = markdown(["patients", "", *header, *(f"AUC, {OURS} − {o}" for o in OTHERS)], rows)
    return (
        f"{text}\n\nIntervals by bootstrap of patients within classes. Without duplicates: fitted and judged without "
        "the patients whose features are all another's too. By hospital: fitted on both."
    )


def _networks(found: Found) -> str:
    """The paper gives no scores of patients, hence no paired difference: two intervals side by side."""
    rows = []
    for task, columns in (("CT", "CT "), ("NAT", "NAT "), ("severity", "")):
        table = reported.SEVERITY if task == "severity" else reported.DIAGNOSIS
        ours = found.test["all"][task][OURS]
        rows.append([task, f"ours: {found.choices[task].candidate}", _score(ours["AUC"]), _score(ours["accuracy"])])
        for row in table.rows:
            if row.name in OTHERS:
                continue
            auc, share = float(str(row.paper[f"{columns}AUC"])), float(str(row.paper[f"{columns}accuracy %"])) / 100
            rows.append([task, row.name, _printed(auc, found.classes[task]), _proportion(share, found.patients[1])])
    text = markdown(["", "", "AUC", "accuracy"], rows)
    return (
        f"{text}\n\nOurs: bootstrap. The paper's: as printed, with the interval that its value and the sizes of the "
        "classes imply (AUC: Hanley and McNeil, two classes only; accuracy: Wilson). Intervals that overlap prove no "
        "equality, and no ordering is claimed from them."
    )


def _splits(found: Found) -> str:
    rows = []
    for task in TASKS:
        for method in METHODS:
            others, value = found.splits[task][method], found.published[task][method]
            spread = f"{np.mean(others):.3f} ± {np.std(others, ddof=1):.3f}"
            rows.append([task, method, f"{value:.3f}", spread, f"{percentile(value, others):.0f}"])
    text = markdown(["", "", "published split", "others, mean ± sd", "percentile"], rows)
    lines = []
    for task in TASKS:
        differences = over_splits(found, task)
        lines.append(f"{task}: " + ", ".join(f"{OURS} − {o} {_signed(differences[o])}" for o in OTHERS))
    count = len(found.splits[next(iter(TASKS))][OURS])
    drawn = f"{count} other splits of equal size, drawn by the paper's rule; all by the lighter fits"
    return f"{text}\n\n{drawn}. Over them, {'; '.join(lines)}."


def _hospitals(found: Found) -> str:
    rows = [
        [name, task, *(f"{tasks[task][method]:.3f}" for method in METHODS)]
        for name, tasks in found.hospitals.items()
        for task in TASKS
    ]
    return markdown(["left out, then judged", "", *METHODS], rows) + "\n\nAUC, by the lighter fits."


def _score(held: Mapping[str, Any]) -> Score:
    return Score(**held)


def _plain(differences: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    return {other: {"value": d.value, "low": d.low, "high": d.high} for other, d in differences.items()}


def _word(difference: Score) -> str:
    if not difference.excludes_zero:
        return "not told apart from"
    return "better than" if difference.value > 0 else "worse than"


def _signed(d: Score) -> str:
    return f"{d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f})" + (" \\*" if d.excludes_zero else "")


def _printed(auc: float, classes: Sequence[int]) -> str:
    if len(classes) != 2:
        return f"{auc:.3f}"
    low, high = auc_interval(auc, classes[1], classes[0])
    return f"{auc:.3f} ({low:.3f} to {high:.3f})"


def _proportion(share: float, n: int) -> str:
    found = stats.binomtest(round(share * n), n).proportion_ci(CONFIDENCE, method="wilson")
    return f"{share:.3f} ({found.low:.3f} to {found.high:.3f})"
