"""The web application: the board for people, the API for programs, health for whoever watches the daemon."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.responses import Response

from triaged import __version__
from triaged.clock import now
from triaged.config import Config
from triaged.errors import AlreadyClaimed, NotPossible, TriagedError, UnknownStudy
from triaged.store import Store
from triaged.web import api, forms, health, pages
from triaged.web.access import Access
from triaged.web.actions import Actions
from triaged.web.gate import Gate
from triaged.web.live import Boards, Live
from triaged.web.parts import Parts
from triaged.web.problem import problem
from triaged.web.status import DaemonStatus

log = logging.getLogger(__name__)
HERE = Path(__file__).parent


def create_app(
    config: Config, store: Store, *, status: Callable[[], DaemonStatus], registry: CollectorRegistry
) -> FastAPI:
    """The application over one store. Call `app.state.live.stop()` before the server closes (serve.py does)."""
    access, boards = Access(config.web), Boards(config, store)
    templates = Jinja2Templates(HERE / "templates")
    templates.env.trim_blocks = templates.env.lstrip_blocks = True
    parts = Parts(
        config=config,
        store=store,
        status=status,
        access=access,
        actions=Actions(config, store),
        boards=boards,
        templates=templates,
    )
    app = FastAPI(title="triaged", version=__version__, openapi_url="/api/openapi.json", docs_url=None, redoc_url=None)
    live = Live(boards, lambda: parts.top_line(now()))
    app.state.live = live
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.include_router(health.router(parts, registry))
    app.include_router(api.router(parts, live))
    app.include_router(forms.router(parts))
    app.include_router(pages.router(parts))
    _answer_errors(app, parts)
    app.add_middleware(Gate, access=access)
    return app


def _answer_errors(app: FastAPI, parts: Parts) -> None:
    """Every refusal becomes a problem document for programs and a plain page for people."""

    async def refuse(request: Request, status: int, detail: str, more: Mapping[str, object] | None = None) -> Response:
        if pages.wants_json(request):
            return problem(status, detail, more)
        return await asyncio.to_thread(pages.message, parts, request, status, detail)

    async def unknown(request: Request, error: Exception) -> Response:
        return await refuse(request, 404, "No study of this UID was ever received.")

    async def held(request: Request, error: Exception) -> Response:
        assert isinstance(error, AlreadyClaimed)
        detail = f"{error.holder} is reading this study, until {error.until} or until released."
        return await refuse(request, 409, detail, {"holder": error.holder, "until": error.until})

    async def not_possible(request: Request, error: Exception) -> Response:
        return await refuse(request, 409, f"Not done: {error}.")

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # What was sent is not repeated: it may name a patient.
        wrong = [{"where": [str(part) for part in e["loc"]], "why": e["msg"]} for e in error.errors()]
        return await refuse(request, 422, "; ".join(f"{w['where'][-1]}: {w['why']}" for w in wrong), {"errors": wrong})

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return await refuse(request, error.status_code, str(error.detail))

    async def ours(request: Request, error: Exception) -> Response:
        log.error("request refused: %s", error)
        return await refuse(request, 503, "The daemon cannot do this now; its log says why.")

    async def unforeseen(request: Request, error: Exception) -> Response:
        return problem(500, "Something unforeseen went wrong; the daemon's log says what.")

    app.add_exception_handler(UnknownStudy, unknown)
    app.add_exception_handler(AlreadyClaimed, held)
    app.add_exception_handler(NotPossible, not_possible)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(TriagedError, ours)
    app.add_exception_handler(Exception, unforeseen)
