"""For whoever watches the daemon: alive, ready, counted. None of these shows an identity, none needs a token."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import JSONResponse, Response

from triaged.web.parts import Parts


def router(parts: Parts, registry: CollectorRegistry) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz")
    def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @routes.get("/readyz")
    def readyz() -> JSONResponse:
        """Studies are received, analysed and shown: 200; otherwise 503, naming what does not hold."""
        status = parts.status()
        content = {"ready": status.ready, "checks": status.checks}
        return JSONResponse(content, status_code=200 if status.ready else 503)

    @routes.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return routes
