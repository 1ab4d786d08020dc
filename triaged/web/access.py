"""Who may see the board, and who says to be reading.

Without a token the board is open on loopback alone, to browsers that call it by a local name (a page elsewhere could
otherwise point its own name at 127.0.0.1). With a token, programs send `Authorization: Bearer`, people log in once
and carry a cookie that is derived from the token and does not contain it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import quote, unquote, urlsplit

from starlette.requests import HTTPConnection

from triaged import config
from triaged.clock import Now

SESSION_COOKIE = "triaged_session"
READER_COOKIE = "triaged_reader"
SESSION_S = 12 * 3600  # one shift
READER_S = 12 * 3600
READER_LONGEST = 64  # characters: a name, not an essay
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN_PATHS = frozenset({"/metrics", "/healthz", "/readyz", "/login"})  # these show no identity
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """Decides on requests; holds the settings, no state."""

    def __init__(self, web: config.Web) -> None:
        self._token = web.token
        self._local = LOCAL_NAMES | {web.host}

    @property
    def is_open(self) -> bool:
        return self._token is None

    def accepts(self, token: str) -> bool:
        return self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())

    def session(self, now: Now) -> str:
        """A cookie value for somebody who has just shown the token."""
        issued, nonce = str(int(now.utc.timestamp())), secrets.token_hex(16)
        return f"{issued}.{nonce}.{self._seal(issued, nonce)}"

    def _seal(self, issued: str, nonce: str) -> str:
        assert self._token is not None
        text = f"triaged session {issued} {nonce}"
        return hmac.new(self._token.encode(), text.encode(), hashlib.sha256).hexdigest()

    def knows(self, cookie: str, now: Now) -> bool:
        """Whether a cookie is one of ours and still young."""
        parts = cookie.split(".")
        if self._token is None or len(parts) != 3 or not parts[0].isascii() or not parts[0].isdigit():
            return False
        issued, nonce, seal = parts
        genuine = hmac.compare_digest(seal.encode(), self._seal(issued, nonce).encode())
        return genuine and 0 <= now.utc.timestamp() - int(issued) + 1 <= SESSION_S

    def bears_token(self, request: HTTPConnection) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.accepts(token.strip())

    def admits(self, request: HTTPConnection, now: Now) -> bool:
        if self.is_open:
            return _host_name(request) in self._local
        return self.bears_token(request) or self.knows(request.cookies.get(SESSION_COOKIE, ""), now)

    def same_origin(self, request: HTTPConnection) -> bool:
        """Whether a request that changes something comes from our own pages, or from no browser at all.

        Browsers say where a POST comes from in Sec-Fetch-Site, older ones in Origin; a program says neither, and
        carries no cookie that another page could make use of.
        """
        if self.bears_token(request):
            return True
        site = request.headers.get("sec-fetch-site")
        if site is not None and site not in {"same-origin", "none"}:
            return False
        origin = request.headers.get("origin")
        return origin is None or _netloc(origin) == request.headers.get("host")


def _netloc(url: str) -> str | None:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return None


def _host_name(request: HTTPConnection) -> str | None:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None


def clean_reader(name: str) -> str:
    """A reader's name as it may be kept and shown: printable, single-spaced, not too long; may be empty."""
    printable = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(printable.split())[:READER_LONGEST]


def reader_of(request: HTTPConnection) -> str:
    """Who says to be reading here; empty where nobody has said."""
    return clean_reader(unquote(request.cookies.get(READER_COOKIE, "")))


def reader_cookie(name: str) -> str:
    return quote(clean_reader(name))


def local_path(path: str, otherwise: str = "/") -> str:
    """A path of ours to go back to; never another site's address."""
    parts = urlsplit(path)
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return path if ours and path.isprintable() else otherwise
