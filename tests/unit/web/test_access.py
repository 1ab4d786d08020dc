"""Who is let in, and whose word changes something."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from starlette.requests import HTTPConnection

from triaged import config
from triaged.clock import Now
from triaged.web.access import Access, clean_reader, local_path, reader_cookie, reader_of

TOKEN = "a-token-of-some-length"
NOW = Now(utc=datetime(2026, 11, 20, 12, tzinfo=UTC), mono_s=0.0)


def request(**headers: str) -> HTTPConnection:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw, "path": "/", "method": "GET", "query_string": b""})


def guarded() -> Access:
    return Access(config.Web(token=TOKEN))


def test_an_open_board_answers_to_local_names_only() -> None:
    access = Access(config.Web())
    for host in ("localhost:8080", "127.0.0.1", "[::1]:8080"):
        assert access.admits(request(host=host), NOW)
    for host in ("evil.example", "127.0.0.1.evil.example", "", "[", "localhost.evil.example:8080"):
        assert not access.admits(request(host=host), NOW)


def test_a_token_admits_and_anything_else_does_not() -> None:
    access = guarded()
    assert access.admits(request(host="any", authorization=f"Bearer {TOKEN}"), NOW)
    for header in ("", TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", "Bearer ünïcode"):
        assert not access.admits(request(host="localhost", authorization=header), NOW)


def test_a_session_is_derived_from_the_token_and_ends() -> None:
    access = guarded()
    cookie = access.session(NOW)
    assert TOKEN not in cookie
    assert access.session(NOW) != cookie
    assert access.knows(cookie, NOW.later(11 * 3600))
    assert not access.knows(cookie, NOW.later(13 * 3600))
    assert not access.knows(cookie, NOW.later(-3600))  # issued in the future
    assert not Access(config.Web(token=TOKEN + "2")).knows(cookie, NOW)
    issued, nonce, seal = cookie.split(".")
    later = str(int(issued) + 3600)
    for forged in (
        f"{later}.{nonce}.{seal}",
        f"{issued}.{nonce}.",
        f"{issued}.x.{seal}",
        "..",
        "",
        "²..",
        f"{cookie}.1",
    ):
        assert not access.knows(forged, NOW)


def test_an_open_board_knows_no_session() -> None:
    assert not Access(config.Web()).knows(guarded().session(NOW), NOW)


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({}, True),  # a program: no browser sends a POST without saying where from
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "same-site"}, False),
        ({"origin": "http://localhost:8080"}, True),
        ({"origin": "http://localhost:9090"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://["}, False),
        ({"sec_fetch_site": "same-origin", "origin": "http://evil.example"}, False),
    ],
)
def test_only_our_own_pages_change_something(headers: dict[str, str], is_ours: bool) -> None:
    assert Access(config.Web()).same_origin(request(host="localhost:8080", **headers)) is is_ours


def test_a_program_with_the_token_needs_no_origin() -> None:
    wanted = request(host="a", origin="http://b", authorization=f"Bearer {TOKEN}")
    assert guarded().same_origin(wanted)


def test_a_reader_is_a_printable_name() -> None:
    assert clean_reader("  Dr.\tA.\u202e  Demir\r\n") == "Dr. A. Demir"
    assert len(clean_reader("x" * 500)) == 64
    assert reader_of(request(cookie=f"triaged_reader={reader_cookie('Dr. Ş; x=1')}")) == "Dr. Ş; x=1"
    assert reader_of(request()) == ""


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "", "/a\nb"]
)
def test_going_back_never_leaves_this_site(elsewhere: str) -> None:
    assert local_path(elsewhere) == "/"
    assert local_path("/tab/read?show=9#s-1") == "/tab/read?show=9#s-1"
