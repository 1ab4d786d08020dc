"""Whose visual grade is doubtful: the affected fraction that a model finds, against the grade (CT triage, section 6).

Goncharov et al., Fig. 6: every scan that carries a visual grade CT-1 to CT-4 is measured, and those outside the band of
their grade are listed, the farthest first. CT-0 is left out, as in the paper. Beside the paper's distance to the band
we say of each scan how many scans of another grade it lies on the wrong side of: a model that finds too little
everywhere moves all scans out of their bands, and none past another. What is doubtful may be the model, too. A scan is
named by its row of the table alone.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.severity import GRADE_BOUNDS
from training.datasets.stored import DataError
from training.scores import Score, interval, spearman_score

GRADES = ("CT-1", "CT-2", "CT-3", "CT-4")
NORMAL = "CT-0"
_ENDS = (0.0, *GRADE_BOUNDS, 1.0)
BANDS = dict(zip(GRADES, pairwise(_ENDS), strict=True))  # closed, as the paper's figure has them
COLUMNS = ("grade", "path", "affected_percent")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of the table, from 1 on. `path`: file or folder of the scan; `affected`: its fraction, where known."""

    row: int
    grade: str
    path: Path | None = None
    affected: float | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A graded scan and the larger of its lungs' affected fractions, in [0, 1]."""

    row: int
    grade: str
    affected: float


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A scan outside its band. `distance`: to it, as a fraction, negative below; `said`: the grade whose band it is in;
    `crossed`: scans of other grades that it is on the wrong side of, of `others`."""

    row: int
    grade: str
    affected: float
    distance: float
    said: str
    crossed: int
    others: int


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What is found in the scans of one grade: quartiles of the affected fraction; below, in and above its band."""

    grade: str
    n: int
    quartiles: tuple[float, float, float]
    below: int
    inside: int
    above: int


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """`suspects`: the farthest first. `rank`: Spearman's of grade and fraction; `outside`: share of scans, %."""

    n: int
    grades: tuple[Agreement, ...]
    suspects: tuple[Suspect, ...]
    rank: Score
    outside: Score

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(scans: Sequence[Measured]) -> Judgement:
    """Raises ValueError where there is none, or on a fraction that is none."""
    if not scans:
        raise ValueError("no scan with a grade from CT-1 to CT-4")
    bad = [s.row for s in scans if not 0.0 <= s.affected <= 1.0]
    if bad:
        raise ValueError(f"row {bad[0]}: an affected fraction is from 0 to 1")
    grade = np.array([GRADES.index(s.grade) for s in scans])
    affected = np.array([s.affected for s in scans])
    away = np.array([distance(s.grade, s.affected) for s in scans])
    order = sorted(np.flatnonzero(away).tolist(), key=lambda i: (-abs(away[i]), scans[i].row))
    return Judgement(
        n=len(scans),
        grades=tuple(_agreement(name, affected[grade == n], away[grade == n]) for n, name in enumerate(GRADES)),
        suspects=tuple(_suspect(scans[i], float(away[i]), grade, affected) for i in order),
        rank=spearman_score(grade, affected),
        outside=interval(lambda i: float(100 * (away[i] != 0).mean()), len(scans)),
    )


def distance(grade: str, affected: float) -> float:
    """From a fraction to the band of a grade: 0 inside, below 0 under it."""
    low, high = BANDS[grade]
    return min(0.0, affected - low) + max(0.0, affected - high)


def said_by(affected: float) -> str:
    """The grade that a fraction stands for; a bound belongs to the lower one (models.severity)."""
    return GRADES[sum(affected > bound for bound in GRADE_BOUNDS)]


def read_table(path: Path) -> list[Entry]:
    """CSV with `grade` and `path` (relative to the table) or `affected_percent`. Raises DataError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if "grade" not in (reader.fieldnames or ()):
                raise DataError(f"{path.name} has no column grade; others are {', '.join(COLUMNS[1:])}")
            return [_entry(path, number, line) for number, line in enumerate(reader, start=1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error


class Kept:
    """What was measured, line by line in a file beside the results, so that a stopped analysis goes on. Another model,
    or a scan of another place, is measured anew."""

    def __init__(self, folder: Path, models: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._models = folder / "measured.jsonl", models
        self._known: dict[str, float] = {}
        if self._path.is_file():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                one = _whole(line)
                if one is not None and one["models"] == models:
                    self._known[one["scan"]] = float(one["affected"])

    def get(self, scan: str) -> float | None:
        """`scan`: a digest that says which scan it is and not whose."""
        return self._known.get(scan)

    def put(self, scan: str, affected: float) -> None:
        self._known[scan] = affected
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"scan": scan, "models": self._models, "affected": affected}) + "\n")


def measured(
    entries: Sequence[Entry],
    affected_in: Callable[[Path], float | None],
    kept: Kept,
    progress: Callable[[str], None] = lambda words: None,
) -> tuple[list[Measured], int]:
    """Every graded scan but CT-0, and how many could not be measured: `affected_in` gives None for them. What the table
    or an earlier run knows is not measured again."""
    wanted = [e for e in entries if e.grade != NORMAL]
    found, failed = [], 0
    for number, entry in enumerate(wanted, start=1):
        progress(f"{number} of {len(wanted)}")
        affected = entry.affected
        if affected is None and entry.path is not None:
            scan = scan_digest(entry.path)
            affected = kept.get(scan)
            if affected is None:
                affected = affected_in(entry.path)
                if affected is not None:
                    kept.put(scan, affected)
        if affected is None:
            failed += 1
        else:
            found.append(Measured(row=entry.row, grade=entry.grade, affected=affected))
    return found, failed


def scan_digest(path: Path) -> str:
    """Changes when a file of the scan does; says not whose it is. Raises DataError where there is none."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    try:
        facts = [(str(file.resolve()), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files]
    except OSError as error:
        raise DataError(f"a scan of the table is not there: {error.strerror}") from error
    if not facts:
        raise DataError("a scan of the table is an empty folder")
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _whole(line: str) -> dict[str, Any] | None:
    """None of a line that a crash cut off."""
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return found


def _entry(table: Path, row: int, line: dict[str, str]) -> Entry:
    grade = _grade(line["grade"])
    if grade is None:
        raise DataError(f"{table.name}, row {row}: grade is one of {NORMAL}, {', '.join(GRADES)}")
    words, where = (line.get("affected_percent") or "").strip(), (line.get("path") or "").strip()
    if not words and not where:
        raise DataError(f"{table.name}, row {row}: neither path nor affected_percent is given")
    try:
        affected = float(words) / 100.0 if words else None
    except ValueError:
        affected = -1.0
    if affected is not None and not 0.0 <= affected <= 1.0:
        raise DataError(f"{table.name}, row {row}: affected_percent is no number from 0 to 100")
    return Entry(row=row, grade=grade, path=table.parent / where if where else None, affected=affected)


def _grade(words: str) -> str | None:
    """CT-1 as CT-1, ct1 or 1."""
    digit = words.strip().lower().removeprefix("ct").removeprefix("-")
    name = f"CT-{digit}"
    return name if name in (NORMAL, *GRADES) else None


def _agreement(name: str, affected: NDArray[np.float64], away: NDArray[np.float64]) -> Agreement:
    quartiles = np.quantile(affected, [0.25, 0.5, 0.75]) if affected.size else np.full(3, np.nan)
    return Agreement(
        grade=name,
        n=affected.size,
        quartiles=(float(quartiles[0]), float(quartiles[1]), float(quartiles[2])),
        below=int((away < 0).sum()),
        inside=int((away == 0).sum()),
        above=int((away > 0).sum()),
    )


def _suspect(scan: Measured, away: float, grade: NDArray[np.intp], affected: NDArray[np.float64]) -> Suspect:
    mine = GRADES.index(scan.grade)
    crossed = ((grade > mine) & (affected < scan.affected)) | ((grade < mine) & (affected > scan.affected))
    return Suspect(
        row=scan.row,
        grade=scan.grade,
        affected=scan.affected,
        distance=away,
        said=said_by(scan.affected),
        crossed=int(crossed.sum()),
        others=int((grade != mine).sum()),
    )
