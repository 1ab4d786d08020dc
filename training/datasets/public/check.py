"""What is in a data set's folder, what is missing, and what is wrong with it, each with what to do about it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.datasets.public.case import Case, DataSet
from training.datasets.public.files import Fault, Malformed, Opened, opened
from training.datasets.public.registry import cases_of
from training.datasets.public.split import PARTS, TRAIN, VALIDATION, in_two_parts, part_of

# Annotators keep to the lungs: less lesion than this inside of them means a mask that is turned or mirrored.
LESIONS_INSIDE = 0.5
KIND, ID, SAME, LEAK, SPLIT = "kind", "duplicate case", "duplicate images", "leak", "split"
NAMED = 10  # missing cases that are named; the rest is counted


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that has to be put right before the data set is trained on."""

    case: str  # empty: of the data set as a whole
    fault: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found. `missing` are cases of the publication that are not there: a part can be trained on."""

    data_set: str
    cases: int
    kinds: Mapping[str, int]
    parts: Mapping[str, int]
    with_lungs: int
    annotated: int
    missing: Sequence[str]
    size: str
    problems: Sequence[Problem]
    notes: Sequence[str]

    @property
    def sound(self) -> bool:
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "sound": self.sound}


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What is kept of a case that was looked at."""

    case: Case
    part: str
    picture: str  # digest of its voxels; empty where they cannot be read
    problem: Problem | None


def check(data_set: DataSet, folder: Path, progress: Callable[[str], None] = lambda words: None) -> Report:
    """Read every file of it. Raises DataError where the folder does not hold this data set."""
    seen: list[_Seen] = []
    for case in cases_of(data_set, folder):
        progress(f"{len(seen) + 1}: {case.id}")
        seen.append(_looked_at(case, data_set))
    missing = sorted(set(data_set.expected) - {s.case.id for s in seen})
    problems = [s.problem for s in seen if s.problem is not None]
    problems += [*_of_identities(seen), *_of_pictures(seen), *_of_parts(seen, data_set)]
    return Report(
        data_set=data_set.name,
        cases=len(seen),
        kinds=dict(Counter(s.case.kind for s in seen)),
        parts=dict(Counter(s.part for s in seen)),
        with_lungs=sum(s.case.lungs is not None for s in seen),
        annotated=sum(is_annotated(s.case) for s in seen),
        missing=missing,
        size=data_set.size,
        problems=problems,
        notes=list(_notes(seen, data_set, missing)),
    )


def is_annotated(case: Case) -> bool:
    """Is it known where lesions are, be it nowhere?"""
    return case.lesions is not None or case.without_lesions


def require_kind(case: Case, data_set: DataSet) -> None:
    """Raises Malformed on a kind that this data set has not."""
    if case.kind not in data_set.classes:
        words = f"its kind is {case.kind or 'empty'}: give it one of {', '.join(data_set.classes)}"
        raise Malformed(Fault.LABELS, words)


def require_place(found: Opened) -> None:
    """Raises Malformed where lungs and lesions are given and do not belong together."""
    if found.lungs is None or found.lesions is None or not found.lesions.any():
        return
    inside = float((found.lesions & found.lungs).sum() / found.lesions.sum())
    if inside < LESIONS_INSIDE:
        words = (
            f"only {inside:.0%} of its lesions lie in its lungs: one of the masks is turned or mirrored; compare them"
        )
        raise Malformed(Fault.PLACE, words)


def _looked_at(case: Case, data_set: DataSet) -> _Seen:
    picture, problem = "", None
    where = part_of(case, data_set)
    try:
        require_kind(case, data_set)
    except Malformed as error:
        problem = Problem(case=case.id, fault=KIND, words=error.words)
    try:
        found = opened(case)
        picture = hashlib.sha256(found.volume.hu.tobytes()).hexdigest()
        require_place(found)
    except Malformed as error:
        problem = Problem(case=case.id, fault=error.fault.value, words=error.words)
    return _Seen(case=case, part=where, picture=picture, problem=problem)


def _of_identities(seen: Sequence[_Seen]) -> Iterator[Problem]:
    for case, count in Counter(s.case.id for s in seen).items():
        if count > 1:
            words = f"there are {count} cases of this name: keep one, or give them names of their own"
            yield Problem(case=case, fault=ID, words=words)


def _of_pictures(seen: Sequence[_Seen]) -> Iterator[Problem]:
    """Equal voxels of two patients, who may be in two parts: they are one."""
    same: dict[str, list[_Seen]] = {}
    for s in seen:
        if s.picture:
            same.setdefault(s.picture, []).append(s)
    for group in same.values():
        if len({s.case.patient for s in group}) > 1:
            others = ", ".join(s.case.id for s in group[1:])
            words = f"its images are those of {others} too, voxel by voxel: leave one out, or name one patient"
            yield Problem(case=group[0].case.id, fault=SAME, words=words)


def _of_parts(seen: Sequence[_Seen], data_set: DataSet) -> Iterator[Problem]:
    for cases in in_two_parts((s.case.id, s.case.patient, s.part) for s in seen):
        words = f"{', '.join(cases)} are of one patient and not all in one part of the split: put them together"
        yield Problem(case=cases[0], fault=LEAK, words=words)
    if not seen:
        yield Problem(case="", fault=SPLIT, words=f"no case is there. Expected: {data_set.layout}")
    elif any(part in data_set.shares for part in (TRAIN, VALIDATION)):
        there = {s.part for s in seen}
        for part in (TRAIN, VALIDATION):
            if part not in there:
                words = f"of {len(seen)} cases none is in {part}: add cases, or name the parts in a column split"
                yield Problem(case="", fault=SPLIT, words=words)


def _notes(seen: Sequence[_Seen], data_set: DataSet, missing: Sequence[str]) -> Iterator[str]:
    if missing:
        named = ", ".join(missing[:NAMED]) + (" ..." if len(missing) > NAMED else "")
        yield f"{len(missing)} of {len(data_set.expected)} published cases are not there: {named}"
    elif data_set.size and not data_set.expected:
        yield f"published: {data_set.size}"
    without = sum(s.case.lungs is None for s in seen)
    if without and not any(s.case.unknown for s in seen):
        yield f"without a lung mask: {without}; give data prepare a model with --lungs"
    if not any(is_annotated(s.case) for s in seen):
        yield "no case has lesions: segmenters of lesions cannot be trained on it alone"
    if data_set.note:
        yield data_set.note


def parts_of(report: Report) -> str:
    """In words: "34 train, 6 validation"."""
    return ", ".join(f"{report.parts[part]} {part}" for part in PARTS if part in report.parts)
