"""The JSON API. A program names the study by its UID and itself by `reader`; refusals are problem documents."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from triaged.clock import now
from triaged.records import OrderPriority
from triaged.web.access import clean_reader, reader_of
from triaged.web.live import Live
from triaged.web.parts import Parts
from triaged.web.studyjson import study_json
from triaged.worklist.board import item_json

UNNAMED = "API"  # who acted, where a program does not say
# PS3.5 section 9.1. A longer or stranger text is no study of ours.
StudyUID = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$", description="Study Instance UID")]
ReaderName = Annotated[str, Field(max_length=200), AfterValidator(clean_reader)]
Why = Annotated[str, Field(min_length=1, max_length=500)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class By(Body):
    reader: ReaderName = ""


class ByWithReason(By):
    reason: Why


class SetPriority(By):
    priority: OrderPriority


class SetUrgency(ByWithReason):
    urgency: Annotated[float, Field(ge=0.0, le=1.0)]


class ReadSeveral(By):
    study_uids: Annotated[list[str], Field(min_length=1, max_length=1000)]


class Baseline(By):
    on: bool


class Done(BaseModel):
    """What was done, in words; they may name the patient."""

    done: str


class ReadDone(BaseModel):
    read: list[str]
    refused: dict[str, str]


def router(parts: Parts, live: Live) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["api"])
    _reading(routes, parts)
    _list_actions(routes, parts)
    _study_actions(routes, parts)

    @routes.get("/events", response_class=StreamingResponse)
    def events() -> StreamingResponse:
        """Server-sent events: `board` when the list has changed, `status` every few seconds."""
        return StreamingResponse(live.stream(), media_type="text/event-stream")

    return routes


def _named(body: By | None, request: Request) -> str:
    return (body.reader if body else "") or reader_of(request) or UNNAMED


def _reading(routes: APIRouter, parts: Parts) -> None:
    @routes.get("/worklist")
    def worklist() -> list[dict[str, object]]:
        """Everything that is to be read, in reading order."""
        return [item_json(item) for item in parts.boards.read(now()).items]

    @routes.get("/studies/{study_uid}")
    def study(study_uid: StudyUID) -> dict[str, object]:
        """One study: state, findings, series, revisions, deliveries, events."""
        return study_json(parts.store, study_uid)

    @routes.get("/status")
    def status() -> dict[str, object]:
        """How the daemon is, and which order is in force."""
        at = now()
        board = parts.boards.read(at)
        return {
            **parts.status().as_json(),
            "mode": parts.config.mode,
            "installation": parts.config.installation,
            "order": board.order,
            "baseline_switch": board.is_switched,
            "queue_depth": board.queue_depth,
            "last_received_at": board.last_received_at,
            "last_result_at": board.last_result_at,
            "to_read": len(board.items),
            "tabs": board.tab_counts,
        }


def _list_actions(routes: APIRouter, parts: Parts) -> None:
    act = parts.actions

    @routes.post("/worklist/read")
    def read_several(body: ReadSeveral, request: Request) -> ReadDone:
        """Mark several studies as read; those that somebody else holds are refused and named."""
        done, refused = act.read_several(body.study_uids, reader=_named(body, request), now=now())
        return ReadDone(read=done, refused=refused)

    @routes.post("/worklist/{study_uid}/read")
    def read(study_uid: StudyUID, request: Request, body: By | None = None) -> Done:
        return Done(done=act.read(study_uid, reader=_named(body, request), now=now()))

    @routes.post("/worklist/{study_uid}/claim")
    def claim(study_uid: StudyUID, request: Request, body: By | None = None) -> Done:
        """Hold a study while reading it; 409 with `holder` and `until` where somebody else does."""
        return Done(done=act.claim(study_uid, reader=_named(body, request), now=now()))

    @routes.post("/worklist/{study_uid}/release")
    def release(study_uid: StudyUID, request: Request, body: By | None = None) -> Done:
        return Done(done=act.release(study_uid, reader=_named(body, request), now=now()))

    @routes.post("/worklist/{study_uid}/unread")
    def unread(study_uid: StudyUID, request: Request, body: By | None = None) -> Done:
        return Done(done=act.unread(study_uid, reader=_named(body, request), now=now()))

    @routes.post("/worklist/{study_uid}/pin")
    def pin(study_uid: StudyUID, request: Request, body: ByWithReason) -> Done:
        return Done(done=act.pin(study_uid, reader=_named(body, request), reason=body.reason, now=now()))

    @routes.post("/worklist/{study_uid}/unpin")
    def unpin(study_uid: StudyUID, request: Request, body: By | None = None) -> Done:
        return Done(done=act.unpin(study_uid, reader=_named(body, request), now=now()))

    @routes.post("/worklist/{study_uid}/priority")
    def priority(study_uid: StudyUID, request: Request, body: SetPriority) -> Done:
        done = act.priority(study_uid, priority=body.priority, reader=_named(body, request), now=now())
        return Done(done=done)


def _study_actions(routes: APIRouter, parts: Parts) -> None:
    act = parts.actions

    @routes.post("/baseline")
    def baseline(body: Baseline, request: Request) -> Done:
        """Set the list to the order without AI, or back."""
        return Done(done=act.baseline(body.on, reader=_named(body, request), now=now()))

    @routes.post("/studies/{study_uid}/requeue")
    def requeue(study_uid: StudyUID, request: Request, body: By | None = None) -> Done:
        return Done(done=act.requeue(study_uid, reader=_named(body, request), now=now()))

    @routes.post("/studies/{study_uid}/withdraw")
    def withdraw(study_uid: StudyUID, request: Request, body: ByWithReason) -> Done:
        return Done(done=act.withdraw(study_uid, reader=_named(body, request), reason=body.reason, now=now()))

    @routes.post("/studies/{study_uid}/urgency")
    def urgency(study_uid: StudyUID, request: Request, body: SetUrgency) -> Done:
        """Correct how urgent the findings make a study, from 0 to 1. A later result may raise it again."""
        reader = _named(body, request)
        done = act.urgency(study_uid, urgency=body.urgency, reader=reader, reason=body.reason, now=now())
        return Done(done=done)

    @routes.post("/studies/{study_uid}/redeliver")
    def redeliver(study_uid: StudyUID, request: Request, body: By | None = None) -> Done:
        return Done(done=act.redeliver(study_uid, reader=_named(body, request), now=now()))

    @routes.post("/studies/{study_uid}/dismiss")
    def dismiss(study_uid: StudyUID, request: Request, body: ByWithReason) -> Done:
        """Give up the results that could not be delivered, so that their images need not be kept for them."""
        return Done(done=act.dismiss(study_uid, reader=_named(body, request), reason=body.reason, now=now()))
