"""Pipelines on held-out phantoms: masks, severity and identification, each with an interval, beside a baseline.

What such a result can say is little: train and test share a generator, and COVID against CAP is separable by rules that
we wrote. So the cases come from a shifted generator, a reference row tells what the true lesion descriptors alone give,
and an ordering is claimed only where the interval of the paired difference leaves zero out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.pipeline import Pipeline
from training.measure import Case, Measured
from training.overlap import DISTANCES, OVERLAP, SLICES, VOXELS
from training.scores import RESAMPLES, Indices, Score, auc_score, interval, roc_auc, spearman
from training.tables import markdown

COVID, NORMAL = "covid", "normal"
OTHERS = ("cap", "atelectasis")  # what the papers set against COVID-19 beside the healthy (P-TRI: not nodules)
FOLDS = 5
REFERENCE = "true lesion descriptors (logistic regression)"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Two roles filled by name or by the folder of a bundle."""

    label: str
    lungs: str
    triage: str

    def pipeline(self, device: str = "cpu") -> Pipeline:
        return Pipeline(lungs=self.lungs, triage=self.triage, device=device)

    @property
    def words(self) -> str:
        """Its models by name; of a bundle elsewhere the name of its folder alone."""
        return f"lungs by `{Path(self.lungs).name}`, triage by `{Path(self.triage).name}`"


CLASSICAL = Contender(label="thresholding", lungs="classical-lungs", triage="thresholding")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One pipeline's scores; `differences` are its scores less the baseline's, on the same cases."""

    label: str
    lungs: str
    triage: str
    refused: int
    scores: Mapping[str, Score]
    differences: Mapping[str, Score]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Cases per kind, one row per pipeline (the first is the baseline), and the reference row."""

    cases: Mapping[str, int]
    rows: tuple[Row, ...]
    reference: Mapping[str, Score]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    def as_markdown(self) -> str:
        """A table of scores, then one of the differences to the baseline; an asterisk where an ordering is claimed."""
        names = list(METRICS)
        header = ["", *(METRICS[name].title for name in names), "refused"]
        rows = [[r.label, *(str(r.scores[name]) for name in names), r.refused] for r in self.rows]
        rows.append([REFERENCE, *(str(self.reference.get(name, NO_SCORE)) for name in names), "–"])
        parts = [self._caption(), markdown(header, rows)]
        if len(self.rows) > 1:
            rows = [
                [f"{r.label} less {self.rows[0].label}", *(_claim(r.differences[name]) for name in names)]
                for r in self.rows[1:]
            ]
            parts += ["Paired differences (*: the interval leaves zero out):", markdown(header[:-1], rows)]
        return "\n\n".join(parts)

    def _caption(self) -> str:
        counts = ", ".join(f"{n} {kind}" for kind, n in self.cases.items())
        return f"{sum(self.cases.values())} cases: {counts}. Means with 95 % bootstrap intervals over cases."


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One column: which cases it is computed on, the value of each (nan: the model or the data set does not say, and
    the case is left out), and how values become a figure."""

    title: str
    cases: Callable[[Case], bool]
    value: Callable[[Measured], float]
    of: Callable[[Sequence[Measured], Sequence[Case]], Callable[[Indices], float]]


def _mean(title: str, value: Callable[[Measured], float], cases: Callable[[Case], bool]) -> Metric:
    def of(measured: Sequence[Measured], cases: Sequence[Case]) -> Callable[[Indices], float]:
        values = np.array([value(m) for m in measured])
        return lambda i: float(values[i].mean())

    return Metric(title=title, cases=cases, value=value, of=of)


def _mask(name: str) -> Callable[[Measured], float]:
    return lambda m: m.masks.get(name, float("nan"))


def _has_lesions(case: Case) -> bool:
    """Cases without any tell nothing of a lesion mask (DeepSC-COVID's authors leave them out)."""
    return case.has_lesions


def _rank(measured: Sequence[Measured], cases: Sequence[Case]) -> Callable[[Indices], float]:
    found = np.array([m.severity for m in measured])
    truth = np.array([c.fraction for c in cases])
    return lambda i: spearman(found[i], truth[i])


def _auc(measured: Sequence[Measured], cases: Sequence[Case]) -> Callable[[Indices], float]:
    found = np.array([m.score for m in measured])
    positive = np.array([c.kind == COVID for c in cases])
    return lambda i: roc_auc(found[i], positive[i])


METRICS: dict[str, Metric] = {
    "lung_dice": _mean("lung Dice", lambda m: m.lung_dice, lambda c: True),
    "lesion_dice": _mean("lesion Dice (COVID)", lambda m: m.lesion_dice, lambda c: c.kind == COVID and _has_lesions(c)),
    "severity_rho": Metric(
        title="severity, Spearman (COVID)",
        cases=lambda c: c.kind == COVID and not np.isnan(c.fraction),
        value=lambda m: m.severity,
        of=_rank,
    ),
    "auc_all": Metric(
        title="AUC against normal + CAP + atelectasis",
        cases=lambda c: c.kind in (COVID, NORMAL, *OTHERS),
        value=lambda m: m.score,
        of=_auc,
    ),
    "auc_others": Metric(
        title="AUC against CAP + atelectasis",
        cases=lambda c: c.kind in (COVID, *OTHERS),
        value=lambda m: m.score,
        of=_auc,
    ),
    "auc_normal": Metric(
        title="AUC against normal", cases=lambda c: c.kind in (COVID, NORMAL), value=lambda m: m.score, of=_auc
    ),
    "normal_fraction": _mean("affected fraction of normals", lambda m: m.fraction, lambda c: c.kind == NORMAL),
}
WORDS = {
    "nsd_1mm": "NSD at 1 mm",
    "nsd_3mm": "NSD at 3 mm",
    "rmsd_mm": "RMSD, mm",
    "mcc": "MCC",
    "f1": "F1",
    "jaccard": "Jaccard",
    "slice_dice": "Dice, slice by slice",
    "slice_jaccard": "Jaccard, slice by slice",
    "slice_mcc": "MCC, slice by slice",
    "slice_precision": "precision, slice by slice",
}
# Of the masks, beside Dice: lungs of every case, lesions of the cases that have some.
DETAILS: dict[str, Metric] = {
    "lesion_dsc": _mean("lesion Dice (all with lesions)", lambda m: m.lesion_dice, _has_lesions)
} | {
    f"{what}_{name}": _mean(f"{what} {WORDS.get(name, name)}", _mask(f"{what}_{name}"), cases)
    for what, names, cases in (
        ("lung", (*OVERLAP, *SLICES, *DISTANCES), lambda c: True),
        ("lesion", (*OVERLAP, *VOXELS, *DISTANCES), _has_lesions),
    )
    for name in names
}
NO_SCORE = Score(value=float("nan"), low=float("nan"), high=float("nan"), n=0)


def summary(
    contenders: Sequence[Contender],
    cases: Sequence[Case],
    measured: Sequence[Sequence[Measured]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Sum up what was measured: one sequence per contender, the baseline first, in the order of the cases."""
    kinds = [case.kind for case in cases]
    return Evaluation(
        cases={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        rows=tuple(_row(c, m, measured[0], cases, seed, resamples) for c, m in zip(contenders, measured, strict=True)),
        reference=_reference(cases, seed),
    )


def _row(
    contender: Contender,
    found: Sequence[Measured],
    base: Sequence[Measured],
    cases: Sequence[Case],
    seed: int,
    resamples: int,
) -> Row:
    differences = {}
    for name, metric in METRICS.items():
        at = [i for i in _at(metric, found, cases) if not np.isnan(metric.value(base[i]))]
        some = [cases[i] for i in at]
        kinds = [case.kind for case in some]
        mine, its = metric.of([found[i] for i in at], some), metric.of([base[i] for i in at], some)
        differences[name] = interval(_less(mine, its), len(at), strata=kinds, seed=seed, resamples=resamples)
    return Row(
        label=contender.label,
        lungs=contender.lungs,
        triage=contender.triage,
        refused=sum(m.refused for m in found),
        scores=scores(found, cases, METRICS, seed=seed, resamples=resamples),
        differences=differences,
    )


def scores(
    found: Sequence[Measured],
    cases: Sequence[Case],
    metrics: Mapping[str, Metric],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Score]:
    """Every metric of one pipeline, each on the cases it belongs to."""
    made = {}
    for name, metric in metrics.items():
        at = _at(metric, found, cases)
        some = [cases[i] for i in at]
        statistic = metric.of([found[i] for i in at], some)
        made[name] = interval(statistic, len(at), strata=[c.kind for c in some], seed=seed, resamples=resamples)
    return made


def _at(metric: Metric, found: Sequence[Measured], cases: Sequence[Case]) -> list[int]:
    return [i for i, case in enumerate(cases) if metric.cases(case) and not np.isnan(metric.value(found[i]))]


def _less(mine: Callable[[Indices], float], its: Callable[[Indices], float]) -> Callable[[Indices], float]:
    return lambda i: mine(i) - its(i)


def _reference(cases: Sequence[Case], seed: int) -> dict[str, Score]:
    """What the true lesions alone tell: logistic regression on their descriptors, each case scored by the folds it is
    not in. Left out where a class has fewer cases than there are folds, or the cases carry no descriptors."""
    found = {}
    for name in ("auc_all", "auc_others", "auc_normal"):
        some = [case for case in cases if METRICS[name].cases(case)]
        positive = np.array([case.kind == COVID for case in some], np.bool_)
        described = {tuple(sorted(case.descriptors)) for case in some}
        if min(int(positive.sum()), int((~positive).sum())) < FOLDS or len(described) != 1 or () in described:
            continue
        scores = _cross_validated(some, positive, seed)
        found[name] = auc_score(scores, positive, seed=seed)
    return found


def _cross_validated(cases: Sequence[Case], positive: NDArray[np.bool_], seed: int) -> NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    names = sorted(cases[0].descriptors)
    x = np.array([[case.descriptors[name] for name in names] for case in cases])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return np.asarray(cross_val_predict(model, x, positive, cv=folds, method="decision_function"))


def _claim(score: Score) -> str:
    return f"{score} *" if score.excludes_zero else str(score)
