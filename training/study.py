"""A whole comparison on the same phantoms: every row of a paper's tables trained, judged and put beside the paper's.

Every training is kept under a digest of what decides it, every measurement too: a study that was stopped continues, and
what is there is not repeated. A row that fails says why, and the tables go on without it.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from models import zoo
from training import surfaces
from training.comparison import Method, Row, Section, Study, Training
from training.errors import TrainingError
from training.evaluate import REFERENCE
from training.loop import Progress
from training.measure import Case, Measured
from training.precision import BFLOAT16, FLOAT32, PRECISIONS
from training.scores import RESAMPLES
from training.studycases import Judgement
from training.studydata import SETS, SIZES, StudyData
from training.studyreference import reference
from training.studyrows import Trained, Workshop
from training.studytable import Said, StudyTable, tabled

log = logging.getLogger(__name__)

SEEDS = 3  # of the rows that are ordered
CAP_MINUTES = 60.0  # of one training
MEASUREMENTS, TRAININGS = "measurements", "trainings"
HEADER = """Not comparable with the paper: ours are {data}, scale {scale}; {budget}. Means over seeds, {seeds} for the
rows that are ordered and 1 for the rest; {computing}the lungs of every row by {lungs}."""

COMPUTING = "trained in mixed precision (bfloat16); "


class CannotStudy(Exception):
    """A study or a row that there is not; the message says which there are."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a study is carried out. `rows`: keys of those that may be trained, empty for all; what is there of the others
    is shown too. `lungs`: the model whose lungs every row is given, empty for what ships."""

    scale: str
    out: Path
    rows: tuple[str, ...] = ()
    seeds: int = SEEDS
    cap_minutes: float = CAP_MINUTES
    lungs: str = ""
    device: str = "cpu"
    precision: str = FLOAT32  # of the trainings
    resamples: int = RESAMPLES


@dataclass(frozen=True, kw_only=True)
class Hears:
    """Who is told how it goes, and who may stop it."""

    what: Callable[[str], None] = lambda what: None
    stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True, kw_only=True)
class Done:
    """The tables, set by set; `missing`: rows that were to be trained and have no whole result."""

    tables: tuple[StudyTable, ...]
    trained: Mapping[str, str] = field(default_factory=dict)  # by row, in words
    missing: tuple[str, ...] = ()


def studies() -> list[str]:
    """The names `study` knows: the files in training/studies."""
    folder = Path(__file__).parent / "studies"
    return sorted(p.stem.replace("_", "-") for p in folder.glob("*.py") if p.stem != "__init__")


def study(name: str) -> Study:
    """Raises CannotStudy."""
    if name not in studies():
        raise CannotStudy(f"no study {name}; there are {', '.join(studies())}")
    return cast(Study, importlib.import_module(f"training.studies.{name.replace('-', '_')}").STUDY)


def checked(name: str, settings: Settings) -> Study:
    """The study of that name, once it is known that what is asked of it can be. Raises CannotStudy."""
    found = study(name)
    if settings.scale not in SIZES:
        raise CannotStudy(f"no study has the scale {settings.scale}; there are {', '.join(SIZES)}")
    if settings.precision not in PRECISIONS:
        raise CannotStudy(f"no precision {settings.precision}; there are {', '.join(PRECISIONS)}")
    _require_rows(found, settings.rows)
    return found


def _require_rows(study: Study, rows: Sequence[str]) -> None:
    keys = [row.key for row in study.rows]
    unknown = sorted(set(rows) - set(keys))
    if unknown:
        raise CannotStudy(f"no row {', '.join(unknown)}; there are {', '.join(keys)}")


def run(study: Study, data: StudyData, settings: Settings, hears: Hears | None = None) -> Done:
    """Carry out what is missing and sum up. Raises CannotStudy on a row that there is not, DataError on data that are
    none, UnknownModel or BundleError where the lungs cannot be found."""
    _require_rows(study, settings.rows)
    carried = _Carrying(study, data, settings, hears or Hears())
    said: dict[str, dict[str, Said]] = {name: {} for name in SETS}
    # The others last: what is trained for one row may be theirs too.
    asked = [row for row in study.rows if not settings.rows or row.key in settings.rows]
    for row in (*asked, *(row for row in study.rows if row not in asked)):
        for name, one in carried.row(row).items():
            said[name][row.name] = one
    tables = [carried.table(study, section, name, said[name]) for name in SETS for section in study.sections]
    first = said[next(iter(SETS))]
    return Done(
        tables=tuple(tables),
        trained={name: one.words for name, one in first.items() if one.words},
        missing=tuple(row.key for row in asked if any(said[name][row.name].marks for name in SETS)),
    )


class _Carrying:
    """One run of a study."""

    def __init__(self, study: Study, data: StudyData, settings: Settings, hears: Hears) -> None:
        self._data, self._settings, self._hears = data, settings, hears
        self._doing = ""
        self._workshop = Workshop(
            data=data,
            scale=settings.scale,
            folder=settings.out / TRAININGS,
            device=settings.device,
            precision=settings.precision,
            cap_s=60.0 * settings.cap_minutes,
            watch=self._watch,
            stop=hears.stop,
        )
        self._lungs = settings.lungs or ("lungs-unet" if "lungs-unet" in zoo.shipped() else "classical-lungs")
        self._judgements: dict[str, Judgement] = {}
        self._cases: dict[str, list[Case]] = {}
        for name, words in SETS.items():
            hears.what(f"the lungs of the {words}")
            self._judgements[name] = Judgement(
                data.cases(name),
                self._lungs,
                settings.out / MEASUREMENTS,
                device=settings.device,
                surfaces=study.surfaces and surfaces.is_available(),
                pictures=study.pictures,
            )
            self._cases[name] = self._judgements[name].everyone()

    def _watch(self, progress: Progress) -> None:
        self._hears.what(f"{self._doing}, {progress.stage}: {progress.step} of {progress.steps}")

    def row(self, row: Row) -> dict[str, Said]:
        """What a row said of each set."""
        asked = not self._settings.rows or row.key in self._settings.rows
        found: dict[str, dict[str, list[list[Measured]]]] = {name: {part: [] for part in row.parts} for name in SETS}
        marks: list[str] = []
        trainings: list[Trained] = []
        for part, of in row.parts.items():
            for seed in self._seeds(row, of):
                words = " ".join(word for word in (part, "" if seed is None else f"seed {seed}") if word)
                self._doing = f"{row.name}, {words}" if words else row.name
                model, mark = self._model(of, seed, asked=asked, trainings=trainings)
                said: dict[str, list[Measured]] = {}
                if model is not None:
                    said, failure = self._said(model)
                    mark = failure or mark
                if mark:
                    marks.append(f"{words}: {mark}" if words else mark)
                for name, measured in said.items():
                    found[name][part].append(measured)
        learns = any(isinstance(of, Training) and of.draws for of in row.parts.values())
        words = _trained(trainings)
        return {
            name: Said(parts=parts, marks=tuple(dict.fromkeys(marks)), words=words, learns=learns)
            for name, parts in found.items()
        }

    def _seeds(self, row: Row, of: Training | Method) -> list[int | None]:
        if isinstance(of, Method):
            return [None]
        try:
            return self._workshop.seeds(of, self._settings.seeds if row.headline else 1)
        except TrainingError:
            return [None]  # there is no such plan; the training will say so

    def _model(
        self, of: Training | Method, seed: int | None, *, asked: bool, trainings: list[Trained]
    ) -> tuple[str | None, str]:
        """What serves, and what must be known of it."""
        if isinstance(of, Method):
            return of.name, ""
        try:
            made = asked and not self._hears.stop()
            trained = self._workshop.made(of, seed) if made else self._workshop.known(of, seed)
        except Exception as error:  # noqa: BLE001 - the edge of a row: the tables go on without it
            return None, self._failed(error)
        trainings.append(trained)
        if trained.bundle is None:
            return None, "stopped before its end" if trained.share > 0 else "not trained"
        mark = "" if trained.is_whole else f"its time was up after {100 * trained.share:.0f} % of its steps"
        return str(trained.bundle), mark

    def _said(self, model: str) -> tuple[dict[str, list[Measured]], str]:
        """By set, of all sets or of none, and what went wrong."""
        said = {}
        for name, judgement in self._judgements.items():

            def progress(done: int, of: int, words: str = SETS[name]) -> None:
                self._hears.what(f"{self._doing}, {words}: {done} of {of}")

            try:
                found = judgement.of(model, progress, self._hears.stop)
            except Exception as error:  # noqa: BLE001 - the edge of a row: the tables go on without it
                return {}, self._failed(error)
            if found is None:
                return {}, "stopped before it was judged"
            said[name] = found
        return said, ""

    def _failed(self, error: Exception) -> str:
        log.warning("a row of a study failed", exc_info=error)
        said = str(error).strip().replace(str(self._settings.out), "OUT").replace(str(self._data.folder), "DATA")
        return f"failed: {said.splitlines()[0] if said else type(error).__name__}"

    def table(self, study: Study, section: Section, name: str, said: Mapping[str, Said]) -> StudyTable:
        cases = self._cases[name]
        rows = {row.name: said[row.name] for row in section.rows}
        lacking = sum(bool(one.marks) for one in rows.values())
        header = HEADER.format(
            data=self._data.description,
            scale=self._settings.scale,
            budget=study.budget if self._settings.scale == "small" else "as few samples as show that it works",
            seeds=self._settings.seeds,
            computing=COMPUTING if self._settings.precision == BFLOAT16 else "",
            lungs=Path(self._lungs).name,
        )
        notes = [" ".join(header.split()), section.note, _partial(lacking, len(rows))]
        told = reference(self._data, cases)
        if told is not None:
            rows[REFERENCE] = Said(parts={"": [told]}, learns=False)
        return tabled(
            section,
            f"{section.title}; {SETS[name]}",
            " ".join(note for note in notes if note),
            cases,
            rows,
            reference=REFERENCE,
            resamples=self._settings.resamples,
        )


def _partial(lacking: int, rows: int) -> str:
    return f"**Partial**: {lacking} of {rows} rows are missing or not whole." if lacking else ""


def _trained(trainings: Sequence[Trained]) -> str:
    """What a row was given: "1200 series, 3 trainings, 41 min"."""
    there = [one for one in trainings if one.bundle is not None]
    if not there:
        return ""
    samples = ", ".join(dict.fromkeys(one.samples for one in there if one.samples))
    minutes = sum(one.seconds for one in there) / 60
    count = "1 training" if len(there) == 1 else f"{len(there)} trainings"
    return ", ".join(part for part in (f"{samples} each" if samples else "", count, f"{minutes:.0f} min") if part)
