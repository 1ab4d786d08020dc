"""The columns that studies fill: each a metric of the papers (MODELS.md section 6), on the cases it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.volume_triage import CT_CLASSES, DIAGNOSES, NAT_CLASSES, SEVERITIES
from training.classes import one_against_rest, rates, table
from training.datasets.simulated_labels import COVID
from training.evaluate import NORMAL, OTHERS, Metric
from training.measure import NAN, Case, Measured
from training.scores import Confusion, Indices, roc_auc, spearman

LEVEL = 0.5  # of a probability (MODELS.md 3: the paper names none)
TASKS = {"CT": CT_CLASSES, "NAT": NAT_CLASSES, "severity": SEVERITIES}
PNEUMONIA = ("covid", "cap")  # kinds of the first two of DIAGNOSES

Statistic = Callable[[NDArray[np.float64], Indices], float]  # of probabilities (case, class) and class numbers


def everyone(case: Case) -> bool:
    return True


def covid_or(*kinds: str) -> Callable[[Case], bool]:
    """COVID-19 and those it is set against."""
    return lambda case: case.kind in (COVID, *kinds)


NOT_OTHER = covid_or(NORMAL, *OTHERS)  # CT triage: healthy, pneumonia and atelectasis


def with_lesions(case: Case) -> bool:
    return case.kind in PNEUMONIA and case.fraction > 0


def covid_with_lesions(case: Case) -> bool:
    return case.kind == COVID and case.fraction > 0


def mean(value: Callable[[Measured], float], cases: Callable[[Case], bool] = everyone) -> Metric:
    def of(measured: Sequence[Measured], cases: Sequence[Case]) -> Callable[[Indices], float]:
        values = np.array([value(m) for m in measured])
        return lambda i: float(values[i].mean())

    return Metric(title="", cases=cases, value=value, of=of)


def seconds() -> Metric:
    """The median time per study."""

    def of(measured: Sequence[Measured], cases: Sequence[Case]) -> Callable[[Indices], float]:
        values = np.array([m.seconds for m in measured])
        return lambda i: float(np.median(values[i]))

    return Metric(title="", cases=everyone, value=lambda m: m.seconds, of=of)


def mask(name: str) -> Metric:
    """A score of the lesion mask by its name in `training.overlap`, over the cases that have lesions."""
    return mean(lambda m: m.masks.get(f"lesion_{name}", NAN), with_lesions)


def lesion_dice(cases: Callable[[Case], bool]) -> Metric:
    return mean(lambda m: m.lesion_dice, cases)


def rank() -> Metric:
    """Spearman's rho of the severity over COVID-19; of a model without one, its score's."""

    def of(measured: Sequence[Measured], cases: Sequence[Case]) -> Callable[[Indices], float]:
        found, truth = np.array([m.severity for m in measured]), np.array([c.fraction for c in cases])
        return lambda i: spearman(found[i], truth[i])

    return Metric(
        title="", cases=lambda c: c.kind == COVID and not np.isnan(c.fraction), value=lambda m: m.severity, of=of
    )


def area(cases: Callable[[Case], bool]) -> Metric:
    """ROC AUC of the score for COVID-19 against the others among `cases`."""

    def of(measured: Sequence[Measured], cases: Sequence[Case]) -> Callable[[Indices], float]:
        said, positive = np.array([m.score for m in measured]), np.array([c.kind == COVID for c in cases])
        return lambda i: roc_auc(said[i], positive[i])

    return Metric(title="", cases=cases, value=lambda m: m.score, of=of)


def decision(rate: str) -> Metric:
    """A rate of `Confusion`: COVID-19 or not, at LEVEL; of models that give a probability."""

    def of(measured: Sequence[Measured], cases: Sequence[Case]) -> Callable[[Indices], float]:
        said, positive = np.array([m.score > LEVEL for m in measured]), np.array([c.kind == COVID for c in cases])
        return lambda i: float(getattr(Confusion.of(said[i], positive[i]), rate))

    return Metric(title="", cases=everyone, value=_probability, of=of)


def probability_area() -> Metric:
    """ROC AUC against all others, of models that give a probability."""
    of = area(everyone).of
    return Metric(title="", cases=everyone, value=_probability, of=of)


def choice(names: Sequence[str], truth: Callable[[Case], int], statistic: Statistic) -> Metric:
    """A score of a choice between the classes `names`, of models that say their probabilities."""

    def of(measured: Sequence[Measured], cases: Sequence[Case]) -> Callable[[Indices], float]:
        likely = np.array([[m.classes[name] for name in names] for m in measured])
        so = np.array([truth(case) for case in cases], np.intp)
        return lambda i: statistic(likely[i], so[i])

    def value(measured: Measured) -> float:
        return measured.classes.get(names[0], NAN)

    return Metric(title="", cases=everyone, value=value, of=of)


def of_task(task: str, statistic: Statistic) -> Metric:
    """Of one of COVID-MTL's tasks; what is so is a simulated label."""
    return choice(TASKS[task], lambda case: int(case.groups[task]), statistic)


def diagnosis(case: Case) -> int:
    """Which of DIAGNOSES a case is."""
    return PNEUMONIA.index(case.kind) if case.kind in PNEUMONIA else len(PNEUMONIA)


def of_diagnosis(statistic: Statistic) -> Metric:
    """Of DeepSC-COVID's three classes."""
    return choice(DIAGNOSES, diagnosis, statistic)


def rate(name: str) -> Statistic:
    """By its name in `training.classes.rates`; the largest probability is what is said."""
    return lambda likely, so: rates(table(so, likely.argmax(axis=1), likely.shape[1]))[name]


def mean_area(likely: NDArray[np.float64], so: Indices) -> float:
    """ROC AUC; of more than two classes the mean of one against the rest."""
    areas = _areas(likely, so)
    return float(areas.mean()) if areas.size else NAN


def area_spread(likely: NDArray[np.float64], so: Indices) -> float:
    """Population standard deviation over the classes."""
    areas = _areas(likely, so)
    return float(areas.std()) if areas.size else NAN


def _areas(likely: NDArray[np.float64], so: Indices) -> NDArray[np.float64]:
    areas = one_against_rest(likely, so)
    return areas[~np.isnan(areas)]


def _probability(measured: Measured) -> float:
    return measured.score if measured.is_probability or measured.refused else NAN
