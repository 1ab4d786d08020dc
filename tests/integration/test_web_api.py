"""The API, who may use it, what it refuses, and the event stream: over a real server and a real store."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import httpx
import pytest

from tests.support import eventually
from tests.unit.web import sample
from tests.unit.web.serving import Served, serving
from triaged.clock import now
from triaged.records import DeliveryState, OrderPriority, Reading, StudyState
from triaged.store import Store

TOKEN = "a-token-of-some-length"
FIXED_KEYS = [
    "position", "study_uid", "patient_id", "accession_number", "received_at", "due_at", "tier", "state", "reading",
    "covid_probability", "affected_percent", "affected_percent_left", "affected_percent_right", "ct_grade", "urgency",
    "reason",
]  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("api")) as served:
        yield served


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("guarded"), web=f'token = "{TOKEN}"', cases=sample.CASES[:3]) as served:
        yield served


@pytest.fixture
def api(served: Served) -> Iterator[httpx.Client]:
    """A program: no cookies, no Origin."""
    with httpx.Client(base_url=served.base, timeout=30) as client:
        yield client


# -- what it says ------------------------------------------------------------------------------------------------


def test_the_worklist_has_the_fixed_keys_in_reading_order(api: httpx.Client) -> None:
    items = api.get("/api/worklist").json()
    assert [item["position"] for item in items] == list(range(1, 21))
    assert all(list(item)[: len(FIXED_KEYS)] == FIXED_KEYS for item in items)
    waiting = next(item for item in items if item["state"] == "receiving")
    assert [waiting[key] for key in ("covid_probability", "affected_percent", "ct_grade", "urgency")] == [None] * 4


def test_one_study_comes_whole(api: httpx.Client) -> None:
    said = api.get(f"/api/studies/{sample.uid(3)}").json()
    assert said["study"]["findings"]["affected_fraction"] == 0.41
    assert [s["instance_count"] for s in said["series"]] == [2, 312, 64]
    assert [d["role"] for d in said["deliveries"]] == ["seg", "sr", "picture"]
    assert {e["kind"] for e in said["events"]} >= {"received", "ready", "claimed", "analysed", "delivered"}


def test_status_says_which_order_is_in_force_and_names_nobody(api: httpx.Client) -> None:
    answer = api.get("/api/status")
    said = answer.json()
    assert (said["mode"], said["order"], said["to_read"], said["ready"]) == ("live", "ai", 20, True)
    assert "MEIER" not in answer.text


def test_the_openapi_description_names_every_route(api: httpx.Client) -> None:
    paths = api.get("/api/openapi.json").json()["paths"]
    actions = ("read", "claim", "release", "pin", "unpin", "unread", "priority")
    wanted = {f"/api/worklist/{{study_uid}}/{action}" for action in actions}
    wanted |= {f"/api/studies/{{study_uid}}/{action}" for action in ("requeue", "withdraw", "redeliver")}
    wanted |= {f"/api/studies/{{study_uid}}/{action}" for action in ("dismiss", "urgency")}
    wanted |= {"/api/worklist", "/api/worklist/read", "/api/studies/{study_uid}", "/api/baseline", "/api/status"}
    wanted |= {"/api/events", "/healthz", "/readyz"}
    assert wanted <= set(paths)


# -- what it does ------------------------------------------------------------------------------------------------


def test_a_claim_that_lost_the_race_says_who_won_and_until_when(served: Served, api: httpx.Client) -> None:
    uid = sample.of("TANAKA")
    assert api.post(f"/api/worklist/{uid}/claim", json={"reader": "Dr. A"}).status_code == 200
    lost = api.post(f"/api/worklist/{uid}/claim", json={"reader": "Dr. B"})
    assert lost.status_code == 409
    assert lost.headers["content-type"] == "application/problem+json"
    assert lost.json()["holder"] == "Dr. A"
    assert lost.json()["until"].startswith(f"{served.store.studies.get(uid).reading_expires_at:%Y-%m-%dT%H:%M}")
    assert api.post(f"/api/worklist/{uid}/release", json={"reader": "Dr. A"}).status_code == 200
    assert api.post(f"/api/worklist/{uid}/claim", json={"reader": "Dr. B"}).status_code == 200
    assert api.post(f"/api/worklist/{uid}/release", json={"reader": "Dr. B"}).status_code == 200


def test_of_many_claims_at_once_exactly_one_wins(served: Served) -> None:
    uid, codes = sample.of("DUBOIS"), []

    def claim(reader: str) -> None:
        with httpx.Client(base_url=served.base, timeout=30) as client:
            codes.append(client.post(f"/api/worklist/{uid}/claim", json={"reader": reader}).status_code)

    threads = [threading.Thread(target=claim, args=(f"Dr. {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] + [409] * 7
    winner = served.store.studies.get(uid).reader
    served.store.reading.release(uid, reader=winner, now=now())


def test_reading_needs_no_body_and_is_idempotent(served: Served, api: httpx.Client) -> None:
    uid = sample.of("PATEL")
    assert api.post(f"/api/worklist/{uid}/read").status_code == 200
    first = served.store.studies.get(uid)
    assert (first.reading, first.reader) == (Reading.READ, "API")
    assert api.post(f"/api/worklist/{uid}/read", json={"reader": "Dr. A"}).status_code == 200
    assert served.store.studies.get(uid).read_at == first.read_at
    assert uid not in [item["study_uid"] for item in api.get("/api/worklist").json()]
    assert api.post(f"/api/worklist/{uid}/unread").status_code == 200


def test_bulk_reading_reports_each_refusal(api: httpx.Client) -> None:
    body = {"study_uids": [sample.of("BERGSTRÖM"), "9.9"], "reader": "Dr. A"}
    said = api.post("/api/worklist/read", json=body).json()
    assert said["read"] == [sample.of("BERGSTRÖM")]
    assert list(said["refused"]) == ["9.9"]
    api.post(f"/api/worklist/{sample.of('BERGSTRÖM')}/unread")


def test_priority_pin_and_withdrawal_are_kept_with_the_name(served: Served, api: httpx.Client) -> None:
    uid = sample.of("GARCÍA")
    api.post(f"/api/worklist/{uid}/priority", json={"priority": "STAT", "reader": "Dr. A"})
    assert served.store.studies.get(uid).order_priority is OrderPriority.STAT
    api.post(f"/api/worklist/{uid}/pin", json={"reason": "ICU called", "reader": "Dr. A"})
    assert api.get("/api/worklist").json()[0]["study_uid"] == uid
    api.post(f"/api/worklist/{uid}/unpin", json={"reader": "Dr. A"})
    api.post(f"/api/studies/{uid}/withdraw", json={"reason": "wrong patient", "reader": "Dr. A"})
    study = served.store.studies.get(uid)
    assert (study.state, study.reason) == (StudyState.WITHDRAWN, "wrong patient")
    assert api.post(f"/api/worklist/{uid}/claim", json={"reader": "Dr. A"}).status_code == 409
    names = {e.detail.get("by") for e in served.store.events.of(uid) if e.kind in {"pinned", "unpinned", "withdrawn"}}
    assert names == {"Dr. A"}


def test_urgency_is_lowered_by_a_person_with_a_reason(served: Served, api: httpx.Client) -> None:
    uid = sample.of("TANAKA")
    address = f"/api/studies/{uid}/urgency"
    for body in ({"urgency": 0.0}, {"urgency": 1.5, "reason": "scar"}, {"reason": "scar"}):
        assert api.post(address, json=body).status_code == 422
    assert api.post(address, json={"urgency": 0.0, "reason": "  "}).status_code == 409
    before = served.store.studies.get(uid)
    assert before.urgency > 0
    assert api.post(address, json={"urgency": 0.0, "reason": "old scar", "reader": "Dr. A"}).status_code == 200
    study = served.store.studies.get(uid)
    assert (study.urgency, study.place.due) == (0.0, study.place.baseline_due)
    (event,) = [e for e in served.store.events.of(uid) if e.kind == "urgency"]
    assert event.detail == {"from": before.urgency, "to": 0.0, "by": "Dr. A", "why": "old scar"}


def test_requeue_and_redeliver(served: Served, api: httpx.Client) -> None:
    failed = sample.of("ANDERSSON")
    assert api.post(f"/api/studies/{failed}/requeue", json={"reader": "Dr. A"}).status_code == 200
    assert served.store.studies.get(failed).state is StudyState.READY
    receiving = sample.of("LINDQVIST")
    assert api.post(f"/api/studies/{receiving}/requeue").status_code == 409
    delivery = served.store.deliveries.of(sample.of("SCHMIDT"))[2]
    served.store.deliveries.park(delivery, error="0x0122 SOP class not supported", now=now())
    assert "1 result" in api.post(f"/api/studies/{sample.of('SCHMIDT')}/redeliver").json()["done"]
    assert served.store.deliveries.of(sample.of("SCHMIDT"))[2].state is DeliveryState.WAITING


def test_parked_results_are_given_up_for_a_reason(served: Served, api: httpx.Client) -> None:
    uid = sample.of("SCHMIDT")
    delivery = served.store.deliveries.of(uid)[2]
    served.store.deliveries.park(delivery, error="0x0122 SOP class not supported", now=now())
    assert 'name="reason" required' in api.get(f"/study/{uid}").text.split(f"/study/{uid}/dismiss")[1]
    assert api.post(f"/api/studies/{uid}/dismiss").status_code == 422
    assert api.post(f"/api/studies/{uid}/dismiss", json={"reason": " ", "reader": "dr.a"}).status_code == 409
    done = api.post(f"/api/studies/{uid}/dismiss", json={"reason": "no SEG here", "reader": "dr.a"}).json()["done"]
    assert done.startswith("1 result not to be sent")
    event = served.store.events.of(uid)[-1]
    assert (event.kind, event.detail["by"], event.detail["why"]) == ("delivery_dismissed", "dr.a", "no SEG here")
    assert f"/study/{uid}/dismiss" not in api.get(f"/study/{uid}").text


def test_the_switch_to_baseline_is_audited(served: Served, api: httpx.Client) -> None:
    api.post("/api/baseline", json={"on": True, "reader": "Dr. A"})
    assert api.get("/api/status").json()["order"] == "baseline"
    api.post("/api/baseline", json={"on": False, "reader": "Dr. A"})
    assert api.get("/api/status").json()["order"] == "ai"
    on = served.store.events.last_of("baseline_on")
    assert on is not None
    assert on.detail == {"by": "Dr. A"}


# -- what it refuses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/api/studies/9.9.9", None, 404),
        ("POST", "/api/worklist/9.9.9/claim", {}, 404),
        ("POST", "/api/worklist/9.9.9/read", {}, 404),
        ("POST", "/api/studies/9.9.9/requeue", {}, 404),
        ("POST", "/api/studies/9.9.9/redeliver", {}, 404),
        ("GET", "/api/studies/not-a-uid", None, 422),
        ("POST", "/api/worklist/9.9.9/pin", {}, 422),
        ("POST", "/api/worklist/9.9.9/priority", {"priority": "SOON"}, 422),
        ("POST", "/api/worklist/9.9.9/claim", {"secret name": "MEIER"}, 422),
        ("POST", "/api/worklist/read", {"study_uids": []}, 422),
        ("GET", "/api/nothing", None, 404),
        ("GET", "/api/baseline", None, 405),
    ],
)
def test_refusals_are_problem_documents(
    api: httpx.Client, method: str, path: str, body: dict[str, object] | None, code: int
) -> None:
    answer = api.request(method, path, json=body)
    assert answer.status_code == code
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == code
    assert "MEIER" not in answer.text  # what was sent is not repeated


def test_another_sites_page_changes_nothing(served: Served) -> None:
    uid = sample.uid(3)
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        with httpx.Client(base_url=served.base, headers=headers) as client:
            assert client.post(f"/api/worklist/{uid}/read").status_code == 403
            assert client.post(f"/study/{uid}/read").status_code == 403
    assert served.store.studies.get(uid).reading is Reading.UNREAD


def test_a_name_pointed_at_this_machine_opens_nothing(served: Served) -> None:
    with httpx.Client(base_url=served.base, headers={"Host": "evil.example"}) as client:
        for path in ("/", "/api/worklist", f"/study/{sample.uid(3)}"):
            answer = client.get(path)
            assert answer.status_code == 403
            assert "OKONKWO" not in answer.text


def test_with_a_token_nothing_shows_an_identity_without_it(guarded: Served) -> None:
    uid = sample.uid(3)
    with httpx.Client(base_url=guarded.base) as client:
        assert client.get("/api/worklist").status_code == 401
        assert client.get("/api/worklist", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.post(f"/api/worklist/{uid}/read").status_code == 401
        assert client.post(f"/study/{uid}/read").status_code == 401
        for path in ("/", "/rows", f"/study/{uid}", f"/study/{uid}/1/picture.png", "/tab/read", "/order"):
            answer = client.get(path)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/login?back=")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert len(client.get("/api/worklist", headers=headers).json()) == 3
    assert guarded.store.studies.get(uid).reading is Reading.UNREAD


def test_logging_in_keeps_a_cookie_that_does_not_hold_the_token(guarded: Served) -> None:
    with guarded.client() as client:
        assert client.post("/login", data={"token": "wrong-token-wrong-token"}).status_code == 403
        assert client.get("/").status_code == 303
        answer = client.post("/login", data={"token": TOKEN, "reader": "Dr. A", "back": "//evil.example"})
        assert answer.headers["location"] == "/"
        cookies = answer.headers.get_list("set-cookie")
        assert all("HttpOnly" in c and "SameSite=strict" in c and TOKEN not in c for c in cookies)
        assert "Dr. A" in client.get("/").text
        assert client.get("/api/worklist").status_code == 200  # the board's own script
        client.post("/logout")
        assert client.get("/").status_code == 303


# -- health ------------------------------------------------------------------------------------------------------


def test_health_needs_no_token_and_names_nobody(guarded: Served) -> None:
    with httpx.Client(base_url=guarded.base) as client:
        answers = [client.get(path) for path in ("/healthz", "/readyz", "/metrics")]
    assert [a.status_code for a in answers] == [200, 200, 200]
    assert "triaged_sample_total 1.0" in answers[2].text
    said = " ".join(a.text for a in answers)
    for case, uid in zip(sample.CASES[:3], guarded.uids, strict=True):
        assert case.name.split("^")[0] not in said
        assert case.patient_id not in said
        assert uid not in said


@pytest.mark.parametrize("down", ["listener_up", "database_writable", "workers_up"])
def test_not_ready_while_a_part_is_down(guarded: Served, down: str) -> None:
    guarded.status[down] = False
    try:
        answer = httpx.get(f"{guarded.base}/readyz")
        assert answer.status_code == 503
        assert [name for name, holds in answer.json()["checks"].items() if not holds] != []
        assert httpx.get(f"{guarded.base}/healthz").status_code == 200
    finally:
        guarded.status.clear()


# -- live --------------------------------------------------------------------------------------------------------


def test_the_stream_tells_of_changes_by_other_processes_but_not_of_heartbeats(served: Served) -> None:
    heard: list[tuple[float, str]] = []
    started = threading.Event()

    def listen() -> None:
        with httpx.stream("GET", f"{served.base}/api/events", timeout=30) as stream:
            name = ""
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                if line.startswith("data: "):
                    if name == "status":
                        assert json.loads(line.removeprefix("data: "))["counts"]["to_read"] > 0
                        started.set()
                    heard.append((time.monotonic(), name))
                if name == "board" and len([h for h in heard if h[1] == "board"]) == 1:
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert started.wait(10)
    time.sleep(0.7)
    with Store(served.config.database) as other:  # as another process would
        token = other.queue.tokens()[0]
        other.queue.beat(token, now())
        time.sleep(1.5)
        assert [name for _, name in heard if name == "board"] == []
        at = now()
        other.reading.claim(sample.of("HADDAD"), reader="Dr. Z", until=at.utc + timedelta(minutes=5), now=at)
        changed = time.monotonic()
    thread.join(10)
    assert heard[-1][1] == "board"
    assert heard[-1][0] - changed < 3


def test_the_stream_outlives_a_database_that_cannot_be_read(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triaged.web.live.STATUS_S", 0.5)
    with serving(tmp_path_factory.mktemp("outage"), cases=sample.CASES[:2]) as served:
        heard: list[str] = []

        def listen() -> None:
            with httpx.stream("GET", f"{served.base}/api/events", timeout=30) as stream:
                for line in stream.iter_lines():
                    if line.startswith("event: "):
                        heard.append(line.removeprefix("event: "))

        thread = threading.Thread(target=listen)
        thread.start()
        eventually(lambda: "status" in heard)
        with closing(sqlite3.connect(served.config.database)) as another:
            another.execute("ALTER TABLE studies RENAME TO elsewhere")
            time.sleep(1.5)
            count = len(heard)
            another.execute("ALTER TABLE elsewhere RENAME TO studies")
        eventually(lambda: len(heard) > count)
        at = now()
        served.store.reading.claim(served.uids[0], reader="Dr. Z", until=at.utc + timedelta(minutes=5), now=at)
        eventually(lambda: "board" in heard[count:])
        served.server.stop()
        thread.join(10)


def test_a_server_with_open_boards_stops_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("stop"), cases=sample.CASES[:1]) as served:
        ended = threading.Event()
        opened = threading.Event()

        def listen() -> None:
            with httpx.stream("GET", f"{served.base}/api/events", timeout=30) as stream:
                for _ in stream.iter_lines():
                    opened.set()
            ended.set()

        threading.Thread(target=listen).start()
        assert opened.wait(10)
        began = time.monotonic()
        served.server.stop()
        assert time.monotonic() - began < 4
        assert not served.server.is_alive
        assert ended.wait(2)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{served.base}/healthz")
