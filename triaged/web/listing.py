"""What of the list is shown: search, the first rows of many, the groups between separators, the tabs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from triaged.clock import Now
from triaged.records import Study
from triaged.store import Store, search
from triaged.store.reading import Tab
from triaged.web import view, words
from triaged.worklist.board import Board, BoardItem

TABS: dict[Tab, tuple[str, str]] = {
    "not_analysed": ("Not analysed", "Also in the list, at their places by arrival and order priority."),
    "failed": ("Failed", "Also in the list, at their places by arrival and order priority."),
    "reference": ("Reference", "Prior studies, shown apart and never promoted."),
    "read": ("Read", "Marked as read: first what has a new result since, then the latest."),
    "withdrawn": (
        "Withdrawn",
        "Taken off the list for a stated reason. Their images stay as long as those of studies that were read.",
    ),
}
TAB_PAGE = 100  # rows
ELSEWHERE_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Other:
    """Who stands at the same rank in the order that is compared with."""

    uid: str
    patient: str
    moved: int  # from there to the order in force


@dataclass(frozen=True, kw_only=True)
class Group:
    name: str
    total: int  # in the whole list, not only of the rows shown
    rows: tuple[tuple[view.Row, Other | None], ...]


@dataclass(frozen=True, kw_only=True)
class Shown:
    groups: tuple[Group, ...]
    shown: int
    total: int  # that match
    listed: int  # in the whole list
    step: int
    is_by_ai: bool
    compared_with: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One study in a tab, or found elsewhere than in the list."""

    uid: str
    patient: str
    about: str
    study: str
    about_study: str
    finding: view.Finding
    why: str
    reading: str
    is_changed: bool
    tab: str


def matches(study: Study, q: str) -> bool:
    """Whether every word of a search is found in a study, as the store looks for it."""
    text = search.text_of(study.header)
    return all(word in text for word in search.words_of(q))


def shown(board: Board, *, q: str, compare: bool, show: int, now: Now, reader: str, viewer_url: str | None) -> Shown:
    """The first `show` studies that match, under their separators."""
    found = [item for item in board.items if matches(item.study, q)] if q.strip() else list(board.items)
    totals: dict[str, int] = {}
    for item in found:
        totals[item.group.value] = totals.get(item.group.value, 0) + 1
    other = _other_order(board) if compare else {}
    groups = tuple(
        Group(
            name=name,
            total=totals[name],
            rows=tuple(
                (view.row(item, now=now, reader=reader, viewer_url=viewer_url), other.get(item.position))
                for item in items
            ),
        )
        for name, items in groupby(found[:show], key=lambda item: item.group.value)
    )
    return Shown(
        groups=groups,
        shown=min(show, len(found)),
        total=len(found),
        listed=len(board.items),
        step=show,
        is_by_ai=board.order == "ai",
        compared_with="without AI" if board.order == "ai" else "with AI",
    )


def _other_order(board: Board) -> dict[int, Other]:
    """Rank in the order not in force -> who stands there."""

    def rank(item: BoardItem) -> int:
        return item.baseline_position if board.order == "ai" else item.would_be_position

    return {
        rank(item): Other(
            uid=item.study.study_uid,
            patient=words.person_name(item.study.header.patient_name),
            moved=rank(item) - item.position,
        )
        for item in board.items
    }


def tab(store: Store, name: Tab, now: Now, start: int) -> list[Entry]:
    """A page of a tab, from its study number `start` (0 is the first)."""
    return [entry(study, now) for study in store.reading.tab(name, start=start, limit=TAB_PAGE)]


def elsewhere(store: Store, q: str, now: Now) -> list[Entry]:
    """Matching studies that are not in the list: a search must not say that what was read is missing."""
    return [entry(study, now) for study in store.reading.elsewhere(q, limit=ELSEWHERE_SHOWN)]


def entry(study: Study, now: Now) -> Entry:
    if study.read_at is not None and study.reading == "read":
        reading, where = f"read by {study.reader}, {words.moment(study.read_at, now.utc)}", "Read"
    elif study.is_reference:
        reading, where = "prior study", "Reference"
    elif study.state == "withdrawn":
        reading, where = "withdrawn", "Withdrawn"
    else:
        reading, where = "in the list", "To read"
    return Entry(
        uid=study.study_uid,
        patient=words.person_name(study.header.patient_name),
        about=view.about_patient(study),
        study=study.header.study_description or "no description",
        about_study=view.about_study(study, now),
        finding=view.finding(study),
        why=study.reason or "",
        reading=reading,
        is_changed=study.changed_since_read,
        tab=where,
    )
