"""What the pages' forms do. Without script a form answers with a redirect; the script asks for JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode, urlsplit, urlunsplit

from fastapi import APIRouter, Form, Path, Query, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from triaged.clock import Now, now
from triaged.errors import NotPossible
from triaged.records import OrderPriority, Reading
from triaged.web import access, pages, words
from triaged.web.parts import Parts
from triaged.web.problem import problem

log = logging.getLogger(__name__)

StudyUID = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$")]
Text = Annotated[str, Form(max_length=500)]


def router(parts: Parts) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    _study_forms(routes, parts)
    _people(routes, parts)
    _order(routes, parts)
    return routes


def go(back: str, **marks: str) -> Response:
    """Back to a page of ours, with marks in its address."""
    parts = urlsplit(access.local_path(back))
    query = "&".join(q for q in (_without(parts.query, {"did", "study"}), urlencode(marks)) if q)
    return RedirectResponse(urlunsplit(("", "", parts.path, query, parts.fragment)), status_code=303)


def _without(query: str, names: set[str]) -> str:
    return "&".join(part for part in query.split("&") if part and part.split("=")[0] not in names)


def _study_forms(routes: APIRouter, parts: Parts) -> None:
    @routes.post("/read")
    def read_several(
        request: Request, study: Annotated[list[str] | None, Form(max_length=1000)] = None, back: Text = "/"
    ) -> Response:
        reader = access.reader_of(request)
        if not reader:
            return _who(request, back)
        done, refused = parts.actions.read_several(study or [], reader=reader, now=now())
        said = f"{words.plural(len(done), 'study', 'studies')} marked as read."
        for uid, why in refused.items():
            found = parts.store.studies.find(uid)
            name = words.person_name(found.header.patient_name) if found else uid
            said += f" Not {name}: {why}."
        if pages.wants_json(request):
            return JSONResponse({"done": said, "read": done, "refused": refused})
        return pages.message(parts, request, 200, said)

    @routes.post("/study/{study_uid}/{action}")
    def act(
        request: Request,
        study_uid: StudyUID,
        action: pages.Action,
        back: Text = "/",
        reason: Text = "",
        priority: Annotated[OrderPriority | None, Form()] = None,
    ) -> Response:
        reader = access.reader_of(request)
        if not reader:
            return _who(request, back)
        is_new = action == "read" and parts.store.studies.get(study_uid).reading is not Reading.READ
        done = _perform(parts, action, study_uid, reader, reason, priority, now())
        if pages.wants_json(request):
            return JSONResponse({"done": done, "read": [study_uid] if is_new else []})
        return go(back, did=action, study=study_uid)


def _who(request: Request, back: str) -> Response:
    """Nobody has said who is reading here."""
    if pages.wants_json(request):
        return problem(422, "Say first who is reading.", {"missing": "reader"})
    return RedirectResponse(f"/reader?{urlencode({'back': access.local_path(back)})}", status_code=303)


def _perform(
    parts: Parts, action: str, uid: str, reader: str, reason: str, priority: OrderPriority | None, at: Now
) -> str:
    act = parts.actions
    match action:
        case "pin":
            return act.pin(uid, reader=reader, reason=reason, now=at)
        case "withdraw":
            return act.withdraw(uid, reader=reader, reason=reason, now=at)
        case "dismiss":
            return act.dismiss(uid, reader=reader, reason=reason, now=at)
        case "priority":
            if priority is None:
                raise NotPossible("no order priority was chosen")
            return act.priority(uid, priority=priority, reader=reader, now=at)
    plain = {
        "claim": act.claim,
        "release": act.release,
        "read": act.read,
        "unread": act.unread,
        "unpin": act.unpin,
        "requeue": act.requeue,
        "redeliver": act.redeliver,
    }
    return plain[action](uid, reader=reader, now=at)


def _cookie(response: Response, request: Request, name: str, value: str, max_age_s: int) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, max_age=max_age_s, httponly=True, samesite="strict", secure=secure, path="/")


def _people(routes: APIRouter, parts: Parts) -> None:
    show = parts.templates.TemplateResponse

    @routes.get("/login")
    def login(request: Request, back: Annotated[str, Query(max_length=2000)] = "/") -> Response:
        if parts.access.is_open:
            return RedirectResponse("/", status_code=303)
        return show(request, "login.html", {"back": access.local_path(back), "wrong": False})

    @routes.post("/login")
    def log_in(request: Request, token: Text, reader: Text = "", back: Text = "/") -> Response:
        if not parts.access.accepts(token.strip()):
            log.warning("login refused", extra={"address": request.client.host if request.client else "unknown"})
            context: Mapping[str, object] = {"back": access.local_path(back), "wrong": True}
            return show(request, "login.html", dict(context), status_code=403)
        response = go(back)
        _cookie(response, request, access.SESSION_COOKIE, parts.access.session(now()), access.SESSION_S)
        if access.clean_reader(reader):
            _cookie(response, request, access.READER_COOKIE, access.reader_cookie(reader), access.READER_S)
        return response

    @routes.post("/logout")
    def log_out() -> Response:
        response = RedirectResponse("/login", status_code=303)
        response.delete_cookie(access.SESSION_COOKIE)
        response.delete_cookie(access.READER_COOKIE)
        return response

    @routes.get("/reader")
    def who(request: Request, back: Annotated[str, Query(max_length=2000)] = "/") -> Response:
        context = pages.frame(parts, request) | {"back": access.local_path(back), "page": "reader"}
        return show(request, "reader.html", context)

    @routes.post("/reader")
    def name(request: Request, reader: Text, back: Text = "/") -> Response:
        named = access.clean_reader(reader)
        if not named:
            raise NotPossible("a name is needed")
        response = JSONResponse({"done": f"Reading as {named}"}) if pages.wants_json(request) else go(back)
        _cookie(response, request, access.READER_COOKIE, access.reader_cookie(named), access.READER_S)
        return response


def _order(routes: APIRouter, parts: Parts) -> None:
    @routes.get("/order")
    def order(request: Request) -> Response:
        changed = parts.store.events.last_of("baseline_on" if parts.store.baseline_switch else "baseline_off")
        context = pages.frame(parts, request) | {"page": "order", "policy": parts.config.worklist.policy}
        if changed is not None:
            at = words.moment(changed.at, now().utc)
            context |= {"changed_by": changed.detail.get("by", ""), "changed_at": at}
        return parts.templates.TemplateResponse(request, "order.html", context)

    @routes.post("/order")
    def switch(request: Request, on: Annotated[bool, Form()], reader: Text = "", sure: Text = "") -> Response:
        named = access.clean_reader(reader) or access.reader_of(request)
        if not named or sure != "yes":
            raise NotPossible("the switch needs a name and the confirmation")
        done = parts.actions.baseline(on, reader=named, now=now())
        return JSONResponse({"done": done}) if pages.wants_json(request) else go("/")
