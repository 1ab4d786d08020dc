"""The board in a real browser: keys, stillness, races, accessibility, no request to elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.support import peer
from tests.unit.web import sample
from tests.unit.web.serving import Served, serving
from triaged.clock import now
from triaged.records import OrderPriority, Reading

ARGUMENTS = [
    "--no-sandbox",
    "--headless=new",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
VIEWER = 'viewer_url = "http://127.0.0.1:9/viewer?study={study_uid}"'
TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=peer("chromium"), args=ARGUMENTS)
        yield chromium
        chromium.close()


@dataclass
class Screen:
    """One reader's screen, and everything that its browser complained of or asked elsewhere for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    @property
    def focused(self) -> str:
        uid: str = self.page.evaluate("document.activeElement.closest('tr.row')?.dataset.uid ?? ''")
        return uid

    @property
    def order(self) -> list[str]:
        uids: list[str] = self.page.evaluate("[...document.querySelectorAll('tr.row')].map(r => r.dataset.uid)")
        return uids

    def go_to(self, uid: str) -> None:
        """Move with j until the study has the focus."""
        for _ in range(40):
            if self.focused == uid:
                return
            self.page.keyboard.press("j")
        raise AssertionError(f"j never came to {uid}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, web=VIEWER) as served:
        yield served


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A board that no test changes."""
    with serving(tmp_path_factory.mktemp("board"), web=VIEWER) as served:
        yield served


@pytest.fixture
def screen(browser: Browser, served: Served) -> Iterator[Screen]:
    with opened(browser, served, reader="Dr. Me") as screen:
        yield screen


class opened:  # noqa: N801 - reads as a verb where it is used
    """A browser context on the board, closed afterwards; whatever it complained of fails the test."""

    def __init__(self, browser: Browser, served: Served, *, reader: str = "", **context: object) -> None:
        self._context: BrowserContext = browser.new_context(
            viewport={"width": 1920, "height": 1080},
            **context,  # type: ignore[arg-type]
        )
        if reader:
            name = reader.replace(" ", "%20")
            self._context.add_cookies([{"name": "triaged_reader", "value": name, "url": served.base}])
        self._base = served.base
        self._screen = Screen(self._context.new_page())

    def __enter__(self) -> Screen:
        screen, page = self._screen, self._screen.page
        page.on("pageerror", lambda error: screen.complaints.append(str(error)))
        page.on("console", lambda m: screen.complaints.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("request", lambda r: None if r.url.startswith(self._base) else screen.elsewhere.append(r.url))
        page.goto(self._base)
        return screen

    def __exit__(self, *failed: object) -> None:
        self._context.close()
        if failed[0] is None:
            assert self._screen.elsewhere == []
            assert self._screen.complaints == []


def urgent(served: Served, number: int = 90) -> str:
    """A new study that stands first."""
    case = sample.Case(
        name="NEW^URGENT",
        minutes_ago=0,
        priority=OrderPriority.STAT,
        state=sample.StudyState.RECEIVING,
        source="rule 1",
    )
    return sample.add(served.store, served.config, now().later(-7200), case, number)


# -- at a glance -------------------------------------------------------------------------------------------------


def test_twenty_rows_stand_on_one_screen_and_no_number_is_cut_off(browser: Browser, looked_at: Served) -> None:
    with opened(browser, looked_at, reader="Dr. Me") as screen:
        assert len(screen.order) == 20
        scrolls = screen.page.evaluate("(m => m.scrollHeight > m.clientHeight)(document.getElementById('content'))")
        assert not scrolls
        bottom = screen.page.evaluate("[...document.querySelectorAll('tr.row')].at(-1).getBoundingClientRect().bottom")
        assert bottom <= 1080
        for what in (".worse", ".c-rank > *", ".c-score b", ".chip", ".box", ".c-time > *", ".c-priority > *"):
            cut = screen.page.evaluate(
                """what => [...document.querySelectorAll('tr.row ' + what)].filter(e => !e.classList.contains('sr') &&
                     e.getBoundingClientRect().right > e.closest('td').getBoundingClientRect().right + 0.5)
                     .map(e => e.textContent)""",
                what,
            )
            assert cut == [], what


def test_comparing_cuts_no_number_off_either(browser: Browser, looked_at: Served) -> None:
    with opened(browser, looked_at, reader="Dr. Me") as screen:
        screen.page.keyboard.press("b")
        expect(screen.page.locator("td.c-other")).to_have_count(20)
        cut = screen.page.evaluate(
            """[...document.querySelectorAll('.worse, .c-rank b, .actions')].filter(e =>
                 e.getBoundingClientRect().right > e.closest('td').getBoundingClientRect().right + 0.5).length"""
        )
        assert cut == 0


# -- the keyboard ------------------------------------------------------------------------------------------------


def test_a_reader_works_by_keyboard_alone(served: Served, screen: Screen) -> None:
    page, keyboard = screen.page, screen.page.keyboard
    first, second = screen.order[:2]
    keyboard.press("j")
    assert screen.focused == first
    keyboard.press("ArrowDown")
    assert screen.focused == second
    keyboard.press("k")
    assert screen.focused == first

    keyboard.press("c")
    expect(page.locator("#said")).to_contain_text("Claimed until")
    expect(page.locator("#said")).to_contain_text("UNBEKANNT, NOTFALL 3")
    assert served.store.studies.get(first).reader == "Dr. Me"
    assert screen.focused == first
    keyboard.press("x")
    expect(page.locator("#said")).to_contain_text("Released")
    assert served.store.studies.get(first).reading is Reading.UNREAD

    page.context.route("http://127.0.0.1:9/**", lambda route: route.fulfill(body="the viewer"))
    with page.context.expect_page() as viewer:
        keyboard.press("Enter")
    viewer.value.wait_for_load_state()
    assert viewer.value.url == f"http://127.0.0.1:9/viewer?study={first}"
    viewer.value.close()

    tanaka = sample.of("TANAKA")
    screen.go_to(tanaka)
    keyboard.press("p")
    expect(page.locator("#pin")).to_be_visible()
    expect(page.locator(".dialog-study")).to_contain_text("TANAKA, HIROSHI")
    keyboard.press("Enter")  # without a reason: the browser asks for one
    expect(page.locator("#pin")).to_be_visible()
    keyboard.type("surgeon is waiting")
    keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("Pinned to the top: TANAKA")
    assert served.store.studies.get(tanaka).pin_reason == "surgeon is waiting"

    expect(page.locator("#changes")).to_be_visible()
    keyboard.press("s")
    expect(page.locator("tr.row").first).to_have_attribute("data-uid", tanaka)
    screen.go_to(second)
    keyboard.press("r")
    expect(page.locator("#said")).to_contain_text("Read:")
    assert served.store.studies.get(second).reading is Reading.READ
    assert screen.focused not in {second, ""}  # the focus goes on; what was read keeps its place for now
    assert second in screen.order
    keyboard.press("u")
    expect(page.locator("#said")).to_contain_text("Back on the list")
    assert served.store.studies.get(second).reading is Reading.UNREAD


def test_a_key_that_is_held_down_reads_one_study(served: Served, screen: Screen) -> None:
    page, keyboard = screen.page, screen.page.keyboard
    keyboard.press("j")
    first = screen.focused
    for _ in range(40):
        keyboard.down("r")  # down again without up: the browser calls it a repeat
        page.wait_for_timeout(30)
    keyboard.up("r")
    expect(page.locator("#said")).to_contain_text("Read:")
    assert [s.study_uid for s in served.store.reading.tab("read")] == [first]


def test_a_second_press_does_not_read_the_next_patient(served: Served, screen: Screen) -> None:
    page, keyboard = screen.page, screen.page.keyboard
    keyboard.press("j")
    first = screen.focused
    # The second press comes the moment the focus has gone on, however slow this machine is.
    page.evaluate(
        """() => document.addEventListener("focusin", event => setTimeout(() => event.target.dispatchEvent(
            new KeyboardEvent("keydown", { key: "r", bubbles: true, cancelable: true }))), { once: true })"""
    )
    keyboard.press("r")
    page.wait_for_function("uid => document.activeElement.closest('tr.row')?.dataset.uid !== uid", arg=first)
    second = screen.focused
    expect(page.locator("#said.refused")).to_contain_text("was not marked as read")
    assert served.store.studies.get(second).reading is Reading.UNREAD
    page.wait_for_timeout(800)
    keyboard.press("r")  # meant for this one
    expect(page.locator("#said")).to_contain_text("Read: O'BRIEN")
    assert served.store.studies.get(second).reading is Reading.READ


def test_u_undoes_every_reading_the_latest_first(served: Served, screen: Screen) -> None:
    page, keyboard = screen.page, screen.page.keyboard
    said = page.locator("#said")
    names = ("SCHMIDT", "ROSSI")
    for name in names:
        screen.go_to(sample.of(name))
        keyboard.press("r")
        expect(said).to_contain_text(f"Read: {name}")
    for name in ("HADDAD", "PATEL"):
        page.locator(f'input[value="{sample.of(name)}"]').check()
    page.locator("#bulk-read").click()
    page.locator('#sure button[value="yes"]').click()
    expect(said).to_contain_text("2 studies marked as read")
    keyboard.press("u")
    expect(said).to_contain_text("2 studies are back on the list")
    for name in reversed(names):
        keyboard.press("u")
        expect(said).to_contain_text(f"Back on the list: {name}")
    assert served.store.reading.tab("read") == []
    keyboard.press("u")
    expect(said).to_contain_text("Nothing that was read here is left to undo")


def test_search_and_help_and_details_have_keys(browser: Browser, looked_at: Served) -> None:
    with opened(browser, looked_at, reader="Dr. Me") as screen:
        page, keyboard = screen.page, screen.page.keyboard
        keyboard.press("/")
        keyboard.type("schmidt")
        expect(page.locator("tr.row")).to_have_count(1)
        keyboard.press("Enter")
        expect(page.locator("tr.row .primary:focus")).to_have_count(1)
        assert screen.focused == sample.of("SCHMIDT")
        keyboard.press("?")
        expect(page.locator("#help")).to_be_visible()
        keyboard.press("Escape")
        expect(page.locator("#help")).to_be_hidden()
        assert screen.focused == sample.of("SCHMIDT")
        keyboard.press("d")
        page.wait_for_url("**/study/*")
        expect(page.locator("h1")).to_contain_text("SCHMIDT, ANNELIESE")


def test_every_key_has_a_button(browser: Browser, looked_at: Served) -> None:
    with opened(browser, looked_at, reader="Dr. Me") as screen:
        screen.page.keyboard.press("j")
        row = screen.page.locator("tr.row").first
        for name in ("Open", "Details", "Claim", "Read", "Pin"):
            expect(row.get_by_text(name, exact=True)).to_be_visible()
        for name in ("Show order without AI", "Keys", "Sound off"):
            expect(screen.page.locator("header").get_by_text(name)).to_be_visible()


def test_who_is_reading_is_asked_once(browser: Browser, served: Served) -> None:
    with opened(browser, served) as screen:
        page, keyboard = screen.page, screen.page.keyboard
        keyboard.press("j")
        keyboard.press("c")
        expect(page.locator("#name")).to_be_visible()
        keyboard.type("Dr. Şahin")
        keyboard.press("Enter")
        expect(page.locator("#said")).to_contain_text("Claimed until")
        assert served.store.studies.get(screen.order[0]).reader == "Dr. Şahin"
        keyboard.press("j")
        keyboard.press("c")
        expect(page.locator("#said")).to_contain_text("O'BRIEN")
        expect(page.locator("#name")).to_be_hidden()


def test_several_are_marked_as_read_after_they_were_named(served: Served, screen: Screen) -> None:
    page = screen.page
    for name in ("HADDAD", "PATEL"):
        page.locator(f'input[value="{sample.of(name)}"]').check()
    page.locator("#bulk-read").click()
    expect(page.locator(".sure-list li")).to_have_count(2)
    expect(page.locator(".sure-list")).to_contain_text("PATEL, RAVI")
    page.locator('#sure button[value="yes"]').click()
    expect(page.locator("#said")).to_contain_text("2 studies marked as read")
    assert served.store.studies.get(sample.of("PATEL")).reading is Reading.READ


# -- still under the hand ----------------------------------------------------------------------------------------


def test_rows_keep_still_under_the_pointer_until_asked(served: Served, screen: Screen) -> None:
    page = screen.page
    before = screen.order
    box = page.locator("tr.row").nth(2).bounding_box()
    assert box is not None
    x, y = box["x"] + 200, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.move(x + 2, y)
    under = f"document.elementFromPoint({x + 2}, {y}).closest('tr.row').dataset.uid"
    uid = page.evaluate(under)
    new = urgent(served)
    expect(page.locator("#changes")).to_have_text("1 change – show")  # one study is new; those it pushed down are not
    page.mouse.move(x + 4, y)
    assert page.evaluate(under) == uid
    assert screen.order == before
    expect(page.locator("#live")).to_contain_text("New urgent study at rank")
    page.locator("#changes").click()
    expect(page.locator(f'tr.row[data-uid="{new}"]')).to_have_count(1)
    expect(page.locator("#changes")).to_be_hidden()


def test_rows_keep_still_under_the_focus_and_move_after_ten_idle_seconds(served: Served, screen: Screen) -> None:
    page = screen.page
    screen.go_to(sample.of("DUBOIS"))
    began = time.monotonic()
    page.keyboard.press("j")
    page.keyboard.press("k")
    new = urgent(served)
    expect(page.locator("#changes")).to_be_visible()
    top = page.evaluate("document.activeElement.getBoundingClientRect().top")
    assert new not in screen.order
    expect(page.locator(f'tr.row[data-uid="{new}"]')).to_have_count(1, timeout=15000)
    assert time.monotonic() - began > 9
    assert screen.focused == sample.of("DUBOIS")  # the focus stays with the study, not with the position
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= top


def test_the_focus_never_goes_to_another_patient_unasked(served: Served, screen: Screen) -> None:
    page, keyboard = screen.page, screen.page.keyboard
    uid = sample.of("SCHMIDT")
    screen.go_to(uid)
    following = screen.order[screen.order.index(uid) + 1]
    served.store.reading.mark_read(uid, reader="Dr. Fast", now=now())
    said = page.locator("#said")
    expect(said).to_contain_text("SCHMIDT, ANNELIESE is no longer in the list: read by Dr. Fast", timeout=20000)
    assert uid not in screen.order
    assert screen.focused == ""
    keyboard.press("r")
    expect(said).to_contain_text("No study is chosen")
    assert [s.study_uid for s in served.store.reading.tab("read")] == [uid]
    keyboard.press("j")
    assert screen.focused == following


def test_a_row_pushed_below_what_was_fetched_is_not_said_to_be_gone(browser: Browser, tmp_path: Path) -> None:
    many = tuple(sample.replace(sample.CASES[1], minutes_ago=900 - n) for n in range(80))
    with serving(tmp_path, cases=many) as served, opened(browser, served) as screen:
        page = screen.page
        expect(page.locator("tr.row")).to_have_count(60)
        page.keyboard.press("j")
        for number in (90, 91, 92):
            urgent(served, number)
        read = screen.order[4]
        served.store.reading.mark_read(read, reader="Dr. B", now=now())
        expect(page.locator("#changes")).to_have_text("4 changes – show")
        expect(page.locator("tr.row.gone")).to_have_count(1)
        expect(page.locator("tr.row.gone")).to_have_attribute("data-uid", read)


def test_a_list_that_nobody_touches_follows_at_once(served: Served, screen: Screen) -> None:
    screen.page.mouse.move(700, 5)
    new = urgent(served)
    expect(screen.page.locator(f'tr.row[data-uid="{new}"]')).to_have_count(1)


def test_a_new_result_of_a_read_study_is_announced(served: Served, screen: Screen) -> None:
    uid = sample.of("SCHMIDT")
    served.store.reading.mark_read(uid, reader="Dr. B", now=now())
    expect(screen.page.locator("#changed-since-read")).to_be_hidden()
    sample.analyse_again(served.store, served.config, uid, now())
    said = screen.page.locator("#said")
    expect(said).to_contain_text("New result since it was read: SCHMIDT, ANNELIESE", timeout=12000)
    expect(said).to_contain_text("81 % of the right lung")
    expect(screen.page.locator("#changed-since-read")).to_have_text(" 1 changed since")


def test_a_list_that_moves_fetches_no_picture_again(served: Served, screen: Screen) -> None:
    page = screen.page
    page.mouse.move(700, 5)
    shown = "[...document.querySelectorAll('.thumb img:first-child')].filter(i => i.complete && i.naturalWidth).length"
    page.wait_for_function(f"() => {shown} > 10")  # a function: the page's own policy forbids evaluating text
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url) if request.url.endswith(".png") else None)
    new = urgent(served)
    expect(page.locator(f'tr.row[data-uid="{new}"]')).to_have_count(1)
    page.wait_for_timeout(500)
    assert fetched == []
    assert page.evaluate(shown) > 10


def test_a_colleagues_claim_shows_at_once_and_wins(served: Served, screen: Screen) -> None:
    page, uid = screen.page, sample.of("SCHMIDT")
    screen.go_to(uid)
    at = now()
    served.store.reading.claim(uid, reader="Dr. Fast", until=at.utc + timedelta(minutes=5), now=at)
    page.keyboard.press("c")  # before or after the news came: the answer is the same
    expect(page.locator("#said")).to_contain_text("Dr. Fast is reading this study")
    expect(page.locator(f'tr.row[data-uid="{uid}"] .holder')).to_contain_text("Dr. Fast")
    assert screen.focused == uid
    assert served.store.studies.get(uid).reader == "Dr. Fast"
    screen.complaints[:] = [c for c in screen.complaints if "409" not in c]  # the browser notes the refusal


# -- trust -------------------------------------------------------------------------------------------------------


def test_a_lost_connection_is_said_plainly(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, web="stale_s = 2.0") as served, opened(browser, served) as screen:
        banner = screen.page.locator("#banner")
        expect(screen.page.locator("[data-trust=updated]")).to_contain_text("s ago")
        expect(banner).to_be_hidden()
        served.server.stop()
        expect(banner).to_contain_text("Connection lost", timeout=10000)
        expect(banner).to_contain_text("The list is as it was at")
        screen.complaints.clear()


def test_trouble_shows_while_it_lasts(served: Served, screen: Screen) -> None:
    banner = screen.page.locator("#banner")
    served.status |= {"workers_up": 0}
    expect(banner).to_contain_text("Analysis is down: order is by arrival", timeout=12000)
    served.status.clear()
    expect(banner).to_be_hidden(timeout=12000)


def test_without_script_it_works_only_not_live(browser: Browser, served: Served) -> None:
    with opened(browser, served, reader="Dr. Me", java_script_enabled=False) as screen:
        page, uid = screen.page, sample.of("TANAKA")
        row = page.locator(f'tr.row[data-uid="{uid}"]')
        row.hover()
        row.get_by_role("button", name="Claim").click()
        expect(page.locator("#said")).to_have_text("Claimed: TANAKA, HIROSHI")
        row.hover()
        row.get_by_text("Pin", exact=True).click()
        page.locator("#pin-why").fill("surgeon is waiting")
        page.locator("form#pin button").click()
        expect(page.locator("#said")).to_contain_text("Pinned to the top")
    assert served.store.studies.get(sample.of("TANAKA")).pin_reason == "surgeon is waiting"


# -- accessible --------------------------------------------------------------------------------------------------


def violations(page: Page) -> str:
    report = Axe().run(page)
    return "" if report.violations_count == 0 else report.generate_report()


def test_axe_finds_nothing_on_the_board(served: Served, screen: Screen) -> None:
    page = screen.page
    at = now()
    served.store.reading.claim(sample.of("ROSSI"), reader="Dr. B", until=at.utc + timedelta(minutes=5), now=at)
    served.store.reading.pin(sample.of("MEIER"), by="Dr. B", reason="in ED", now=at)
    served.status |= {"workers_up": 0}
    page.goto(served.base)
    assert violations(page) == ""
    page.keyboard.press("j")
    assert violations(page) == ""
    page.keyboard.press("b")
    expect(page.locator("td.c-other").first).to_be_visible()
    assert violations(page) == ""
    for key, dialog in (("?", "#help"), ("p", "#pin")):
        page.keyboard.press(key)
        if key == "p":
            screen.go_to(sample.of("TANAKA"))
            page.keyboard.press("p")
        expect(page.locator(dialog)).to_be_visible()
        assert violations(page) == ""
        page.keyboard.press("Escape")


@pytest.mark.parametrize(
    "path",
    [
        "/tab/not_analysed",
        "/tab/read",
        "/order",
        "/reader",
        "/?q=zzz",
        "/?q=meier",
        f"/study/{sample.uid(3)}",
        "/study/9",
    ],
)
def test_axe_finds_nothing_on_the_other_pages(browser: Browser, looked_at: Served, path: str) -> None:
    with opened(browser, looked_at, reader="Dr. Me") as screen:
        screen.page.goto(looked_at.base + path)
        assert violations(screen.page) == ""
        screen.complaints[:] = [c for c in screen.complaints if "404" not in c]


def test_axe_finds_nothing_on_the_login_page(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, web=f'token = "{TOKEN}"', cases=()) as served, opened(browser, served) as screen:
        page = screen.page
        assert "/login" in page.url
        assert violations(page) == ""
        page.locator("#token").fill(TOKEN)
        page.locator("#reader").fill("Dr. Me")
        page.keyboard.press("Enter")
        expect(page.locator(".who")).to_contain_text("Dr. Me")
        assert violations(page) == ""


# -- fast --------------------------------------------------------------------------------------------------------


def test_of_a_thousand_studies_the_first_come_at_once_and_the_others_as_they_are_needed(
    browser: Browser, tmp_path: Path
) -> None:
    some = [case for case in sample.CASES if case.state is sample.StudyState.ANALYSED and not case.reference]
    thousand = tuple(sample.replace(some[n % len(some)], minutes_ago=2000 - n) for n in range(1000))
    with serving(tmp_path, cases=thousand) as served, opened(browser, served) as screen:
        page = screen.page
        page.goto(served.base)
        # What has to be answered and painted at first does not grow with the list.
        expect(page.locator("tr.row")).to_have_count(60)
        page.evaluate("document.getElementById('content').scrollTop = 1e7")
        expect(page.locator("tr.row")).to_have_count(260, timeout=10000)
        page.evaluate("document.getElementById('content').scrollTop = 1e7")
        expect(page.locator("tr.row")).to_have_count(460, timeout=10000)
        with served.client() as client:
            listed = [item["study_uid"] for item in client.get("/api/worklist").json()]
        assert screen.order == listed[:460]
