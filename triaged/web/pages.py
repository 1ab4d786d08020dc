"""The pages people look at: the board, its tabs, a study, its pictures. Rendered here, live by one small script."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from triaged import artefacts
from triaged.clock import now
from triaged.errors import TriagedError, UnknownStudy
from triaged.store.reading import Tab
from triaged.web import listing, words
from triaged.web.access import reader_of
from triaged.web.parts import Parts
from triaged.web.studypage import study_page

StudyUID = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$")]
SHOWN = 60  # rows a board begins with: three screens, which paint at once; more come as they are needed
MOST_SHOWN = 20000
PICTURE_NAME = re.compile(r"(picture|thumbnail|coronal|key-\d{1,3})\.png")
# Marks that stand in an address after an action, and what the page then says.
DID = {
    "claim": "Claimed",
    "release": "Released",
    "read": "Marked as read",
    "unread": "Back on the list",
    "pin": "Pinned to the top",
    "unpin": "No longer pinned",
    "priority": "Priority changed",
    "requeue": "To be analysed again",
    "withdraw": "Withdrawn",
    "redeliver": "Results to be sent again",
    "dismiss": "Results not to be sent",
}

Shown = Annotated[int, Query(ge=1, le=MOST_SHOWN)]
Start = Annotated[int, Query(ge=0, le=10**9)]
Search = Annotated[str, Query(max_length=200)]


def wants_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return request.url.path.startswith("/api/") or ("json" in accepted and "text/html" not in accepted)


def frame(parts: Parts, request: Request) -> dict[str, object]:
    """What every page carries around its content."""
    at = now()
    board = parts.boards.read(at)
    return {
        "top": parts.top_line(at),
        "marks": parts.marks(),
        "board": board,
        "to_read": len(board.items),
        "tabs": listing.TABS,
        "reader": reader_of(request),
        "at": at.utc.astimezone(),
        "stale_s": parts.config.web.stale_s,
        "is_open": parts.access.is_open,
        "viewer_url": parts.config.web.viewer_url,
    }


def message(parts: Parts, request: Request, status: int, detail: str) -> Response:
    """A plain page that says one thing: a refusal, mostly. Where nothing can be read, it stands alone."""
    context: dict[str, object] = {"status": status, "detail": detail}
    try:
        context |= frame(parts, request)
    except TriagedError:  # what is to be said may be just this
        return parts.templates.TemplateResponse(request, "alone.html", context, status_code=status)
    return parts.templates.TemplateResponse(request, "message.html", context, status_code=status)


def _did(parts: Parts, did: str, study_uid: str) -> str:
    study = parts.store.studies.find(study_uid) if study_uid else None
    if did not in DID or study is None:
        return ""
    return f"{DID[did]}: {words.person_name(study.header.patient_name)}"


def router(parts: Parts) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    _lists(routes, parts)
    _studies(routes, parts)
    return routes


def _lists(routes: APIRouter, parts: Parts) -> None:
    def rows_context(request: Request, q: str, compare: bool, show: int) -> dict[str, object]:
        at = now()
        board = parts.boards.read(at)
        viewer_url = parts.config.web.viewer_url
        shown = listing.shown(
            board, q=q, compare=compare, show=show, now=at, reader=reader_of(request), viewer_url=viewer_url
        )
        elsewhere = listing.elsewhere(parts.store, q, at) if q.strip() else []
        return {
            "board": board,
            "top": parts.top_line(at),
            "list": shown,
            "q": q,
            "compare": compare,
            "viewer_url": viewer_url,
            "elsewhere": elsewhere,
        }

    @routes.get("/")
    def board(
        request: Request,
        q: Search = "",
        compare: bool = False,
        show: Shown = SHOWN,
        did: str = "",
        study: str = "",
    ) -> Response:
        context = frame(parts, request) | rows_context(request, q, compare, show)
        context |= {"did": _did(parts, did, study), "page": "board"}
        return parts.templates.TemplateResponse(request, "board.html", context)

    @routes.get("/rows")
    def rows(request: Request, q: Search = "", compare: bool = False, show: Shown = SHOWN) -> Response:
        """The list alone, for the board's script."""
        context = rows_context(request, q, compare, show) | {"reader": reader_of(request)}
        return parts.templates.TemplateResponse(request, "rows.html", context)

    @routes.get("/tab/{name}")
    def tab(request: Request, name: Tab, start: Start = 0, did: str = "", study: str = "") -> Response:
        entries = listing.tab(parts.store, name, now(), start)
        context = frame(parts, request) | {"name": name, "entries": entries, "start": start, "step": listing.TAB_PAGE}
        context |= {"title": listing.TABS[name][0], "about": listing.TABS[name][1], "page": name}
        context |= {"did": _did(parts, did, study)}
        return parts.templates.TemplateResponse(request, "tab.html", context)


def _studies(routes: APIRouter, parts: Parts) -> None:
    @routes.get("/study/{study_uid}")
    def study(request: Request, study_uid: StudyUID, did: Annotated[str, Query(max_length=20)] = "") -> Response:
        page = study_page(parts.store, parts.config, parts.boards.read(now()), study_uid, now(), reader_of(request))
        context = frame(parts, request) | {"study": page, "did": _did(parts, did, study_uid), "page": "study"}
        return parts.templates.TemplateResponse(request, "study.html", context)

    @routes.get("/study/{study_uid}/{revision}/{name}")
    def picture(
        study_uid: StudyUID, revision: Annotated[int, Path(ge=1)], name: Annotated[str, Path(max_length=20)]
    ) -> Response:
        if not PICTURE_NAME.fullmatch(name):
            raise HTTPException(404, "There is no such picture.")
        if parts.store.studies.find(study_uid) is None:
            raise UnknownStudy(study_uid)
        file = artefacts.folder(parts.config.artefacts, study_uid, revision) / name
        if not file.is_file():
            raise HTTPException(404, "This picture has been removed.")
        return FileResponse(file, media_type="image/png")


Action = Literal[
    "claim", "release", "read", "unread", "pin", "unpin", "priority", "requeue", "withdraw", "redeliver", "dismiss"
]
