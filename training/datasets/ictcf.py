"""iCTCF (HUST-19) as radiomic features: the real table of COVID-MTL, one row per patient.

Source: the authors' repository guoqingbao/COVID-MTL (data/radioinfo.ppl with data/info.ppl), as CSV or CSV.gz with the
columns PID, Hospital, Age, Gender, COVIDCT, COVIDNC, COVIDSeverity, the 375 features of `models.feature_names` and,
optionally, `split` (train or test). No licence is stated there: rows of it are never part of this project.
Cite Ning et al., Nature Biomedical Engineering 2020, 4:1197 (the patients) and Bao et al., Pattern Recognition 2022
(the features).

1,329 patients of two hospitals in Wuhan. The table's labels are used as they are: it has 309 controls and 259 suspected
where the paper's text counts 331 and 237 (D29); severity 0 is exactly the NAT-negative; the sexes of the test part are
185 male to 214 female, which the paper's table 1 prints the other way round. Four pairs of patients share every feature
to nine digits, each across train and test: 225/1369 and 255/1389 (one patient twice, it seems), 228/1371 (equal age,
other sex, other severity) and 866/1125 (other age, sex, NAT and severity). D30 knows three; `duplicates` names all.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from models.feature_names import NAMES
from models.radiomics import GRID_MM
from training.datasets.stored import DataError

# Tasks by the paper's names, each with its column and its classes.
TASKS: Mapping[str, tuple[str, int]] = {"CT": ("COVIDCT", 2), "NAT": ("COVIDNC", 2), "severity": ("COVIDSeverity", 3)}
PERSON = ("PID", "Hospital", "Age", "Gender")
TRAIN, TEST = "train", "test"
# The paper's split, as its code draws it: 70 to 30, stratified by NAT alone.
TEST_SHARE, SEED = 0.30, 11
PHANTOM = "phantom"  # stands for the hospital of a drawn patient
GRID = "grid_mm"  # column: what the features were measured on, where it is not the paper's grid


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureTable:
    """Patients by row. `features` (patient, feature) float64 in the units of extraction; `train` says who is in it."""

    patients: NDArray[np.int64]
    hospitals: NDArray[np.str_]
    ages: NDArray[np.float64]  # years
    genders: NDArray[np.str_]
    labels: Mapping[str, NDArray[np.int64]]  # by task
    features: NDArray[np.float64]
    train: NDArray[np.bool_]
    drawn: NDArray[np.int64]  # each patient's place in the order in which the paper's rule draws the two parts
    names: tuple[str, ...] = NAMES
    grid_mm: float = GRID_MM  # what the features were measured on

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def synthetic(self) -> bool:
        """Whether these are drawn patients, in this table's form."""
        return bool((self.hospitals == PHANTOM).all())

    def column(self, name: str) -> NDArray[np.float64]:
        return self.features[:, self.names.index(name)]

    def rows_to_fit(self) -> NDArray[np.intp]:
        """Rows of the training part as the paper's rule draws them, which is how the authors fit them.

        A forest's bootstrap draws rows by their position: in another order the same seed grows other trees.
        """
        rows = np.flatnonzero(self.train)
        return rows[np.argsort(self.drawn[rows], kind="stable")]

    def duplicates(self) -> list[tuple[int, ...]]:
        """Patients whose features are all equal, group by group, by their numbers."""
        groups: dict[bytes, list[int]] = {}
        for patient, row in zip(self.patients, self.features, strict=True):
            groups.setdefault(row.tobytes(), []).append(int(patient))
        return [tuple(group) for group in groups.values() if len(group) > 1]

    def where(self, rows: NDArray[np.bool_]) -> FeatureTable:
        """The same table with these patients only."""
        return replace(
            self,
            patients=self.patients[rows],
            hospitals=self.hospitals[rows],
            ages=self.ages[rows],
            genders=self.genders[rows],
            labels={task: label[rows] for task, label in self.labels.items()},
            features=self.features[rows],
            train=self.train[rows],
            drawn=self.drawn[rows],
        )

    def without_duplicates(self) -> FeatureTable:
        """Without every patient whose features are another's too: which of them was measured is unknown."""
        doubtful = [patient for group in self.duplicates() for patient in group]
        return self.where(~np.isin(self.patients, doubtful))


def published_split(nat: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Who is in the training part, by the paper's rule, for a table in the authors' order."""
    train = np.zeros(nat.size, np.bool_)
    train[draw(nat)[0]] = True
    return train


def draw(nat: NDArray[np.int64], seed: int = SEED) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the training and of the test part, by the paper's rule with this seed."""
    everyone = np.arange(nat.size)
    train, test = train_test_split(everyone, test_size=TEST_SHARE, random_state=seed, shuffle=True, stratify=nat)
    return train, test


def _places(nat: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each row's place in the draw; its own where there are too few of a class to draw by the rule."""
    places = np.arange(nat.size)
    if np.unique(nat, return_counts=True)[1].min() > 1:
        places[np.concatenate(draw(nat))] = np.arange(nat.size)
    return places


def read(path: Path) -> FeatureTable:
    """The table of a .csv or .csv.gz. Raises DataError, saying what is missing or malformed, and where."""
    with _opened(path) as stream:
        reader = csv.DictReader(stream)
        _require_columns(path, reader.fieldnames or ())
        rows = list(reader)
    if not rows:
        raise DataError(f"{path.name} has no patients")
    patients = _numbers(path, rows, "PID").astype(np.int64)
    if np.unique(patients).size != patients.size:
        raise DataError(f"{path.name}: a patient has two rows; one of them could leak from training into the test")
    labels = {task: _classes(path, rows, column, classes) for task, (column, classes) in TASKS.items()}
    features = np.stack([_numbers(path, rows, name) for name in NAMES], axis=1)
    return FeatureTable(
        patients=patients,
        hospitals=np.array([row["Hospital"] for row in rows]),
        ages=_numbers(path, rows, "Age"),
        genders=np.array([row["Gender"] for row in rows]),
        labels=labels,
        features=features,
        train=_split(path, rows) if "split" in rows[0] else published_split(labels["NAT"]),
        drawn=_places(labels["NAT"]),
        grid_mm=_grid(path, rows) if GRID in rows[0] else GRID_MM,
    )


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as stream:
            yield stream
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _require_columns(path: Path, columns: Sequence[str]) -> None:
    needed = (*PERSON, *(column for column, _ in TASKS.values()), *NAMES)
    missing = [name for name in needed if name not in columns]
    if missing:
        shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        raise DataError(f"{path.name} lacks {len(missing)} of {len(needed)} columns: {shown}")


def _numbers(path: Path, rows: Sequence[Mapping[str, str]], column: str) -> NDArray[np.float64]:
    values = np.empty(len(rows))
    for number, row in enumerate(rows):
        try:
            values[number] = float(row[column])
        except (TypeError, ValueError):
            values[number] = np.nan
        if not np.isfinite(values[number]):
            raise DataError(f"{path.name}: {column} of row {number + 1} is no number: {row[column]!r}")
    return values


def _classes(path: Path, rows: Sequence[Mapping[str, str]], column: str, classes: int) -> NDArray[np.int64]:
    values = _numbers(path, rows, column)
    if not np.isin(values, range(classes)).all():
        raise DataError(f"{path.name}: {column} has other values than 0 to {classes - 1}")
    return values.astype(np.int64)


def _split(path: Path, rows: Sequence[Mapping[str, str]]) -> NDArray[np.bool_]:
    words = np.array([row["split"] for row in rows])
    if not np.isin(words, (TRAIN, TEST)).all():
        raise DataError(f"{path.name}: split has other values than {TRAIN} and {TEST}")
    if not ((words == TRAIN).any() and (words == TEST).any()):
        raise DataError(f"{path.name}: split leaves {TRAIN} or {TEST} empty")
    train: NDArray[np.bool_] = words == TRAIN
    return train


def _grid(path: Path, rows: Sequence[Mapping[str, str]]) -> float:
    grids = np.unique(_numbers(path, rows, GRID))
    if grids.size > 1 or not grids[0] > 0:
        raise DataError(f"{path.name}: {GRID} is {', '.join(f'{mm:g}' for mm in grids)}, must be one length for all")
    return float(grids[0])
