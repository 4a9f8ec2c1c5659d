"""Calls that are alike, and requests that waited for each other: each note where it is just true, and just not."""

from __future__ import annotations

import pytest
from noted import notes, within


def repeated(*texts: str, each: float = 0.1) -> dict[str, str]:
    """Return the notes of statements that follow each other."""
    spans, root = within(len(texts) * each)
    for number, text in enumerate(texts):
        spans.sql(text, number * each, (number + 1) * each, root)
    return notes(spans)


def test_five_queries_that_are_alike_are_an_n_plus_one() -> None:
    assert repeated(*["SELECT ?"] * 5) == {"SELECT ?": "N+1: 5 alike"}
    assert repeated(*["SELECT ?"] * 4) == {}


def test_they_need_not_follow_each_other_and_are_told_where_most_of_them_are() -> None:
    assert repeated("SELECT ?", "UPDATE a", *["SELECT ?"] * 3, "UPDATE b", "SELECT ?") == {"SELECT ?": "N+1: 5 alike"}
    pattern = repeated(*["SELECT a = ?", "SELECT b = ?"] * 6)
    assert pattern == {"SELECT a = ?": "N+1: 6 alike", "SELECT b = ?": "N+1: 6 alike"}


def test_the_same_query_is_not_an_n_plus_one_but_one_too_many() -> None:
    assert repeated(*["SELECT 17"] * 5) == {"SELECT 17": "same query 5 times"}
    assert repeated(*["SELECT 17"] * 4, "SELECT 18") == {"SELECT 17": "N+1: 5 alike"}


def test_what_begins_and_ends_transactions_is_none() -> None:
    assert repeated(*["BEGIN", "INSERT INTO a VALUES (?)", "COMMIT"] * 5) == {
        "INSERT INTO a VALUES (?)": "5 alike, one by one"
    }


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT a FROM b WHERE id IN (?, ?, ?)",
        "SELECT a FROM b WHERE id IN (%(id_1)s::INTEGER, %(id_2)s::INTEGER)",
        "SELECT a FROM b WHERE id = ANY(%s)",
        "SELECT a FROM b ORDER BY id LIMIT ? OFFSET ?",
        "FETCH FORWARD ? FROM c",
        "SELECT a FROM jobs LIMIT ? FOR UPDATE SKIP LOCKED",
    ],
)
def test_a_loop_over_what_asks_for_many_at_once_is_as_it_should_be(statement: str) -> None:
    assert repeated(*[statement] * 6) == {}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("GET a:{}", "N+1: 6 alike"),
        ("SET a:{} ?", "6 alike, one by one"),
        ("MGET a:{} b:{}", None),
        ("SCAN ?", None),
        ("BLPOP queue ?", None),
        ("LPOP queue", None),
        ("RPUSH log ?", "same key 6 times"),
    ],
)
def test_so_is_a_loop_over_many_keys_at_once_and_over_a_queue(command: str, expected: str | None) -> None:
    spans, root = within(6)
    for number in range(6):
        spans.redis(command.format(number, number), number, number + 0.1, root)
    assert notes(spans).get(command.format(0, 0)) == expected


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "users/{}", "N+1: 6 alike"),
        ("GET", "users?id={}", "N+1: 6 alike"),
        ("GET", "users?page={}", None),
        ("GET", "users?token=REDACTED&{}", "N+1: 6 alike"),
        ("GET", "users", "same request 6 times"),
        ("POST", "users", "6 alike, one by one"),
    ],
)
def test_pages_and_what_is_sent_are_no_n_plus_one(method: str, path: str, expected: str | None) -> None:
    spans, root = within(6)
    for number in range(6):
        spans.call(method, f"http://px/{path.format(number)}", number, number + 0.1, root)
    assert notes(spans).get(f"http://px/{path.format(0)}") == expected


def test_a_batch_is_no_part_of_an_n_plus_one() -> None:
    spans, root = within(6)
    for number in range(6):
        spans.sql("INSERT INTO a VALUES (?)", number, number + 0.1, root)
        spans[-1].attributes = {**spans[-1].attributes, "db.operation.batch.size": 50}
    assert notes(spans) == {}


def test_a_request_that_is_sent_elsewhere_is_one_request() -> None:
    spans, root = within(300)
    for number in range(6):
        again = {"http.request.resend_count": number} if number else {}
        spans.call("GET", f"http://px/{number}", number * 50, number * 50 + 50, root, 302, attributes=again)
    spans.call("GET", "http://px/6", 299, 300, root, attributes={"http.request.resend_count": 6})
    assert notes(spans) == {}
    for span in spans[1:]:
        # Not everybody counts.
        span.attributes = {name: value for name, value in span.attributes.items() if "resend" not in name}
    assert "main" not in notes(spans)


def test_keys_and_requests_are_counted_like_queries() -> None:
    spans, root = within(10)
    for number in range(5):
        spans.redis("GET settings", number, number + 0.2, root)
        spans.redis(f"GET product:{number}", number + 0.2, number + 0.4, root, rows=number % 2)
        spans.call("GET", f"http://px/users/{number}", number + 0.4, number + 0.6, root)
        spans.call("GET", "http://px/rates", number + 0.6, number + 0.8, root)
    assert notes(spans) == {
        "GET settings": "same key 5 times",
        "GET product:0": "N+1: 5 alike, 3 missed",
        "http://px/users/0": "N+1: 5 alike",
        "http://px/rates": "same request 5 times",
    }


def test_many_functions_that_each_ask_once_are_told_at_the_question() -> None:
    def asked(times: int) -> dict[str, str]:
        spans, root = within(10)
        for number in range(times):
            spans.sql("SELECT ?", number, number + 1, spans.code("price", number, number + 1, root))
        return notes(spans)

    assert asked(5)["SELECT ?"] == "N+1: 5 alike"
    assert "SELECT ?" not in asked(4)


def test_many_functions_are_not_calls() -> None:
    spans, root = within(10)
    for number in range(10):
        spans.code("price", number, number + 1, root)
    assert notes(spans) == {}


def test_of_many_the_slowest_is_told_if_it_was_slow() -> None:
    spans, root = within(100)
    for number in range(5):
        spans.sql("SELECT ?", number, number + 1 + 49 * (number == 4), root)
    assert notes(spans)["SELECT ?"] == "N+1: 5 alike, slowest 50ms"


@pytest.mark.parametrize(
    ("method", "times", "whole", "expected"),
    [
        ("GET", 3, 500, "3 requests one after another took 150ms, maybe in parallel 50ms"),
        ("GET", 3, 501, None),
        ("GET", 2, 200, None),
        ("POST", 3, 500, None),
    ],
)
def test_requests_that_wait_for_each_other_may_be_independent(
    method: str, times: int, whole: float, expected: str | None
) -> None:
    spans, root = within(whole)
    for number in range(times):
        spans.call(method, f"http://px/{'abc'[number]}", number * 50, number * 50 + 50, root)
    spans.code("rest", times * 50, whole, root)
    assert notes(spans).get("main") == expected


def test_requests_that_overlap_did_not_wait_for_each_other() -> None:
    spans, root = within(150)
    for number in range(3):
        spans.call("GET", f"http://px/{'abc'[number]}", number * 40, number * 40 + 50, root)
    assert "one after another" not in notes(spans).get("main", "")
