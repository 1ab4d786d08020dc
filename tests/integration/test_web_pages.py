"""The pages as a browser without script meets them, over a real server and a real store."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from tests.unit.web import sample
from tests.unit.web.serving import Served, serving
from triaged.clock import now
from triaged.records import OrderPriority, Reading
from triaged.store.store import PROBE_KEPT_S

PAGES = ("/", "/?compare=1", "/?q=meier", "/rows", "/tab/not_analysed", "/tab/failed", "/tab/reference", "/tab/read")
MORE_PAGES = ("/tab/withdrawn", "/reader", "/order", f"/study/{sample.uid(3)}", f"/study/{sample.of('SILVA')}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("web"), web='viewer_url = "http://viewer.example/?s={study_uid}"') as served:
        yield served


def row_of(page: str, uid: str) -> str:
    found = re.search(rf'<tr class="row[^>]*id="s-{re.escape(uid)}".*?</tr>', page, re.DOTALL)
    assert found, f"{uid} is not on the page"
    return found[0]


@pytest.mark.parametrize("path", PAGES + MORE_PAGES)
def test_no_page_holds_inline_code_or_reaches_elsewhere(served: Served, path: str) -> None:
    with served.client("Dr. A") as client:
        response = client.get(path)
    assert response.status_code == 200
    text = response.text
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    reached = set(re.findall(r'(?:src|href|action)="(?:https?:)?//([^/"]+)', text))
    assert reached <= {"viewer.example"}  # the site's own viewer, opened by a person
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/static/board.css", "/static/board.js", "/nothing", "/study/1.2.3", "/api/worklist"])
def test_every_answer_carries_the_guarding_headers(served: Served, path: str) -> None:
    with served.client() as client:
        headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_the_list_is_in_reading_order_and_says_why(served: Served) -> None:
    with served.client() as client:
        page = client.get("/").text
        order = [item["study_uid"] for item in client.get("/api/worklist").json()]
    assert re.findall(r'<tr class="row[^>]*data-uid="([\d.]+)"', page) == order
    assert "STAT by rule 1: called AE is TRIAGED_STAT" in row_of(page, sample.of("UNBEKANNT"))
    assert "not analysed" in row_of(page, sample.of("SILVA"))
    assert "10 mm between slices 41 and 42" in row_of(page, sample.of("SILVA"))
    assert "▲" in row_of(page, sample.of("SCHMIDT"))
    assert "research weights" in page


def test_claiming_without_script_names_the_study_and_comes_back(served: Served) -> None:
    uid = sample.of("TANAKA")
    with served.client("Dr. A") as client:
        answer = client.post(f"/study/{uid}/claim", data={"back": "/"})
        assert answer.status_code == 303
        page = client.get(answer.headers["location"]).text
        assert "Claimed: TANAKA, HIROSHI" in page
        assert "you, until" in row_of(page, uid)
        assert f"/study/{uid}/release" in row_of(page, uid)
    with served.client("Dr. B") as other:
        assert "Dr. A, until" in row_of(other.get("/").text, uid)
        lost = other.post(f"/study/{uid}/claim", data={"back": "/"})
        assert lost.status_code == 409
        assert "Dr. A is reading this study" in lost.text
        assert other.post(f"/study/{uid}/read").status_code == 409
        assert other.post(f"/study/{uid}/release").status_code == 409
    assert served.store.studies.get(uid).reader == "Dr. A"
    with served.client("Dr. A") as client:
        client.post(f"/study/{uid}/release")
    assert served.store.studies.get(uid).reading is Reading.UNREAD


def test_nothing_is_done_before_somebody_says_who_is_reading(served: Served) -> None:
    uid = sample.of("DUBOIS")
    with served.client() as client:
        answer = client.post(f"/study/{uid}/claim", data={"back": "/?q=x"})
        assert answer.headers["location"] == "/reader?back=%2F%3Fq%3Dx"
        quick = client.post(f"/study/{uid}/claim", headers={"Accept": "application/json"})
        assert (quick.status_code, quick.json()["missing"]) == (422, "reader")
    assert served.store.studies.get(uid).reading is Reading.UNREAD


def test_a_read_study_leaves_the_list_is_found_and_can_come_back(served: Served) -> None:
    uid = sample.of("PATEL")
    with served.client("Dr. A") as client:
        assert client.post(f"/study/{uid}/read").status_code == 303
        assert f'data-uid="{uid}"' not in client.get("/").text
        assert "PATEL, RAVI" in client.get("/tab/read").text
        found = client.get("/?q=patel").text
        assert "No study in the list matches" in found
        assert "PATEL, RAVI" in found
        assert "read by Dr. A" in found
    with served.client("Dr. B") as other:
        stale = other.post(f"/study/{uid}/claim")
        assert stale.status_code == 409
        assert "already read by Dr. A" in stale.text
        assert served.store.studies.get(uid).reading is Reading.READ
        assert other.post(f"/study/{uid}/unread").status_code == 303
        assert other.post(f"/study/{uid}/unread").status_code == 409
        assert f'data-uid="{uid}"' in other.get("/").text


def test_a_pin_needs_a_reason_and_says_it(served: Served) -> None:
    uid = sample.of("KOVÁCS")
    with served.client("Dr. A") as client:
        assert client.post(f"/study/{uid}/pin", data={"reason": "  "}).status_code == 409
        assert served.store.studies.get(uid).pinned_at is None
        client.post(f"/study/{uid}/pin", data={"reason": "surgeon <waits>"})
        page = client.get("/").text
        assert "pinned by Dr. A: surgeon &lt;waits&gt;" in row_of(page, uid)
        assert page.index(f'data-uid="{uid}"') < page.index(f'data-uid="{sample.of("UNBEKANNT")}"')
        client.post(f"/study/{uid}/unpin")
    assert served.store.studies.get(uid).pinned_at is None


def test_a_form_without_a_priority_takes_none_away(served: Served) -> None:
    uid = sample.of("UNBEKANNT")
    with served.client("Dr. A") as client:
        answer = client.post(f"/study/{uid}/priority")
    assert answer.status_code == 409
    assert "no order priority was chosen" in answer.text
    assert served.store.studies.get(uid).order_priority is OrderPriority.STAT


def test_bulk_read_names_what_somebody_else_holds(served: Served) -> None:
    held, free = sample.of("ROSSI"), sample.of("BERGSTRÖM")
    at = now()
    served.store.reading.claim(held, reader="Dr. B", until=at.utc + timedelta(minutes=5), now=at)
    with served.client("Dr. A") as client:
        answer = client.post("/read", data={"study": [held, free, "9.9.9"]})
        assert "1 study marked as read" in answer.text
        assert "Not ROSSI, GIULIA: Dr. B is reading it" in answer.text
        assert served.store.studies.get(free).reading is Reading.READ
        assert served.store.studies.get(held).reading is Reading.READING
        client.post(f"/study/{free}/unread")
    served.store.reading.release(held, reader="Dr. B", now=now())


def test_the_order_is_switched_by_a_named_person_who_is_sure_and_back(served: Served) -> None:
    with served.client() as client:
        assert client.post("/order", data={"on": "true", "reader": "Dr. A"}).status_code == 409
        assert client.post("/order", data={"on": "true", "sure": "yes"}).status_code == 409
        assert not served.store.baseline_switch
        client.post("/order", data={"on": "true", "reader": "Dr. A", "sure": "yes"})
        page = client.get("/").text
        assert "AI order is switched off" in page
        items = client.get("/api/worklist").json()
        assert [i["baseline_position"] for i in items] == [i["position"] for i in items]
        assert "Last changed by Dr. A" in client.get("/order").text
        client.post("/order", data={"on": "false", "reader": "Dr. B", "sure": "yes"})
        assert "AI order is switched off" not in client.get("/").text
    last = served.store.events.last_of("baseline_off")
    assert last is not None
    assert last.detail == {"by": "Dr. B"}


def test_the_study_page_tells_the_whole_story(served: Served) -> None:
    with served.client() as client:
        page = client.get(f"/study/{sample.uid(3)}").text
    for said in (
        "OKONKWO-FITZGERALD DE LA CRUZ, MAXIMILIANA ESPERANZA",
        "thinnest axial of 2, 1.0 mm, lung kernel B70f",
        "From the first image to the committed report: <b>34.0 s</b>",
        "Structured report (SR)",
        "accepted by the PACS",
        "not been calibrated",
        "853 mL",
        "key-3.png",
        "AI triage, not for diagnosis",
    ):
        assert said in page


def test_a_page_survives_pictures_that_retention_removed(served: Served) -> None:
    uid = sample.of("HADDAD")
    folder = served.config.artefacts / uid / "1"
    (folder / "key-slices.json").unlink()
    (folder / "picture.png").unlink()
    with served.client() as client:
        assert client.get(f"/study/{uid}").status_code == 200
        assert client.get(f"/study/{uid}/1/picture.png").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "1/masks.npz",
        "1/key-slices.json",
        "1/..%2F..%2Ftriaged.sqlite3",
        "2/picture.png",
        "0/picture.png",
        "1/key-1.png%00",
    ],
)
def test_only_whitelisted_pictures_are_served(served: Served, path: str) -> None:
    with served.client() as client:
        good = client.get(f"/study/{sample.uid(3)}/1/picture.png")
        assert good.headers["content-type"] == "image/png"
        assert good.headers["cache-control"] == "no-store"  # a shared workstation keeps nothing after logging out
        assert client.get(f"/study/{sample.uid(3)}/{path}").status_code in {404, 422}


def test_what_a_scanner_sends_is_never_markup(tmp_path_factory: pytest.TempPathFactory) -> None:
    nasty = "<script>alert(1)</script>^\"'><img src=x>"
    case = sample.Case(name=nasty, minutes_ago=5, patient_id="<b>", description="</td><script>", right=0.5, left=0.1)
    with serving(tmp_path_factory.mktemp("nasty"), cases=(case,)) as served, served.client("<i>") as client:
        for path in ("/", "/?compare=1", f"/study/{sample.uid(1)}", "/?q=<script>"):
            text = client.get(path).text
            assert "<script>" not in text
            assert "<img src=x" not in text
            assert "<b>" not in re.sub(r"<b>[\w :.]*</b>", "", text)
            assert "<i>" not in re.sub(r"<i>[\w]*</i>", "", text)


def test_an_empty_list_says_when_the_last_study_came(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("empty"), cases=()) as served, served.client() as client:
        page = client.get("/").text
        assert "No study is waiting to be read" in page
        assert "No study has been received yet" in page
        served.status |= {"workers_up": 0, "listener_up": False}
        page = client.get("/").text
        assert "Analysis is down: order is by arrival" in page
        assert "no new studies are being received" in page


def test_a_new_result_of_a_read_study_is_counted_first_in_its_tab_and_can_be_read(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with serving(tmp_path_factory.mktemp("changed")) as served, served.client("Dr. A") as client:
        schmidt, patel = sample.of("SCHMIDT"), sample.of("PATEL")
        for uid in (schmidt, patel):
            assert client.post(f"/study/{uid}/read").status_code == 303
        assert re.search(r'id="changed-since-read"[^>]* hidden>', client.get("/").text)
        sample.analyse_again(served.store, served.config, schmidt, now())
        board = client.get("/").text
        assert re.search(r'id="changed-since-read" class="changed"> <b data-count="changed">1</b> changed since', board)
        tab = client.get("/tab/read").text
        assert tab.index("SCHMIDT, ANNELIESE") < tab.index("PATEL, RAVI")  # although it was read before
        assert "not yet read" in row_of(tab, schmidt)
        assert "Read again" not in row_of(tab, patel)
        assert "Mark the new result as read" in client.get(f"/study/{schmidt}").text
        assert client.post(f"/study/{schmidt}/read").status_code == 303
        assert not served.store.studies.get(schmidt).changed_since_read
        assert re.search(r'id="changed-since-read"[^>]* hidden>', client.get("/").text)


def test_a_long_tab_comes_in_pages_and_a_search_reaches_all_of_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    many = tuple(sample.replace(sample.CASES[0], minutes_ago=3000 - n, patient_id=f"P{n}") for n in range(230))
    with serving(tmp_path_factory.mktemp("many"), cases=many) as served, served.client("Dr. A") as client:
        with served.store.atomic():
            for uid in served.uids:
                served.store.reading.mark_read(uid, reader="Dr. A", now=now())
        seen = []
        for start, said in ((0, "1 to 100 of 230"), (100, "101 to 200 of 230"), (200, "201 to 230 of 230")):
            page = client.get(f"/tab/read?start={start}").text
            assert said in page
            seen += re.findall(r'<tr class="row" id="s-([\d.]+)"', page)
        assert len(seen) == len(set(seen)) == 230
        page = client.get("/?q=bergström,+P7").text  # as it is written here, in small letters
        found = re.findall(r'<a href="/study/([\d.]+)">BERGSTRÖM', page)
        assert len(found) == 11  # P7, P70 to P79
        assert found[0] == served.uids[79]  # the last received first


def test_a_locked_database_is_a_banner_and_no_page_hangs(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("locked")) as served, served.client("Dr. A") as client:
        assert "cannot be written" not in client.get("/").text
        with closing(sqlite3.connect(served.config.database, isolation_level=None)) as another:
            another.execute("BEGIN IMMEDIATE")
            claim = threading.Thread(target=client.post, args=(f"/study/{sample.of('PATEL')}/claim",))
            claim.start()  # waits for the lock
            time.sleep(PROBE_KEPT_S + 0.2)
            began = time.monotonic()
            with served.client() as other:
                page = other.get("/").text
                assert other.get("/readyz").status_code == 503
            assert time.monotonic() - began < 5
            another.execute("ROLLBACK")
        claim.join(30)
        assert "The database cannot be written" in page
        assert "PATEL, RAVI" in page
        assert served.store.studies.get(sample.of("PATEL")).reader == "Dr. A"


def test_a_database_that_cannot_be_read_is_said_on_a_page_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("broken"), cases=sample.CASES[:1]) as served, served.client() as client:
        with closing(sqlite3.connect(served.config.database)) as another:
            another.execute("ALTER TABLE studies RENAME TO elsewhere")
        answer = client.get("/", headers={"Accept": "text/html"})
        assert answer.status_code == 503
        assert "The list cannot be read" in answer.text
        with closing(sqlite3.connect(served.config.database)) as another:
            another.execute("ALTER TABLE elsewhere RENAME TO studies")
        assert client.get("/").status_code == 200


def test_rows_beyond_the_first_come_as_they_are_asked_for(served: Served) -> None:
    with served.client() as client:
        part = client.get("/rows?show=5").text
        assert len(re.findall('<tr class="row', part)) == 5
        assert "Show more: 15 further studies" in part
        assert len(re.findall('<tr class="row', client.get("/rows").text)) == 20
