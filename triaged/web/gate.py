"""What every request passes: who may come in, what may change something, and the headers on every answer.

Plain ASGI, since the event stream must not be buffered on its way out.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triaged.clock import now
from triaged.web.access import OPEN_PATHS, SAFE_METHODS, Access
from triaged.web.problem import problem

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer, which makes browsers send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
STATIC = "/static/"


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                # Pages and pictures are patients': no cache of a workstation that is shared keeps them.
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(HTTPConnection(scope))
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        """The answer to a request that may not go on; None where it may."""
        path, method = request.scope["path"], request.scope["method"]
        if method not in SAFE_METHODS and not self._access.same_origin(request):
            return problem(403, "This request came from another site's page.")
        if path in OPEN_PATHS or path.startswith(STATIC) or self._access.admits(request, now()):
            return None
        if self._access.is_open:
            return problem(403, "Without a token the board answers on localhost only; set [web] token for other names.")
        if path.startswith("/api/"):
            return problem(401, "Send the token: Authorization: Bearer ...", headers={"WWW-Authenticate": "Bearer"})
        if method != "GET":
            return problem(401, "Log in again: the session is over.")
        query = request.scope["query_string"].decode("latin-1")
        back = f"{path}?{query}" if query else path
        return RedirectResponse(f"/login?back={quote(back, safe='')}", status_code=303)
