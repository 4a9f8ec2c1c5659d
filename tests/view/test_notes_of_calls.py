"""Slow calls, caches that had not got it, waits, first calls and retries: each where it is just true, and just not."""

from __future__ import annotations

from typing import Any

import pytest
import told
from noted import notes, take, within

from otel_run.view.span import CLIENT, CONSUMER, ERROR, PRODUCER
from otel_run.view.tree import traces


@pytest.mark.parametrize(
    ("add", "limit", "note"),
    [
        (lambda to, end: to[0].sql("SELECT a", 0, end, to[1]), 50, "slow query"),
        (lambda to, end: to[0].sql("UPDATE a SET b = ?", 0, end, to[1]), 50, "slow write"),
        (lambda to, end: to[0].sql("COMMIT", 0, end, to[1]), 50, "slow write"),
        (lambda to, end: to[0].redis("GET a", 0, end, to[1]), 5, "slow cache"),
        (lambda to, end: to[0].call("GET", "http://px/", 0, end, to[1]), 200, "slow downstream"),
        (lambda to, end: remote(to, "rpc.system", CLIENT, end), 200, "slow downstream"),
        (lambda to, end: remote(to, "messaging.system", PRODUCER, end), 100, "slow broker"),
    ],
)
def test_a_call_is_slow_from_its_categorys_threshold_on(add: Any, limit: float, note: str) -> None:
    for end, expected in ((limit, [f"{note}, 91% of the trace"]), (limit - 0.001, [])):
        to = within(limit * 1.1)
        add(to, end)
        assert list(notes(to[0]).values()) == expected


def remote(to: tuple[told.Spans, str], mark: str, kind: int, end: float) -> None:
    """Add a remote call or a message."""
    to[0].add("call", 0, end, to[1], kind=kind, attributes={mark: "some"})


def test_thresholds_are_the_callers() -> None:
    assert notes(told.order(), http=10**12, database=2_000_000, cache=10**12) == {
        "GET cache:instrument:AAPL": "cache miss",
        "INSERT INTO orders (id, side, qty, px) VALUES (?, ?, ?, ?)": "slow write, 12% of the trace",
    }


@pytest.mark.parametrize(("whole", "expected"), [(1200, {"SELECT a": "slow query, 5% of the trace"}), (1201, {})])
def test_what_is_slow_is_worth_a_word_from_a_twentieth_of_the_trace_on(whole: float, expected: dict[str, str]) -> None:
    spans, root = within(whole)
    for start in range(0, 1140, 60):
        spans.code(f"step{start}", start + 60, start + 120, root)
    spans.sql("SELECT a", 0, 60, root)
    assert notes(spans) == expected


def test_what_nobody_waited_for_is_not_why_it_was_slow() -> None:
    spans, root = within(300)
    spans.code("long", 0, 300, root, lane="job-1")
    spans.sql("SELECT a", 10, 100, root, lane="job-2")
    assert "SELECT a" not in notes(spans)


def test_a_consumer_and_a_server_are_not_slow_calls() -> None:
    spans, root = within(300)
    spans.add("process a", 0, 300, root, kind=CONSUMER, attributes={"messaging.system": "kafka"})
    assert notes(spans) == {}
    spans = told.Spans()
    spans.served("GET", "/", 0, 300)
    assert notes(spans) == {}


def test_a_slow_call_with_a_slow_part_is_told_only_where_the_rest_is_a_twentieth() -> None:
    def trace(inner: float) -> dict[str, str]:
        spans, root = within(1000)
        call = spans.call("GET", "http://px/", 0, 1000, root)
        spans.sql("SELECT a", 0, inner, spans.served("GET", "/", 0, 1000, call, process="px-1"), process="px-1")
        return {about: note for about, note in notes(spans).items() if "own time" not in note}

    assert trace(951) == {"SELECT a": "slow query, 95% of the trace"}
    assert trace(950) == {
        "SELECT a": "slow query, 95% of the trace",
        "http://px/": "slow downstream, 100% of the trace",
    }


def test_of_several_on_a_line_it_is_told_how_many_were_slow() -> None:
    spans, root = within(120)
    for start, end in ((0, 10), (10, 60), (60, 69.9)):
        spans.sql("SELECT a", start, end, root)
    assert notes(spans)["SELECT a"] == "slow query (1 of 3), 58% of the trace"


def test_a_cache_that_had_it_is_not_a_miss() -> None:
    spans, root = within(2)
    spans.redis("GET a", 0, 1, root, rows=1)
    spans.redis("GET b", 1, 1.5, root)
    assert notes(spans) == {}


@pytest.mark.parametrize(
    ("write", "start", "expected"),
    [
        ("SET a ?", 1, "cache miss, then filled"),
        ("SETEX a ? ?", 1.5, "cache miss, then filled"),
        ("SET a ?", 0.9, "cache miss"),
        ("SET b ?", 1, "cache miss"),
        ("DEL a", 1, "cache miss"),
    ],
)
def test_a_miss_is_filled_if_its_key_is_set_after_it(write: str, start: float, expected: str) -> None:
    spans, root = within(3)
    spans.redis("GET a", 0, 1, root, rows=0)
    spans.redis(write, start, 2, root)
    assert notes(spans) == {"GET a": expected}


def test_a_masked_key_is_nobodys() -> None:
    spans, root = within(3)
    spans.redis("GET ?", 0, 1, root, rows=0)
    spans.redis("SET ? ?", 1, 2, root)
    assert notes(spans) == {"GET ?": "cache miss"}


def test_of_several_on_a_line_it_is_told_how_many_missed() -> None:
    spans, root = within(3)
    for number in range(3):
        spans.redis(f"GET a:{number}", number, number + 1, root, rows=number % 2)
    assert notes(spans) == {"GET a:0": "2 of 3 missed"}


@pytest.mark.parametrize(("name", "kind"), [("WAIT FOR POOL", 1), ("CONNECT orders", CLIENT)])
def test_waiting_for_a_connection_is_told_from_10_ms_on(name: str, kind: int) -> None:
    for end, expected in ((10, {name: "waited 10ms for a connection, 91% of the trace"}), (9.999, {})):
        spans, root = within(11)
        spans.add(name, 0, end, root, kind=kind, attributes={"db.system.name": "postgresql"})
        assert notes(spans) == expected


def test_a_short_wait_in_a_long_trace_is_not_worth_a_word() -> None:
    spans, root = within(201)
    spans.add("WAIT FOR POOL", 0, 10, root, attributes={"db.system.name": "postgresql"})
    spans.code("rest", 10, 201, root)
    assert notes(spans) == {}


def called(*calls: tuple[str, float, float, int], lanes: str = "aaaaaa", **attributes: int) -> list[str]:
    """Return the notes, in the order of the spans, of requests (path, start, end, answer) in 100 ms."""
    spans, root = within(100)
    for (path, start, end, answer), lane in zip(calls, lanes, strict=False):
        spans.call("GET", f"http://px/{path}", start, end, root, answer, lane=lane, attributes=attributes)
    spans.code("rest", 50, 100, root)
    trace = traces(spans)[0]
    taken = take(trace)
    return [", ".join(taken[node].parts) if node in taken else "" for node in trace.nodes()][1:-1]


def test_a_call_after_the_same_one_that_failed_is_a_retry() -> None:
    path = ", on the critical path"
    assert called(("a", 0, 10, 503), ("a", 12, 20, 503), ("a", 30, 50, 200)) == [
        "",
        f"retry 1 of the call above{path}",
        f"retry 2 of the call above{path}",
    ]
    assert called(("a", 0, 10, 200), ("a", 12, 20, 200)) == ["", ""]
    assert called(("a", 0, 10, 503), ("b", 12, 20, 200)) == ["", ""]
    assert called(("a", 0, 10, 503), ("a", 12, 20, 200), lanes="ab") == ["", ""]
    # It was sent before the first one had failed.
    assert called(("a", 0, 10, 503), ("a", 5, 20, 200)) == ["", ""]


def test_a_client_that_says_that_it_sends_again_is_believed_unless_it_was_sent_elsewhere() -> None:
    again = {"http.request.resend_count": 2}
    assert called(("a", 0, 10, 200), ("a", 12, 20, 200), **again)[1].startswith("retry 2 of the call above")
    assert called(("a", 0, 10, 301), ("a", 12, 20, 200), **again) == ["", ""]


def test_a_query_of_which_the_values_are_masked_is_only_said_to_be_alike() -> None:
    def asked(*failed: bool) -> list[str]:
        spans, root = within(10)
        for number, has_failed in enumerate(failed):
            spans.sql("SELECT ?", number, number + 1, root, status=ERROR * has_failed)
        return [note for note in notes(spans).values() if "own time" not in note]

    assert asked(True, True, False) == ["after 2 alike that failed, on the critical path"]
    assert asked(True, False, False) == []


@pytest.mark.parametrize(("answer", "is_retry"), [(503, True), (429, True), (408, True), (404, False), (409, False)])
def test_asking_again_whether_something_is_there_by_now_is_no_retry(answer: int, is_retry: bool) -> None:
    assert called(("a", 0, 10, answer), ("a", 12, 20, 200)) == [
        "",
        "retry 1 of the call above, on the critical path" * is_retry,
    ]


def test_a_post_after_one_that_failed_may_have_sent_something_else() -> None:
    spans, root = within(30)
    spans.call("POST", "http://px/a", 0, 10, root, 503)
    spans.call("POST", "http://px/a", 12, 28, root)
    assert list(notes(spans).values()) == ["after 1 alike that failed, on the critical path"]


@pytest.mark.parametrize(("command", "expected"), [("BLPOP a ?", []), ("LPOP a", ["slow cache, 91% of the trace"])])
def test_a_command_that_waits_for_something_to_come_is_not_slow(command: str, expected: list[str]) -> None:
    spans, root = within(110)
    spans.redis(command, 0, 100, root)
    assert list(notes(spans).values()) == expected


@pytest.mark.parametrize(
    ("end", "attributes", "fields", "expected"),
    [
        (100, {}, {}, "no answer recorded"),
        (200, {}, {}, "slow downstream, no answer recorded, 95% of the trace"),
        (100, {"http.response.status_code": 200}, {}, None),
        (100, {"http.status_code": 204}, {}, None),
        (100, {}, {"status": ERROR}, None),
        (100, {}, {"is_open": True}, None),
        (100, {"db.system.name": "elasticsearch"}, {}, "slow query, 91% of the trace"),
    ],
)
def test_a_request_with_neither_an_answer_nor_an_error_was_given_up(
    end: float, attributes: dict[str, Any], fields: dict[str, Any], expected: str | None
) -> None:
    spans, root = within(end + 10)
    asked = {"http.request.method": "GET", "url.full": "http://px/", **attributes}
    spans.add("GET", 0, end, root, kind=CLIENT, attributes=asked, **fields)
    assert notes(spans).get("http://px/") == expected


@pytest.mark.parametrize(
    ("first", "later", "path", "expected"),
    [
        (20, [6.66, 6.66, 6.66], "", "first call (connect), 20ms, the later ones 6.7ms"),
        (20, [6.67, 6.67, 6.67], "", None),
        (19.9, [1, 1, 1], "", None),
        (20, [1, 1], "", None),
        # Other requests may simply take longer.
        (20, [1, 1, 1], "a", None),
    ],
)
def test_the_first_call_to_a_host_is_told_if_it_took_three_times_as_long(
    first: float, later: list[float], path: str, expected: str | None
) -> None:
    spans, root = within(100)
    at = 0.0
    for number, took in enumerate([first, *later]):
        spans.call("GET", f"http://px/{path}{number}", at, at + took, root)
        at += took
    assert notes(spans).get(f"http://px/{path}0") == expected


def test_only_over_https_there_is_tls() -> None:
    spans, root = within(100)
    for number in range(4):
        spans.call("GET", f"https://px/{number}", 40 * (number > 0) + number, 40 + number, root)
    assert notes(spans)["https://px/0"].startswith("first call (connect + TLS), 40ms")
