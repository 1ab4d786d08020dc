"""Board items -> rows as the template prints them. Pure: every word a reader sees in a row is decided here.

Nothing reassures: there is no word and no colour for "all is well". What was found, what was not analysed and what
failed are three kinds of `Finding`, which differ in words and shape.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from urllib.parse import quote

from triaged.clock import Now
from triaged.records import Findings, Flag, Grade, OrderPriority, Reading, Study, StudyState
from triaged.web import words
from triaged.wording import percent
from triaged.worklist.board import BoardItem

GRADE_STEPS = {Grade.CT0: 0, Grade.CT1: 1, Grade.CT2: 2, Grade.CT3: 3, Grade.CT4: 4}
SOON = timedelta(minutes=15)  # a due time this near is written in full brightness


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One lung: how much of it is affected, in percent, and the step of the colour scale, 0 to 4."""

    side: Literal["R", "L"]
    percent: float
    words: str
    step: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the analysis says: bars of an analysed study, or the words in place of them."""

    kind: Literal["analysed", "not_analysed", "failed", "pending", "silent"]
    words: str
    bars: tuple[Bar, ...] = ()
    worse: str = ""
    worse_side: str = ""
    grade: str = ""
    step: int = 0
    score: str = ""
    score_word: str = "score"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One study in the list."""

    uid: str
    position: int
    moved: int  # places gained (+) or lost (-) against the order without AI
    would_be: int  # position in the order with AI, where that is not the order in force
    group: str
    patient: str
    about: str
    study: str
    about_study: str
    priority: str
    priority_class: str
    priority_source: str
    finding: Finding
    why: str
    waits: str
    due: str
    due_class: Literal["overdue", "soon", "later"]
    passing: str  # the overtaking window: who may still pass it by AI
    holder: str
    held_until: str
    is_mine: bool
    is_pinned: bool
    is_changed: bool
    thumbnail: str
    picture: str
    href: str
    viewer: str
    state: str


def rows(items: Iterable[BoardItem], *, now: Now, reader: str, viewer_url: str | None) -> list[Row]:
    return [row(item, now=now, reader=reader, viewer_url=viewer_url) for item in items]


def row(item: BoardItem, *, now: Now, reader: str, viewer_url: str | None) -> Row:
    study = item.study
    is_held = item.reading is Reading.READING
    due_s = item.due_in_s
    viewer = viewer_link(viewer_url, study)
    return Row(
        uid=study.study_uid,
        position=item.position,
        moved=item.rank_change,
        would_be=item.would_be_position,
        group=item.group.value,
        patient=words.person_name(study.header.patient_name),
        about=about_patient(study),
        study=study.header.study_description or "no description",
        about_study=about_study(study, now),
        priority=words.PRIORITIES[study.order_priority],
        priority_class=priority_class(study.order_priority),
        priority_source=study.priority_source,
        finding=finding(study),
        why=item.why,
        waits=words.brief_duration(item.waiting_s),
        due=f"{words.brief_duration(due_s)} over" if due_s < 0 else f"in {words.brief_duration(due_s)}",
        due_class="overdue" if due_s < 0 else "soon" if due_s < SOON.total_seconds() else "later",
        passing=item.passing,
        holder=item.reader if is_held else "",
        held_until=words.moment(study.reading_expires_at, now.utc) if is_held and study.reading_expires_at else "",
        is_mine=is_held and item.reader == reader,
        is_pinned=study.pinned_at is not None,
        is_changed=study.changed_since_read,
        thumbnail=picture_path(study, "thumbnail.png"),
        picture=picture_path(study, "picture.png"),
        href=f"/study/{study.study_uid}",
        viewer=viewer,
        state=study.state.value,
    )


def about_patient(study: Study) -> str:
    header = study.header
    identity = f"ID {header.patient_id}" if header.patient_id else "no ID"
    return f"{words.age(header)} · {words.sex(header)} · {identity}"


def about_study(study: Study, now: Now) -> str:
    """When it was made, and where: what the scanner says of itself, else the AE title that sent it."""
    header = study.header
    place = header.station or header.institution or study.calling_ae or "sender unknown"
    return f"{words.acquired(header, now.utc.astimezone().date())} · {place}"


def priority_class(priority: OrderPriority) -> str:
    return f"priority-{priority.value.lower()}"


def picture_path(study: Study, name: str) -> str:
    """Address of a picture of the present findings; empty where there are none."""
    if study.state is not StudyState.ANALYSED or study.revision < 1:
        return ""
    return f"/study/{study.study_uid}/{study.revision}/{name}"


def viewer_link(template: str | None, study: Study) -> str:
    """The site's viewer at this study; empty where the site has not configured one."""
    if template is None:
        return ""
    header = study.header
    named = {"study_uid": header.study_uid, "accession_number": header.accession_number}
    named["patient_id"] = header.patient_id
    return template.format(**{name: quote(value, safe="") for name, value in named.items()})


def step(fraction: float) -> int:
    """Step of the colour scale: the limits of the CT grades (MODELS 36), so that bar and chip agree."""
    return sum(fraction > limit for limit in (0.0, 0.25, 0.5, 0.75))


def grade(found: Findings) -> str:
    """The chip: a lower bound where lung may be missing from the measurement."""
    if found.ct_grade is None:
        return ""
    return f"≥\u202f{found.ct_grade}" if Flag.LUNG_MAY_BE_MISSING in found.flags else found.ct_grade.value


def finding(study: Study) -> Finding:
    """What stands in the row's finding columns."""
    if study.state is StudyState.NOT_ANALYSED:
        return Finding(kind="not_analysed", words="not analysed")
    if study.state is StudyState.FAILED:
        return Finding(kind="failed", words="failed")
    if study.state is not StudyState.ANALYSED or study.findings is None:
        return Finding(kind="pending", words=words.STATES[study.state])
    found = study.findings
    p = found.covid_probability
    # Until the site has calibrated it, a score is a number from 0 to 1 and is called one.
    is_calibrated = Flag.UNCALIBRATED not in found.flags
    score = "" if p is None else percent(p) if is_calibrated else f"{p:.2f}"
    score_word = "COVID-19" if is_calibrated else "score"
    if found.affected_fraction is None:
        return Finding(kind="silent", words="extent not measured", score=score, score_word=score_word)
    right, left = found.affected_fraction_right, found.affected_fraction_left
    sides: tuple[tuple[Literal["R", "L"], float | None], ...] = (("R", right), ("L", left))
    bars = tuple(
        Bar(side=side, percent=round(100 * fraction, 1), words=percent(fraction), step=step(fraction))
        for side, fraction in sides
        if fraction is not None
    )
    worse_side = "" if right is None or left is None or right == left else "R" if right > left else "L"
    return Finding(
        kind="analysed",
        words=percent(found.affected_fraction),
        bars=bars,
        worse=percent(found.affected_fraction),
        worse_side=worse_side,
        grade=grade(found),
        step=step(found.affected_fraction) if found.ct_grade is None else GRADE_STEPS[found.ct_grade],
        score=score,
        score_word=score_word,
    )
