"""What calls look like without their values: which are alike, what a line of them is called, and hostile text."""

from __future__ import annotations

import pytest
import told
from hypothesis import given
from hypothesis import strategies as st

from otel_run.view import shapes
from otel_run.view.span import CLIENT, SERVER, Span
from otel_run.view.tree import Node


def sql(text: str, **more: object) -> Span:
    """Return the span of a statement."""
    return span({"db.system.name": "postgresql", "db.query.text": text, **more})


def redis(text: str) -> Span:
    """Return the span of a command."""
    return span({"db.system.name": "redis", "db.query.text": text})


def get(url: str) -> Span:
    """Return the span of a request."""
    return span({"http.request.method": "GET", "url.full": url})


def span(attributes: dict[str, object], name: str = "name", kind: int = CLIENT) -> Span:
    """Return a span of 1 ms."""
    return Span("t", "s", "", name, told.START, told.START + told.MS, kind, attributes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM t WHERE id = 17 AND name = 'it''s'", "SELECT * FROM t WHERE id = ? AND name = ?"),
        ("SELECT * FROM t2 WHERE a1 > -1.5e+3 AND b = 0xFF", "SELECT * FROM t2 WHERE a1 > ? AND b = ?"),
        ("SELECT a\n\t FROM t -- for 17\nWHERE x=$1 /* trace 9 */", "SELECT a FROM t WHERE x=?"),
        ("SELECT * FROM t WHERE id IN (1, 2 ,3)", "SELECT * FROM t WHERE id IN (?)"),
        ("select * from t where id in (%s,%s)", "select * from t where id IN (?)"),
        ("SELECT * FROM t WHERE id IN (:id_1, :id_2)", "SELECT * FROM t WHERE id IN (?)"),
        ("INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'),(3, E'z')", "INSERT INTO t (a, b) VALUES (?, ?)"),
        ("SELECT a::text, %(from)s", "SELECT a::text, ?"),
        ("SELECT 'never closed 17", "SELECT ?"),
        ("COMMIT", "COMMIT"),
    ],
)
def test_a_statement_has_no_values_in_its_shape(text: str, expected: str) -> None:
    assert shapes.shape(sql(text)) == ("database", "postgresql", expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET product:17", "GET product:{}"),
        ("GET user:7f000001-aaaa-4bbb-8ccc-0123456789ab:name", "GET user:{}:name"),
        ("GET session:deadbeef00112233", "GET session:{}"),
        ("GET cache:instrument:AAPL", "GET cache:instrument:{}"),
        ("SET product:17 ? EX ?", "SET product:{} EX"),
        ("MGET product:1 product:2 product:3", "MGET product:{}"),
        ("GET ?", "GET"),
        ("GET settings", "GET settings"),
    ],
)
def test_a_key_has_no_number_in_its_shape_and_else_not_its_last_part(text: str, expected: str) -> None:
    assert shapes.shape(redis(text)) == ("cache", "redis", expected)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://px/users/17?verbose=1#top", "GET http://px/users/{}"),
        ("http://me:secret@px:8080/v1/users/17/orders", "GET http://px:8080/v1/users/{}/orders"),
        ("http://px/7f000001-aaaa-4bbb-8ccc-0123456789ab.json", "GET http://px/{}.json"),
        ("http://px/blobs/deadbeef00112233", "GET http://px/blobs/{}"),
        ("http://px/v1/instruments/AAPL", "GET http://px/v1/instruments/{}"),
        ("http://px/API/prices", "GET http://px/API/prices"),
        ("http://px", "GET http://px"),
    ],
)
def test_a_url_has_no_ids_in_its_shape(url: str, expected: str) -> None:
    assert shapes.shape(get(url)) == ("http", "", expected)


def test_old_names_and_new_ones_make_the_same_shape() -> None:
    assert shapes.shape(span({"db.system": "postgresql", "db.statement": "SELECT 1"})) == shapes.shape(sql("SELECT 2"))
    assert shapes.shape(span({"db.system": "redis", "db.statement": "GET a:1"})) == shapes.shape(redis("GET a:2"))
    assert shapes.shape(span({"http.method": "GET", "http.url": "http://px/1"})) == shapes.shape(get("http://px/2"))


def test_what_is_no_call_has_its_name_for_a_shape() -> None:
    assert shapes.shape(span({"code.function.name": "orders.save"}, "save")) == ("code", "", "save")
    assert shapes.shape(span({}, "save 17")) == ("", "", "save 17")
    assert shapes.shape(span({"db.system.name": "postgresql"}, "SELECT orders")).text == "SELECT orders"
    assert shapes.shape(span({"db.system.name": "redis"}, "WAIT FOR POOL")).text == "WAIT FOR POOL"


def test_a_request_that_came_in_has_its_route_for_a_shape_and_else_its_path() -> None:
    come = {"http.request.method": "GET", "url.path": "/users/17"}
    assert shapes.shape(span(come, kind=SERVER)).text == "GET /users/{}"
    assert shapes.shape(span({**come, "http.route": "/users/{name}"}, kind=SERVER)).text == "GET /users/{name}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (sql("SELECT * FROM t WHERE id = 1"), sql("SELECT * FROM t WHERE id = 2")),
        (redis("GET product:1"), redis("GET product:2")),
        (get("http://px/users?id=1"), get("http://px/users?id=2")),
        (sql("SELECT ?", **{"db.query.parameter.0": 1}), sql("SELECT ?", **{"db.query.parameter.0": 2})),
    ],
)
def test_values_that_are_told_tell_calls_of_one_shape_apart(one: Span, other: Span) -> None:
    assert shapes.shape(one) == shapes.shape(other)
    assert shapes.values(one) != shapes.values(other)
    assert None not in (shapes.values(one), shapes.values(other))


@pytest.mark.parametrize(
    "masked",
    [
        sql("SELECT * FROM t WHERE id = ?"),
        sql("SELECT $1"),
        sql("SELECT :id"),
        sql("SELECT %s"),
        sql("SELECT :1"),
        sql("SELECT @id"),
        sql("find products"),
        sql("SELECT " + "a" * 4000),
        redis("GET ?"),
        get("http://px/users?token=REDACTED"),
        get("http://px/" + "a" * 4000),
        span({"http.request.method": "POST", "url.full": "http://px/users"}),
        span({}),
    ],
)
def test_values_that_are_masked_are_not_known(masked: Span) -> None:
    assert shapes.values(masked) is None


def test_a_statement_without_any_value_is_known_as_it_is() -> None:
    assert shapes.values(sql("SELECT * FROM settings")) == "SELECT * FROM settings"


def test_a_line_of_many_is_called_by_their_shape_and_by_their_name_where_it_is_the_same() -> None:
    def label(*spans: Span) -> str:
        return shapes.label_of([Node(span) for span in spans])

    assert (
        label(sql("SELECT * FROM t WHERE id = 1"), sql("SELECT * FROM t WHERE id = 2"))
        == "SELECT * FROM t WHERE id = ?"
    )
    assert label(get("http://px/users/1"), get("http://px/users/2")) == "GET http://px/users/{}"
    assert label(redis("GET product:1"), redis("GET product:2")) == "GET product:{}"
    assert label(redis("GET product:1"), redis("GET product:1")) == "GET product:1"
    assert label(span({}, "save"), span({}, "save")) == "save"


PIECES = [
    "'",
    "''",
    "1",
    "1.",
    "1e",
    "a",
    "(",
    "(?",
    ",",
    "/*",
    "--",
    ":",
    "$",
    "%(",
    "VALUES (",
    "IN (?,",
    "\\",
    " ",
    "-",
    "/",
    "f0",
]


@pytest.mark.parametrize("piece", PIECES)
def test_of_a_megabyte_of_anything_only_the_beginning_is_looked_at(piece: str) -> None:
    text = piece * (1_000_000 // len(piece)) + "x"
    for one in (sql(text), redis(text), redis(f"GET {text}"), get(f"http://px/{text}"), get(text), span({}, text)):
        assert len(shapes.shape(one).text) < 10_000
        assert len(shapes.values(one) or "") < 10_000


@given(st.lists(st.sampled_from([*PIECES, "x", "GET "]), max_size=60).map("".join))
def test_whatever_the_text_is_its_numbers_and_strings_are_not_in_its_shape(text: str) -> None:
    found = shapes.without_values(f"{text} 4711 '4712'")
    # An odd quote before it turns everything behind it inside out.
    assert "4712" not in found or "'" in text
    for one in (redis(text), get(text), sql(text)):
        assert shapes.shape(one) == shapes.shape(one)
