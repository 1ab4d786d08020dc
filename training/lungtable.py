"""Our column of COVID-MTL's table 2: lungs by the classical method and by its refinement, slice by slice.

The paper's 1,056 slices, drawn by hand, are not public: ours are those that show lung in whatever cases are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from models.predict import resolve
from training import reported
from training.cases import Cases
from training.datasets.stored import DataError
from training.overlap import SLICES, slice_wise
from training.reported import Cell, Table

MODELS: Mapping[str, str] = {"Classical": "classical-lungs", "Proposed": "classical-lungs-refined"}
COLUMNS = dict(zip(("Dice", "Jaccard", "MCC", "precision"), SLICES, strict=True))
NOTE = "Not comparable with the paper: ours are {description}; {slices} slices that show lung, each by itself."


def lung_table(cases: Cases, progress: Callable[[str], None] = lambda what: None) -> Table:
    """Raises DataError where no case has lungs that are known."""
    predictors = {row: resolve(name, "lungs") for row, name in MODELS.items()}
    scores: dict[str, list[dict[str, float]]] = {row: [] for row in MODELS}
    slices: list[int] = []
    for number in range(len(cases)):
        progress(f"lungs, case {number + 1} of {len(cases)}")
        case = cases[number]
        if case.labels is None or not case.labels.any():
            continue
        truth = case.labels > 0
        slices.append(int(truth.any(axis=(1, 2)).sum()))
        for row, predictor in predictors.items():
            scores[row].append(slice_wise("lung", predictor.lungs(case.volume).labels > 0, truth))
    if not slices:
        raise DataError(f"{cases.description}: nobody's lungs are known, and there is nothing to compare with")
    ours: dict[str, dict[str, Cell]] = {
        row: {c: _mean([one[f"lung_{name}"] for one in found], slices) for c, name in COLUMNS.items()}
        for row, found in scores.items()
    }
    rows = tuple(replace(row, ours=ours[row.name]) for row in reported.LUNGS.rows)
    note = NOTE.format(description=cases.description, slices=sum(slices))
    return replace(reported.LUNGS, rows=rows, note=note)


def _mean(values: list[float], slices: list[int]) -> float:
    """Over all slices: of cases by how many they have."""
    known = ~np.isnan(values)
    return round(float(np.average(np.array(values)[known], weights=np.array(slices)[known])), 3)
