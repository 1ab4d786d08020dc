"""The frozen phantoms of a study: drawn once into a folder, the same for every row.

FOLDER/train, FOLDER/validation              what is trained on, and by which checkpoints are chosen (shifted generator)
FOLDER/test/KIND, FOLDER/shifted-test/KIND   what rows are judged by: the generator that trains, and the shifted one,
                                             whose kernels, spacings and textures nobody trained on

Judged by are COVID-19, the healthy, and CAP and atelectasis as others; nodules, effusions and the rest of the generator
are negatives to train on alone. Each kind is a library of its own, so that their numbers are chosen and not drawn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from training.cases import HeldOut
from training.datasets.library import LibraryCases
from training.datasets.simulated_labels import simulated_labels
from training.datasets.stored import INDEX, TRAIN, VALIDATION, DataError, StoredLibrary
from training.phantom.library import PIXEL_MM, Plan, generate
from training.phantom.population import MAIN, SHIFTED, Habits, Kind

TEST, SHIFTED_TEST = "test", "shifted-test"
SETS: Mapping[str, str] = {TEST: "test set", SHIFTED_TEST: "second test set, of a shifted generator"}
# Far from what ships, is demonstrated and is held out. Kinds are apart by more than a set holds.
FIRST_SEED, BETWEEN_SETS, BETWEEN_KINDS = 3_000_000, 100_000, 10_000
Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many patients, and how they are drawn; `slices` None: 24 to 32. `offset`: of the seeds of those that are
    trained on and chosen by, where there are so few that a kind could be missing."""

    train: int
    validation: int
    test: Mapping[Kind, int]
    slices: int | None = None
    pixel_mm: float = PIXEL_MM
    offset: int = 0


# A hundred as CT triage has them: a third with COVID-19, a third healthy, a third with something else.
SIZES: Mapping[str, Size] = {
    "small": Size(train=200, validation=40, test={Kind.COVID: 34, Kind.NORMAL: 31, Kind.CAP: 22, Kind.ATELECTASIS: 13}),
    "tiny": Size(
        train=8,
        validation=4,
        test={Kind.COVID: 2, Kind.NORMAL: 2, Kind.CAP: 1, Kind.ATELECTASIS: 1},
        slices=12,
        pixel_mm=4.0,
        offset=650,  # every kind is among the eight, and among the four
    ),
}


@dataclass(frozen=True, kw_only=True)
class CaseSet:
    """Patients of several libraries, one after the other, with the labels that COVID-MTL's tasks ask for."""

    name: str
    libraries: tuple[LibraryCases, ...]

    @classmethod
    def of(cls, folder: Path) -> CaseSet:
        """Raises DataError where there is none."""
        found = sorted(path.parent for path in folder.glob(f"*/{INDEX}"))
        if not found:
            raise DataError(f"{folder} holds no patients to judge by")
        return cls(name=folder.name, libraries=tuple(LibraryCases(folder=path) for path in found))

    @property
    def digest(self) -> str:
        said = [library.origin(number) for library in self.libraries for number in range(len(library))]
        return hashlib.sha256("".join(said).encode()).hexdigest()

    def __len__(self) -> int:
        return sum(len(library) for library in self.libraries)

    def __getitem__(self, number: int) -> HeldOut:
        for library in self.libraries:
            if number < len(library):
                return _labelled(library[number])
            number -= len(library)
        raise IndexError(number)


def _labelled(case: HeldOut) -> HeldOut:
    assert case.labels is not None  # a phantom's truth is known
    assert case.lesions is not None
    lungs = case.labels > 0
    affected = float((case.lesions & lungs).sum() / max(1, int(lungs.sum())))
    labels = {task: str(label) for task, label in simulated_labels(case.kind, affected).items()}
    return replace(case, groups={**case.groups, **labels})


@dataclass(frozen=True, kw_only=True)
class StudyData:
    """A folder that holds all of them."""

    folder: Path

    @property
    def digest(self) -> str:
        """Of what is trained on and chosen by."""
        return "+".join(StoredLibrary(self.folder / name).digest for name in (TRAIN, VALIDATION))

    @property
    def description(self) -> str:
        parts = [f"{len(StoredLibrary(self.folder / name).kinds)} {name}" for name in (TRAIN, VALIDATION)]
        parts += [f"{len(self.cases(name))} {words}" for name, words in SETS.items()]
        return f"synthetic chests: {', '.join(parts)}"

    def cases(self, name: str) -> CaseSet:
        return CaseSet.of(self.folder / name)

    def training_descriptors(self) -> Iterator[tuple[str, Mapping[str, float]]]:
        """Kind and true lesion descriptors of every patient that is trained on; none where the library has none."""
        index = json.loads((self.folder / TRAIN / INDEX).read_text(encoding="utf-8"))
        for entry in index["patients"]:
            if entry.get("descriptors"):
                yield entry["kind"], entry["descriptors"]


def drawn(folder: Path, scale: str, *, workers: int = 2, progress: Progress = lambda what: None) -> StudyData:
    """Draw what is missing of the phantoms of that scale. Raises DataError where there is no such scale."""
    if scale not in SIZES:
        raise DataError(f"no phantoms of scale {scale} for a study; there are {', '.join(SIZES)}")
    for place, plan in plans(scale).items():
        _draw(folder, place, plan, workers=workers, progress=progress)
    return StudyData(folder=folder)


def _draw(folder: Path, place: str, plan: Plan, *, workers: int = 2, progress: Progress) -> None:
    def show(number: int) -> None:
        progress(f"drawing {place}: {number + 1} of {plan.count}")

    generate(folder / place, plan, workers=min(workers, plan.count), drawn=show)


def phantoms_for(scale: str, folder: Path, *, progress: Progress = lambda what: None) -> Path:
    """What is trained on where nobody names data: the phantoms of the scale. Raises DataError at a scale that no
    phantoms are drawn for."""
    if scale not in SIZES:
        raise DataError(f"--scale {scale} needs --data: phantoms are drawn for {', '.join(SIZES)} alone")
    for place in (TRAIN, VALIDATION):
        _draw(folder, place, plans(scale)[place], progress=progress)
    return folder


def plans(scale: str) -> dict[str, Plan]:
    """What is drawn where."""
    size = SIZES[scale]

    def plan(of: int, count: int, habits: Habits, kind: Kind | None = None, at: int = 0) -> Plan:
        first = FIRST_SEED + of * BETWEEN_SETS + at * BETWEEN_KINDS + (size.offset if kind is None else 0)
        return Plan(count=count, habits=habits, first_seed=first, kind=kind, slices=size.slices, pixel_mm=size.pixel_mm)

    made = {TRAIN: plan(0, size.train, MAIN), VALIDATION: plan(1, size.validation, SHIFTED)}
    for of, (name, habits) in enumerate(((TEST, MAIN), (SHIFTED_TEST, SHIFTED)), start=2):
        for at, (kind, count) in enumerate(size.test.items()):
            made[f"{name}/{kind.value}"] = plan(of, count, habits, kind, at)
    return made
