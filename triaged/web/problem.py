"""Refusals as JSON (RFC 9457, problem details), for programs and for the board's own script."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse


class Problem(JSONResponse):
    media_type = "application/problem+json"


def problem(
    status: int, detail: str, more: Mapping[str, object] | None = None, *, headers: Mapping[str, str] | None = None
) -> Problem:
    """`detail` is a sentence for a person and holds no patient identity; `more` is for programs."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **(more or {}),
    }
    return Problem(content, status_code=status, headers=dict(headers or {}))
