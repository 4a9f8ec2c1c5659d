"""The page in a real Chromium: it shows, it obeys the keys, and whatever a span holds, it runs nothing of it.

Every test fails on a dialog, a line in the console (a violation of the policy makes one), an error, or a request.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from browser import stories
from browser.browsing import executable, launched, opened, row
from otel_run.command import loopback
from otel_run.command.view.feed import Feed
from otel_run.command.view.live_page import PageServer
from otel_run.view.document import document
from otel_run.view.durations import duration
from otel_run.view.page import page

LABELS = [
    "ProcessOrder",
    "validate",
    "enrichOrder",
    "SELECT counterparty FROM counterparties WHERE id = ?",
    "GET cache:instrument:AAPL",
    "POST http://reference-data/v1/instruments/AAPL",
    "POST /v1/instruments/{symbol}",
    "SELECT * FROM prices WHERE id = ?",
    "executeOrder",
    "BEGIN",
    "INSERT INTO orders (id, side, qty, px) VALUES (?, ?, ?, ?)",
    "COMMIT",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give the browser; where TEST_BROWSER is set there must be one."""
    missing = "playwright" if importlib.util.find_spec("playwright") is None else "" if executable() else "chromium"
    if missing:
        (pytest.fail if os.environ.get("TEST_BROWSER") else pytest.skip)(f"{missing} is not installed")
    with launched() as started:
        yield started


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Give a function that writes a page of stories to the disk."""

    def write(*told: Any) -> Path:
        path = tmp_path / "page.html"
        path.write_text(page(map(document, told), "traces.jsonl"), "utf-8")
        return path

    return write


def test_it_draws_a_trace_with_its_path_notes_and_repeats(browser, written):
    with opened(browser, written(stories.order())) as tab:
        assert tab.page.title() == "traces.jsonl"
        assert tab.rows() == LABELS
        assert row(tab, "enrichOrder") == {
            "role": "row",
            "aria-level": "2",
            "aria-expanded": "true",
            "aria-selected": "false",
        }
        assert tab.page.locator("#rows .note").all_inner_texts() == [
            "← cache miss, slow, 10% of the trace",
            "← slow downstream, 73% of the trace",
            "← N+1: 48 alike",
            "← slow write, 12% of the trace",
        ]
        assert tab.page.locator("#rows .times").all_inner_texts() == ["48\u00d7"]
        assert tab.page.locator("#rows .own.several").count() == 48
        assert tab.page.locator("#rows .took").all_inner_texts()[:3] == ["450ms", "1ms", "380ms"]
        # Alone, it needs no list.
        assert not tab.page.locator("#list").is_visible()


def test_the_path_of_a_collapsed_row_is_that_of_all_it_hides(browser, written):
    def path_of(tab: Any, label: str) -> float:
        bars = tab.page.locator("#rows .row", has_text=label).first.locator(".on-path")
        return sum(bars.nth(number).bounding_box()["width"] for number in range(bars.count()))

    with opened(browser, written(stories.order())) as tab:
        own = path_of(tab, "enrichOrder")
        tab.press("j", "j", "j", "h")
        assert row(tab, "enrichOrder")["aria-expanded"] == "false"
        assert tab.rows() == [*LABELS[:3], *LABELS[8:]]
        width = tab.page.locator("#rows .row", has_text="enrichOrder").locator(".bar").bounding_box()["width"]
        assert own < 0.1 * width
        assert path_of(tab, "enrichOrder") == pytest.approx(width, abs=1)


def test_keys_move_collapse_expand_and_open_details(browser, written):
    with opened(browser, written(stories.order())) as tab:
        tab.press("j", "ArrowDown", "j")
        assert tab.chosen() == "enrichOrder"
        tab.press("l")
        assert tab.chosen() == LABELS[3]
        tab.press("h")
        assert tab.chosen() == "enrichOrder"
        tab.press("H")
        assert tab.rows() == ["ProcessOrder"]
        assert tab.chosen() == "ProcessOrder"
        tab.press("L", "e")
        assert tab.chosen() == "GET cache:instrument:AAPL"
        assert not tab.page.locator("#details").is_visible()
        tab.press("Enter")
        assert tab.page.locator("#details h2").inner_text() == "GET cache:instrument:AAPL"
        assert 'KeyError: "AAPL"' in tab.page.locator("#details pre").inner_text()
        tab.press("Escape")
        assert not tab.page.locator("#details").is_visible()
        tab.press("?")
        assert tab.page.locator("#keys").is_visible()
        tab.press("Escape")
        assert not tab.page.locator("#keys").is_visible()
        assert tab.page.locator("#scroll").get_attribute("aria-activedescendant") == "row-4"
        assert tab.page.locator("#row-4").get_attribute("aria-selected") == "true"


def test_what_is_focused_can_be_seen(browser, written):
    with opened(browser, written(stories.order())) as tab:
        for _ in range(30):
            tab.press("Tab")
            width = tab.page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
            assert tab.page.evaluate("document.activeElement === document.body") or width == "2px"


def test_details_show_what_is_known_and_step_through_those_alike(browser, written):
    with opened(browser, written(stories.order())) as tab:
        tab.page.locator("#rows .row", has_text="INSERT").click()
        details = tab.page.locator("#details")
        assert "db.system.name\npostgresql" in details.inner_text()
        assert "1152921504606846976" in details.inner_text()
        assert "← slow write, 12% of the trace" in details.inner_text()
        tab.page.locator("#rows .row", has_text="48\u00d7").click()
        assert "1 of 48 alike" in details.inner_text()
        details.get_by_label("The one before").click()
        assert "48 of 48 alike" in details.inner_text()
        assert f"{147:016x}" in details.inner_text()
        tab.page.locator("#rows .row", has_text="POST http").click()
        assert details.locator("a").first.get_attribute("href") == "http://reference-data/v1/instruments/AAPL"
        details.locator("a", has_text=f"{2:016x}").click()
        assert tab.chosen() == "validate"


def test_a_search_finds_names_and_attributes_and_hides_no_ancestor(browser, written):
    with opened(browser, written(stories.order())) as tab:
        tab.press("H", "/")
        tab.page.keyboard.type("POSTGRESQL")
        assert tab.rows() == ["ProcessOrder", "executeOrder", LABELS[10]]
        assert tab.page.locator("#matches").inner_text() == "1/1"
        assert tab.chosen() == LABELS[10]
        tab.page.locator("#search").fill("select")
        assert tab.page.locator("#matches").inner_text() == "1/2"
        tab.press("Enter")
        assert tab.page.locator("#matches").inner_text() == "2/2"
        assert tab.chosen() == LABELS[7]
        tab.press("Escape")
        assert tab.rows() == LABELS


def test_filters_keep_what_they_name_and_what_is_above(browser, written):
    names = [
        ("root", 0, 100, 1),
        ("nobody waits for it", 0, 30, 2, 1),
        ("slow", 0, 99, 3, 1),
        ("short", 99, 99.5, 4, 1),
    ]
    beside = stories.tell([stories.span(*each, trace_id="b" * 32) for each in names])
    with opened(browser, written(stories.order(), beside)) as tab:
        pills = tab.page.locator("[data-filter]")
        assert pills.all_inner_texts() == ["Errors 1", "Critical path 12", "Slow 5"]
        pills.nth(0).click()
        assert tab.rows() == ["ProcessOrder", "enrichOrder", "GET cache:instrument:AAPL"]
        pills.nth(0).click()
        tab.page.locator(".item", has_text="root").click()
        tab.press("c")
        assert pills.nth(1).get_attribute("aria-pressed") == "true"
        assert tab.rows() == ["root", "slow", "short"]
        pills.nth(2).click()
        assert tab.rows() == ["root", "slow"]


def test_dragging_over_the_minimap_looks_closer_and_0_shows_all(browser, written):
    with opened(browser, written(stories.order())) as tab:
        box = tab.page.locator("#minimap").bounding_box()
        tab.page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + 20)
        tab.page.mouse.down()
        tab.page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 20, steps=4)
        tab.page.mouse.up()
        # 45 ms to 90 ms.
        assert tab.page.locator("#axis .tick").first.inner_text() == "50ms"
        assert tab.page.locator("#unzoom").is_visible()
        tab.press("0")
        assert tab.page.locator("#axis .tick").first.inner_text() == "0"
        assert not tab.page.locator("#unzoom").is_visible()


def test_the_theme_is_the_systems_until_one_is_chosen_and_that_is_kept(browser, written):
    background = "getComputedStyle(document.body).backgroundColor"
    path = written(stories.order())
    with opened(browser, path, color_scheme="dark") as tab:
        assert tab.page.evaluate(background) == "rgb(21, 23, 27)"
        tab.press("t")
        assert tab.page.evaluate(background) == "rgb(255, 255, 255)"
        tab.page.reload()
        assert tab.page.evaluate(background) == "rgb(255, 255, 255)"
        tab.press("t")
        assert tab.page.evaluate(background) == "rgb(21, 23, 27)"


def test_an_address_leads_to_a_trace_and_a_span_of_it(browser, written):
    path = written(stories.small(1), stories.order(), stories.small(2))
    with opened(browser, f"{path.as_uri()}#trace={stories.TRACE}&span={8:016x}") as tab:
        assert tab.chosen() == "executeOrder"
        tab.press("j")
        assert tab.page.url.endswith(f"#trace={stories.TRACE}&span={9:016x}")


def test_the_list_orders_filters_and_opens_traces(browser, written):
    path = written(*map(stories.small, range(1, 6)), stories.order())
    with opened(browser, path) as tab:
        names = tab.page.locator("#list .name span:first-child")
        newest = [f"GET /healthz {number}" for number in (5, 4, 3, 2, 1)]
        assert names.all_inner_texts() == [*newest, "ProcessOrder"]
        tab.page.select_option("#list-order", "slowest")
        assert names.all_inner_texts() == ["ProcessOrder", *newest]
        tab.page.locator(".item").first.click()
        assert tab.rows() == LABELS
        tab.page.locator("#list-filter").fill("healthz 3")
        assert names.all_inner_texts() == ["GET /healthz 3"]
        assert tab.page.locator("#list-count").inner_text() == "1 of 6 traces"


def test_a_hostile_trace_runs_nothing_fetches_nothing_and_is_shown_as_it_is(browser, written):
    with opened(browser, written(stories.hostile(), stories.order())) as tab:
        tab.page.locator(".item", has_text="<script>").click()
        assert tab.page.locator("#about h2").inner_text() == stories.SCRIPTS[0]
        assert "</script><script>alert(2)</script>" in tab.rows()
        for index in range(len(stories.SCRIPTS)):
            tab.page.locator(f"#row-{index}").click()
            links = tab.page.locator("#details a").evaluate_all("all => all.map(link => link.protocol)")
            assert set(links) <= {"https:", "file:"}
            tab.press("y", "e")
        tab.page.locator("#search").fill("<script>")
        assert tab.page.locator("#matches").inner_text() != ""
        assert tab.page.evaluate("document.scripts.length") == 2
        assert tab.page.locator("img, svg, iframe, object").count() == 0


def test_the_policy_lets_nothing_be_added_and_nothing_be_fetched(browser, written):
    path = written(stories.order())
    with opened(browser, path) as tab:
        ran = tab.page.evaluate(
            """async () => {
                const script = document.createElement("script");
                script.textContent = "window.ran = true";
                document.body.append(script);
                document.body.setAttribute("onclick", "window.ran = true");
                document.body.click();
                const fetched = await fetch("http://127.0.0.1:9/").then(() => true, () => false);
                return [window.ran === true, fetched];
            }"""
        )
        assert ran == [False, False]
        assert tab.wrongs
        assert all("Content Security Policy" in wrong for wrong in tab.wrongs), tab.wrongs
        tab.wrongs.clear()


def test_20_000_spans_are_drawn_scrolled_and_searched(browser, written):
    with opened(browser, written(stories.large(20_000))) as tab:
        count = tab.page.locator("#rows .row").count()
        assert 0 < count < 200
        assert tab.page.locator("#scroll").get_attribute("aria-rowcount") == "20001"
        tab.page.evaluate("document.getElementById('scroll').scrollTop = 260000")
        tab.page.locator("#row-10000").wait_for()
        tab.press("End")
        assert tab.chosen() == "step 20000"
        assert tab.page.locator("#rows .row").count() < 200
        tab.page.locator("#search").fill("needle-77")
        assert tab.page.locator("#matches").inner_text().endswith("/40")
        tab.press("Enter", "Enter")
        assert tab.page.locator("#matches").inner_text() == "3/40"
        tab.press("Escape", "H")
        assert tab.rows() == ["root"]


def test_a_trace_2_000_deep_is_drawn_and_walked(browser, written):
    with opened(browser, written(stories.large(2_001, depth=2_000))) as tab:
        tab.press("End")
        assert tab.chosen() == "step 2001"
        assert tab.page.locator("#row-2000 .label").bounding_box()["width"] > 40
        assert tab.page.locator("#row-2000 .depth").inner_text() == "2000"
        tab.press("h")
        assert tab.chosen() == "step 2000"


def test_what_was_cut_is_said(browser, written):
    with opened(browser, written(stories.large(20_500))) as tab:
        assert tab.page.locator("#cut").inner_text() == (
            "This trace has 20,500 spans: the 20,000 nearest to its root are here, 500 below them are not."
        )


def test_a_page_of_no_traces_says_so(browser, written):
    with opened(browser, written()) as tab:
        assert tab.page.locator("#empty").inner_text() == "No traces."
        tab.press("j", "e", "Enter", "y", "t")


@pytest.mark.parametrize("width", [360, 700, 1000, 1600])
def test_no_width_scrolls_sideways(browser, written, width):
    with opened(browser, written(stories.order(), stories.small(1)), viewport={"width": width, "height": 700}) as tab:
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.page.locator("#scroll").evaluate("it => it.scrollWidth <= it.clientWidth")


def test_on_paper_all_rows_stand_on_white(browser, written):
    with opened(browser, written(stories.order()), color_scheme="dark") as tab:
        tab.page.emulate_media(media="print")
        assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert tab.page.locator("#row-11").is_visible()
        assert not tab.page.locator(".tools").is_visible()


class Server:
    """A page that is live, from a server of its own."""

    def __init__(self) -> None:
        self.messages: queue.Queue[str | None] = queue.Queue()
        given = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                if self.path == "/":
                    body = page([], "live", {"events": "/events?token=abc"}).encode()
                    self.send_header("Content-Type", "text/html; charset=utf-8")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    return
                assert self.path == "/events?token=abc"
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                while (message := given.messages.get()) is not None:
                    self.wfile.write(message.encode())
                    self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.http.server_port}/"

    def send(self, told: Any) -> None:
        self.messages.put(f"event: trace\ndata: {json.dumps(document(told))}\n\n")

    def close(self) -> None:
        self.messages.put(None)
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()


def test_live_traces_appear_by_themselves_and_move_nothing_that_is_looked_at(browser):
    with serving() as server, opened(browser, server.address) as tab:
        tab.page.locator("#empty").wait_for()
        server.messages.put("event: hello\ndata: {}\n\n")
        tab.page.locator("#live", has_text="live").wait_for()
        server.send(stories.order())
        tab.page.locator("#row-11").wait_for()
        tab.press("j", "j", "j", "h")
        for number in range(1, 41):
            server.send(stories.small(number))
        tab.page.locator("#list-count", has_text="41 traces").wait_for()
        # What is shown stays, and so does what is open and chosen in it.
        assert tab.chosen() == "enrichOrder"
        assert row(tab, "enrichOrder")["aria-expanded"] == "false"
        assert tab.page.locator("#list .item .name span").first.inner_text() == "GET /healthz 40"
        # Who has scrolled down keeps the same ones before the eyes.
        tab.page.locator("#list-scroll").evaluate("it => { it.scrollTop = 520; }")
        before = tab.page.locator(".item", has_text="GET /healthz 20").bounding_box()
        server.send(stories.small(50))
        tab.page.locator("#list-count", has_text="42 traces").wait_for()
        assert tab.page.locator(".item", has_text="GET /healthz 20").bounding_box() == before


def test_a_live_trace_that_grows_takes_the_place_of_what_it_was(browser):
    with serving() as server, opened(browser, server.address) as tab:
        server.send(stories.small(1))
        tab.page.locator("#row-1").wait_for()
        tab.press("j", "j")
        grown = stories.tell(
            [
                stories.span("GET /healthz 1", 1000, 1030, 1, trace_id=f"{1:032x}"),
                stories.span("earlier", 1000.5, 1001, 3, 1, trace_id=f"{1:032x}"),
                stories.span("work", 1001, 1005, 2, 1, trace_id=f"{1:032x}"),
            ]
        )
        server.send(grown)
        tab.page.locator("#row-2").wait_for()
        assert tab.rows() == ["GET /healthz 1", "earlier", "work"]
        assert tab.chosen() == "work"
        assert tab.page.locator("#list-count").inner_text() == "1 trace"


def test_a_server_that_is_gone_is_said_to_be_lost(browser):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving())
        tab = stack.enter_context(opened(browser, server.address))
        server.send(stories.small(1))
        tab.page.locator("#row-1").wait_for()
        server.close()
        tab.page.locator("#live.lost").wait_for()
        assert tab.rows() == ["GET /healthz 1", "work"]
        # The browser itself tells the console that it cannot connect again.
        tab.wrongs[:] = [wrong for wrong in tab.wrongs if "net::ERR" not in wrong]


def grown(*more: Any, root: tuple[float, float] = (1000, 1030), **fields: Any) -> Any:
    """Tell of the trace of `stories.small(1)` with further spans."""
    spans = [
        stories.span("GET /healthz 1", *root, 1, trace_id=f"{1:032x}"),
        stories.span("work", 1001, 1005, 2, 1, trace_id=f"{1:032x}", **fields),
        *(stories.span(*each, trace_id=f"{1:032x}") for each in more),
    ]
    return stories.tell(spans)


def test_what_is_in_sight_stays_where_it_is_when_spans_come_above_it(browser):
    steps = [(f"step {number}", 1006 + number / 10, 1006.1 + number / 10, 10 + number, 1) for number in range(200)]
    earlier = [(f"earlier {number}", 1000.01, 1000.02, 500 + number, 1) for number in range(30)]
    with serving() as server, opened(browser, server.address) as tab:
        server.send(grown(*steps))
        tab.page.locator("#row-201").wait_for()
        tab.page.locator("#scroll").evaluate("it => { it.scrollTop = 2600; }")
        before = tab.page.locator("#rows .row", has_text="step 105").bounding_box()
        server.send(grown(*steps, *earlier))
        tab.page.locator("#row-231").wait_for()
        assert tab.page.locator("#rows .row", has_text="step 105").bounding_box() == before


def test_the_time_in_sight_stays_when_a_span_comes_that_began_earlier(browser):
    with serving() as server, opened(browser, server.address) as tab:
        server.send(grown())
        tab.page.locator("#row-1").wait_for()
        tab.press("j", "j", "z")
        before = tab.page.locator("#row-1 .bar").bounding_box()
        server.send(grown(("new root", 500, 1030, 9), root=(500, 1030)))
        tab.page.locator("#row-2").wait_for()
        assert tab.page.locator("#unzoom").is_visible()
        (after,) = [tab.page.locator("#rows .row", has_text="work").locator(".bar").bounding_box()]
        assert (after["x"], after["width"]) == pytest.approx((before["x"], before["width"]), abs=1)


def test_details_that_are_open_follow_the_span_and_lose_no_marked_text_without_need(browser):
    with serving() as server, opened(browser, server.address) as tab:
        server.send(grown(is_open=True))
        tab.page.locator("#row-1").click()
        details = tab.page.locator("#details")
        assert "4ms so far" in details.inner_text()
        details.locator("h2").evaluate("it => { it.dataset.mark = 'same'; }")
        server.send(grown(("other", 1010, 1020, 3, 1), is_open=True))
        tab.page.locator("#row-2").wait_for()
        assert details.locator("[data-mark]").count() == 1
        server.send(grown(("other", 1010, 1020, 3, 1), attributes={"late": "yes"}))
        details.locator("dt", has_text="late").wait_for()
        assert "so far" not in details.inner_text()


def test_a_thousand_traces_at_once_are_listed_at_once(browser):
    with serving() as server, opened(browser, server.address) as tab:
        for number in range(1, 1501):
            server.send(stories.small(number))
        tab.page.locator("#list-count", has_text="1,000 traces").wait_for()
        tab.page.locator("#list .item", has_text="GET /healthz 1500").wait_for()
        assert tab.page.locator("#list .item").count() < 200


def test_the_oldest_trace_is_kept_while_it_is_shown_and_the_others_make_room(browser):
    with serving() as server, opened(browser, server.address) as tab:
        server.send(stories.order())
        tab.page.locator("#row-11").wait_for()
        for number in range(1, 1101):
            server.send(stories.small(number))
        tab.page.locator("#list .item", has_text="GET /healthz 1100").wait_for()
        tab.page.locator("#list-count", has_text="1,000 traces").wait_for()
        assert tab.rows() == LABELS
        tab.page.locator("#list-filter").fill("ProcessOrder")
        assert tab.page.locator("#list .item").count() == 1


@contextlib.contextmanager
def feeding() -> Iterator[tuple[Any, PageServer]]:
    """Serve the page as `view --serve` does; give what tells it of a story, too."""
    feed = Feed()
    server = PageServer(0, feed, "live")

    def tell(told: Any) -> None:
        shown = document(told)
        feed.tell(shown["trace_id"], json.dumps(shown).encode(), lambda trace: True)

    with loopback.serving(server):
        try:
            yield tell, server
        finally:
            feed.close()


def test_a_live_page_that_is_loaded_again_shows_the_same_trace_again(browser):
    with feeding() as (tell, server), opened(browser, server.url) as tab:
        for told in (*map(stories.small, range(1, 4)), stories.order(), stories.small(9)):
            tell(told)
        tab.page.locator(".item", has_text="ProcessOrder").click()
        tab.page.locator("#row-1").click()
        for _ in range(2):
            tab.page.reload()
            tab.page.locator("#rows [aria-selected=true] .label").wait_for()
            assert tab.chosen() == "validate"


def test_a_page_that_nobody_sees_leaves_its_connection_to_others_and_catches_up(browser):
    hide = """(hidden) => {
        Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with feeding() as (tell, server), contextlib.ExitStack() as stack:
        context = browser.new_context()
        stack.callback(context.close)
        pages = []
        # More than a browser has connections to one server.
        for _ in range(8):
            tab = context.new_page()
            tab.goto(server.url)
            tab.locator("#live.live").wait_for()
            pages.append(tab)
            tab.evaluate(hide, True)
        tell(stories.order())
        pages[0].evaluate(hide, False)
        pages[0].locator("#row-11").wait_for()
        assert pages[1].locator("#empty").is_visible()


def test_a_page_may_begin_in_the_order_that_was_asked_for(browser, tmp_path):
    path = tmp_path / "page.html"
    told = [stories.small(1), stories.order(), stories.small(2)]
    path.write_text(page(map(document, told), "slow ones", order="slowest"), "utf-8")
    with opened(browser, path) as tab:
        names = tab.page.locator("#list .name span:first-child")
        assert names.all_inner_texts() == ["ProcessOrder", "GET /healthz 2", "GET /healthz 1"]
        assert tab.page.locator("#about h2").inner_text() == "ProcessOrder"
        assert tab.page.locator("#list-order").input_value() == "slowest"


def test_durations_are_written_as_in_the_terminal(browser):
    times = [
        digits * 10**power for digits in (0, 1, 9, 10, 99, 104, 949, 995, 9949, 9995, 59949) for power in range(11)
    ]
    script = (files("otel_run.view.page") / "text.js").read_text()
    tab = browser.new_page()
    try:
        written = tab.evaluate(f"(times) => {{ {script}; return times.map(duration); }}", times)
    finally:
        tab.close()
    assert written == [duration(time) for time in times]


def test_the_keyboard_alone_steps_through_those_alike_copies_and_leaves(browser, written):
    with opened(browser, written(stories.order())) as tab:
        tab.page.locator("#rows .row", has_text="48\u00d7").click()
        details = tab.page.locator("#details")
        details.get_by_label("The next one").focus()
        tab.press("Enter", "Enter")
        assert "3 of 48 alike" in details.inner_text()
        tab.page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
        tab.press("y")
        assert json.loads(tab.page.evaluate("window.copied"))["id"] == f"{102:016x}"
        tab.press("Escape")
        tab.press("e", "Enter")
        details.locator("pre").focus()
        tab.press("Escape")
        assert not details.is_visible()


def test_a_label_can_be_read_beside_its_failure_and_its_note(browser, written):
    with opened(browser, written(stories.order(), stories.small(1)), viewport={"width": 1100, "height": 700}) as tab:
        tab.page.locator(".item", has_text="ProcessOrder").click()
        for index in range(len(LABELS)):
            assert tab.page.locator(f"#row-{index} .label").bounding_box()["width"] > 40
