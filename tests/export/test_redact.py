"""The last gate: no secret of any span leaves, whoever made it, and nothing else about the span changes."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import EventBase, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from otel_run import boundary, report, settings
from otel_run.export import redact
from otel_run.tracing.provider import Provider
from otel_run.tracing.span import Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.program import Traced

AWS = "https://s3/b?X-Amz-Signature=s3cret&X-Amz-Date=d"
ELSEWHERE = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))


def _gate(given: str = "", **env: str) -> Callable[[ReadableSpan], ReadableSpan]:
    found, problems = settings.read({"OTEL_RUN_REDACT": given, **env}, lambda group: [])
    assert problems == []
    return redact.build(found)


def _span(
    name: str = "span",
    attributes: dict[str, Any] | None = None,
    *,
    event: tuple[str, dict[str, Any]] | None = None,
    status: Status | None = None,
    links: tuple[Link, ...] = (),
    limits: SpanLimits | None = None,
) -> ReadableSpan:
    """Return an ended span as processors get it."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=limits)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = provider.get_tracer("somebody", "1").start_span(name, attributes=attributes, links=links)
    if event is not None:
        span.add_event(*event)
    if status is not None:
        span.set_status(status)
    span.end()
    (ended,) = exporter.get_finished_spans()
    return ended


def _masked(attributes: dict[str, Any], given: str = "", **env: str) -> dict[str, Any]:
    return dict(_gate(given, **env)(_span(attributes=attributes)).attributes or {})


@pytest.mark.parametrize(
    ("name", "beside", "value", "masked"),
    [
        ("db.query.text", {}, "SELECT * FROM t WHERE a = 's3cret'", "SELECT * FROM t WHERE a = ?"),
        ("db.statement", {}, "SELECT 1", "SELECT ?"),
        ("db.statement", {"db.system": "mysql"}, 'SELECT "s3cret"', "SELECT ?"),
        ("db.statement", {"db.system": "postgresql"}, 'SELECT "name"', 'SELECT "name"'),
        ("db.statement", {"db.system": "mssql"}, "SELECT [it's]", "SELECT [it's]"),
        ("db.query.text", {"db.system.name": "redis"}, "SET key s3cret", "SET key ?"),
        ("db.statement", {"db.system": "redis"}, "SET ? ?", "SET ? ?"),
        ("db.statement", {"db.system": "mongodb"}, '{"find": "s3cret"}', '{"find": ?}'),
        ("db.connection_string", {}, "Server=h;Password=s3cret;User=u", "Server=h;Password=REDACTED;User=u"),
        ("url.full", {}, "http://me:s3cret@h/?a=1", "http://REDACTED:REDACTED@h/?a=1"),
        ("url.full", {}, AWS, "https://s3/b?X-Amz-Signature=REDACTED&X-Amz-Date=d"),
        ("url.query", {}, "token=s3cret&a=1", "token=REDACTED&a=1"),
        ("url.query", {}, "token=s3cret&next=/a?b", "token=REDACTED&next=/a?b"),
        ("url.path", {}, "/a/b", "/a/b"),
        ("http.url", {}, AWS, "https://s3/b?X-Amz-Signature=REDACTED&X-Amz-Date=d"),
        ("http.target", {}, "/x?api_key=s3cret", "/x?api_key=REDACTED"),
        ("http.request.header.authorization", {}, ("Bearer s3cret",), ("[REDACTED]",)),
        ("http.request.header.x_api_key", {}, ("s3cret", "s3cret"), ("[REDACTED]", "[REDACTED]")),
        ("http.response.header.set-cookie", {}, ("a=s3cret",), ("[REDACTED]",)),
        ("http.request.header.accept", {}, ("text/html",), ("text/html",)),
        ("http.response.header.location", {}, ("/x?token=s3cret",), ("/x?token=REDACTED",)),
        ("rpc.grpc.request.metadata.authorization", {}, ("s3cret",), ("[REDACTED]",)),
        ("job.callback", {}, "http://me:s3cret@h/", "http://REDACTED:REDACTED@h/"),
        ("db.statement", {}, b"SELECT 's3cret'", b"SELECT ?"),
        ("url.full", {}, b"http://u:s3cret@h/\xff", b"http://REDACTED:REDACTED@h/\xff"),
        ("job.bytes", {}, b"\xff\xfe", b"\xff\xfe"),
        ("job.urls", {}, (("http://u:s3cret@h/",), 1), (("http://REDACTED:REDACTED@h/",), 1)),
        ("job.map", {}, {"url": "http://u:s3cret@h/", "n": 1}, {"url": "http://REDACTED:REDACTED@h/", "n": 1}),
        ("job.map", {}, {"url.query": "token=s3cret"}, {"url.query": "token=REDACTED"}),
        ("http.request.header.cookie", {}, {"a": b"s3cret"}, {"a": b"[REDACTED]"}),
        ("job.path", {}, "/x?token=s3cret", "/x?token=REDACTED"),
        ("net.peer.name", {}, "u:s3cret@h:1", "REDACTED:REDACTED@h:1"),
        ("db.connection_string", {}, "u:s3cret@tcp(h:3306)/db", "REDACTED:REDACTED@tcp(h:3306)/db"),
        ("db.connection_string", {}, "Pwd={a;s3cret};AccountKey=s3cret", "Pwd=REDACTED;AccountKey=REDACTED"),
        ("db.statement.parameters", {}, "('s3cret', 5)", "(?, ?)"),
        ("db.query.parameter.0", {}, "s3cret", "?"),
        ("db.operation.name", {}, "select's3cret'", "select?"),
        ("job.title", {}, "it's 'quoted', 5 = 5", "it's 'quoted', 5 = 5"),
        ("job.number", {}, 5, 5),
        ("job.list", {}, (1, 2), (1, 2)),
    ],
)
def test_each_attribute_leaves_without_its_secrets(name: str, beside: dict[str, Any], value: Any, masked: Any) -> None:
    assert _masked({name: value, **beside}) == {name: masked, **beside}
    assert _masked({name: masked, **beside}) == {name: masked, **beside}


def test_a_span_without_secrets_leaves_as_it_is_and_one_with_some_as_a_copy() -> None:
    plain = _span("GET /", {"url.full": "http://h/?a=1", "db.query.text": "SELECT a FROM t WHERE b = %s"})
    assert _gate()(plain) is plain
    link = Link(ELSEWHERE, {"url.full": "http://u:s3cret@h/", "n": 1})
    limits = SpanLimits(max_span_attributes=2, max_events=1)
    given = _span(
        "SELECT",
        {"dropped": 1, "db.statement": "SELECT 's3cret'", "n": 1},
        event=("exception", {"exception.message": "no luck at http://u:s3cret@h/", "n": 1}),
        status=Status(StatusCode.ERROR, "at http://u:s3cret@h/"),
        links=(link,),
        limits=limits,
    )
    before = given.to_json()
    masked = _gate()(given)
    assert given.to_json() == before, "the program's own processors have it too"
    assert "s3cret" not in masked.to_json()
    assert json.loads(masked.to_json()) == json.loads(
        before.replace("u:s3cret@", "REDACTED:REDACTED@").replace("'s3cret'", "?")
    )
    assert masked.dropped_attributes == given.dropped_attributes == 1
    assert (masked.dropped_events, masked.dropped_links) == (0, 0)
    assert isinstance(masked, ReadableSpan)
    assert masked.resource is given.resource
    assert masked.context is given.context


def test_how_many_events_were_dropped_is_still_known() -> None:
    provider = TracerProvider(span_limits=SpanLimits(max_events=1))
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = provider.get_tracer("somebody").start_span("span")
    for number in range(3):
        span.add_event("exception", {"exception.message": f"{number} http://u:s3cret@h/"})
    span.end()
    masked = _gate()(exporter.get_finished_spans()[0])
    assert masked.dropped_events == 2
    (event,) = masked.events
    assert event.attributes == {"exception.message": "2 http://REDACTED:REDACTED@h/"}
    assert event.timestamp == exporter.get_finished_spans()[0].events[0].timestamp


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("GET http://u:s3cret@h/?token=s3cret", "GET http://REDACTED:REDACTED@h/?token=REDACTED"),
        ("GET /x?token=s3cret", "GET /x?token=REDACTED"),
        ("SELECT 's3cret'", "SELECT ?"),
        ("'s3cret'", "?"),
        ("it's 'mine'", "it's 'mine'"),
    ],
)
def test_a_name_that_is_a_url_or_the_statement_is_masked(name: str, masked: str) -> None:
    assert _gate()(_span(name, {"db.statement": "SELECT 's3cret'"})).name == masked


def test_errors_of_databases_leave_without_their_values() -> None:
    text = 'duplicate key value violates unique constraint "u"\nDETAIL:  Key (email)=(s3cret) already exists.'
    event = {"exception.type": "asyncpg.UniqueViolationError", "exception.message": text}
    stacktrace = f"Traceback (most recent call last):\n  x('code')\nasyncpg.UniqueViolationError: {text}\n"
    given = _span(
        attributes={"db.system": "postgresql"},
        event=("exception", {**event, "exception.stacktrace": stacktrace}),
        status=Status(StatusCode.ERROR, f"UniqueViolationError: {text}"),
    )
    masked = _gate()(given)
    assert "s3cret" not in masked.to_json()
    shown = 'duplicate key value violates unique constraint "u"\nDETAIL: ?'
    assert dict(masked.events[0].attributes or {}) == {
        "exception.type": "asyncpg.UniqueViolationError",
        "exception.message": shown,
        "exception.stacktrace": stacktrace.replace(text, shown),
    }
    assert masked.status.description == f"UniqueViolationError: {shown}"


def test_patterns_of_the_users_mask_in_every_text() -> None:
    given = _span(
        "card 4111111111111111",
        {"note": "4111111111111111 and 42", "list": ("4111111111111111", "x"), "number": 4111111111111111},
        event=("seen 1", {"note": "4111111111111111"}),
        status=Status(StatusCode.ERROR, "4111111111111111"),
        links=(Link(ELSEWHERE, {"note": "4111111111111111"}),),
    )
    masked = _gate(r"\d{16,19},nothing")(given)
    assert masked.name == "card REDACTED"
    assert dict(masked.attributes or {}) == {
        "note": "REDACTED and 42",
        "list": ("REDACTED", "x"),
        "number": 4111111111111111,
    }
    assert dict(masked.events[0].attributes or {}) == {"note": "REDACTED"}
    assert dict(masked.links[0].attributes or {}) == {"note": "REDACTED"}
    assert masked.status.description == "REDACTED"


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [("a*", "xREDACTEDb REDACTED"), ("|", "xaab REDACTED"), ("(?=a)", "xaab REDACTED"), ("E", "xaab REDACTED"),
     ("[a-z]", "REDACTEDREDACTEDREDACTEDREDACTED REDACTED"), ("^.", "REDACTEDaab REDACTED")],
)  # fmt: skip
def test_a_pattern_that_finds_nothing_or_what_is_masked_already_changes_nothing(pattern: str, shown: str) -> None:
    assert _masked({"note": "xaab REDACTED"}, pattern) == {"note": shown}
    assert _masked({"note": shown}, pattern) == {"note": shown}


def test_the_description_of_a_span_around_a_database_error_has_none_of_its_values() -> None:
    text = 'invalid input syntax for type integer: "s3cret"'
    given = _span(
        event=("exception", {"exception.type": "psycopg2.errors.InvalidText", "exception.message": text}),
        status=Status(StatusCode.ERROR, f"InvalidText: {text}"),
    )
    assert _gate()(given).status.description == "InvalidText: invalid input syntax for type integer: ?"


def test_an_event_is_named_without_secrets_and_the_resource_tells_none() -> None:
    resource = Resource({"process.command_args": ("app", "postgresql://u:s3cret@h/"), "service.name": "app"})
    provider, exporter = TracerProvider(resource=resource), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for _ in range(2):
        with provider.get_tracer("somebody").start_as_current_span("span") as span:
            span.add_event("GET http://u:s3cret@h/", {"n": 1})
    gate = _gate("key:name")
    first, second = (gate(span) for span in exporter.get_finished_spans())
    assert first.events[0].name == "GET http://REDACTED:REDACTED@h/"
    assert first.resource is second.resource
    assert first.resource.attributes == {
        **resource.attributes,
        "process.command_args": ("app", "postgresql://REDACTED:REDACTED@h/"),
    }


def test_patterns_for_names_mask_attributes_parameters_and_headers() -> None:
    attributes = {
        "user.email": "bob@example.com",
        "url.full": "http://h/?Customer=7&a=1",
        "url.query": "customer=7",
        "http.request.header.x-customer": ("7", "8"),
        "enduser.id": "e",
    }
    assert _masked(attributes, r"key:\bemail$,key:customer") == {
        "user.email": "REDACTED",
        "url.full": "http://h/?Customer=REDACTED&a=1",
        "url.query": "customer=REDACTED",
        "http.request.header.x-customer": ("REDACTED",),
        "enduser.id": "e",
    }


def test_patterns_for_names_mask_parameters_in_whatever_quotes_a_url() -> None:
    given = _span(
        "GET http://h/?customer=7",
        {"http.response.header.location": ("/x?customer=7",), "note": "see http://h/?customer=7"},
        event=("exception", {"exception.message": "no luck with /?customer=7 (customer=7 is no parameter)"}),
        status=Status(StatusCode.ERROR, "no luck with /?customer=7"),
    )
    masked = _gate("key:customer")(given)
    assert "customer=7" not in masked.to_json().replace("(customer=7 is", "")
    assert masked.to_json().count("?customer=REDACTED") == 5


def test_off_is_off_and_told_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "notes", [])
    given = _span("SELECT 's3cret'", {"db.statement": "SELECT 's3cret'", "url.full": AWS})
    assert _gate("OFF")(given) is given
    assert report.notes == [("masking", "off", "OTEL_RUN_REDACT=off; SQL, URLs and headers leave as they are")]


def test_names_of_keys_are_masked_on_request() -> None:
    attributes = {"db.system": "redis", "db.statement": "GET user:1"}
    assert _masked(attributes)["db.statement"] == "GET user:1"
    assert _masked(attributes, OTEL_RUN_REDIS_KEYS="mask")["db.statement"] == "GET ?"


def test_a_span_that_cannot_be_masked_leaves_without_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strange(dict[str, Any]):
        def items(self) -> Any:
            raise LookupError("strange")

    errors: list[str] = []
    monkeypatch.setattr(boundary, "strict", False)
    monkeypatch.setattr(boundary, "_listeners", [lambda unit, error: errors.append(f"{unit}: {error}")])
    given = _span("s3cret", {"a": "s3cret"})
    strange = ReadableSpan("s3cret", given.context, attributes=Strange(a="s3cret"), kind=given.kind)
    masked = _gate()(strange)
    assert errors == ["masking: strange"]
    assert "s3cret" not in masked.to_json()
    assert (masked.context, masked.kind, masked.attributes) == (given.context, given.kind, {})


def test_a_span_that_computes_its_attributes_is_masked_of_what_it_computes() -> None:
    class Signed(ReadableSpan):
        @property
        def attributes(self) -> Any:
            return {"url.full": "http://u:s3cret@h/", "n": 1}

        @property
        def name(self) -> str:
            return "GET http://u:s3cret@h/"

    masked = _gate()(Signed("GET", ELSEWHERE, resource=Resource({})))
    assert masked.name == "GET http://REDACTED:REDACTED@h/"
    assert dict(masked.attributes or {}) == {"url.full": "http://REDACTED:REDACTED@h/", "n": 1}
    assert masked.context is ELSEWHERE


def test_an_event_that_computes_what_it_tells_is_masked_of_it() -> None:
    class Lazy(EventBase):
        @property
        def attributes(self) -> Any:
            return {"url.full": "http://u:s3cret@h/"}

    given = ReadableSpan("span", ELSEWHERE, resource=Resource({}), events=(Lazy("seen", 5),))
    (event,) = _gate()(given).events
    assert (event.name, event.timestamp) == ("seen", 5)
    assert event.attributes == {"url.full": "http://REDACTED:REDACTED@h/"}


def test_what_the_sdk_has_not_looked_at_is_masked_and_harms_nothing() -> None:
    attributes: Any = {
        "queue": deque(["http://u:s3cret@h/"]),
        "map": {1: "http://u:s3cret@h/", "http.request.header.cookie": "s3cret"},
        "numbers": bytearray(b"SELECT"),
        5: "http://u:s3cret@h/",
        "url.full": "http://u:s3cret@h/",
    }
    masked = _gate()(ReadableSpan("span", ELSEWHERE, resource=Resource({}), attributes=attributes))
    assert dict(masked.attributes or {}) == {
        "queue": ("http://REDACTED:REDACTED@h/",),
        "map": {1: "http://REDACTED:REDACTED@h/", "http.request.header.cookie": "[REDACTED]"},
        "numbers": bytearray(b"SELECT"),
        5: "http://REDACTED:REDACTED@h/",
        "url.full": "http://REDACTED:REDACTED@h/",
    }


def test_a_name_of_a_header_hides_whatever_holds_the_values() -> None:
    attributes: Any = {"customer": deque(["7", "8"]), "customers": ["7"]}
    masked = _gate("key:customer")(ReadableSpan("span", ELSEWHERE, resource=Resource({}), attributes=attributes))
    assert dict(masked.attributes or {}) == {"customer": ("REDACTED",), "customers": ["REDACTED"]}


def test_a_span_of_ours_is_masked_in_a_copy() -> None:
    found, _ = settings.read({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1"}, lambda group: [])
    provider = Provider(found, Resource({}), ALWAYS_ON)
    ours = provider.get_tracer("somebody").start_span(
        "GET", attributes={"dropped": 1, "url.full": "http://u:s3cret@h/"}
    )
    ours.add_event("GET http://u:s3cret@h/", {"url.full": "http://u:s3cret@h/"})
    ours.end()
    assert isinstance(ours, Span)
    before = ours.to_json()
    masked = _gate()(ours)
    assert ours.to_json() == before
    assert masked.to_json() == before.replace("u:s3cret@", "REDACTED:REDACTED@")
    assert (masked.context, masked.dropped_attributes) == (ours.context, 1)


def test_what_is_remembered_is_no_secret() -> None:
    gate = _gate()
    assert isinstance(gate, redact.Gate)
    for system in ("redis", "postgresql", "mongodb"):
        gate(_span("SELECT 's3cret'", {"db.system.name": system, "db.query.text": "SELECT 's3cret'"}))
        gate(_span("SELECT a", {"db.system.name": system, "db.query.text": "SELECT a"}))
    assert {text for _, text in gate._texts._untouched} == {"SELECT a"}


def test_what_is_remembered_is_bounded() -> None:
    gate = _gate()
    assert isinstance(gate, redact.Gate)
    for number in range(4200):
        gate(ReadableSpan("span", ELSEWHERE, attributes={f"name{number}": "x?", "db.query.text": f"SELECT a{number}"}))
    for number in range(20):
        gate(ReadableSpan("span", ELSEWHERE, attributes={"db.query.text": f"SELECT a{'a' * 2000}{number}"}))
    kept = gate._texts._untouched
    assert 0 < len(kept) <= 1024
    assert max(len(text) for _, text in kept) < 100
    assert len(gate._texts.known) == 4096


TEXTS = st.lists(
    st.sampled_from(
        [*"ab'\"?&=:/@%;1, -{}()$\\\n", "SELECT", "token", "password=", "//", "DETAIL: ", "[SQL: ", "RaiseError: "]
    ),
    max_size=40,
).map("".join)
NAMES = st.sampled_from([
    "db.statement", "url.full", "url.query", "http.target", "x", "exception.message", "db.connection_string",
    "server.address", "db.operation", "db.statement.parameters", "db.query.parameter.a", "http.request.header.cookie",
])  # fmt: skip


@given(st.dictionaries(NAMES, TEXTS), TEXTS)
def test_masking_twice_changes_nothing(attributes: dict[str, str], name: str) -> None:
    once = _gate()(_span(name, attributes))
    assert _gate()(once) is once


SYSTEMS = st.sampled_from(["", "redis", "postgresql", "mysql", "mongodb", "Redis"]).map(
    lambda name: {"db.system": name}
)
USED = {given: _gate(given) for given in ("", "a+b", "key:tok")}  # of all examples


@given(st.lists(st.tuples(st.dictionaries(NAMES, TEXTS), SYSTEMS, TEXTS), max_size=3), st.sampled_from([*USED]))
def test_what_was_seen_before_changes_nothing(
    seen: list[tuple[dict[str, str], dict[str, str], str]], given: str
) -> None:
    for attributes, system, name in seen:
        span = _span(name, {**attributes, **system}, event=("exception", {"exception.message": name, **attributes}))
        expected = _gate(given)(span).to_json()
        assert USED[given](span).to_json() == expected
        assert USED[given](span).to_json() == expected


PROGRAM = """
from opentelemetry import trace
tracer = trace.get_tracer("somebody")
with tracer.start_as_current_span("manual", attributes={
    "db.system": "sqlite", "db.statement": "SELECT 's3cret'", "http.url": "http://u:s3cret@h/"}):
    pass
"""


@pytest.mark.parametrize("given", ["", "off"])
def test_a_span_made_by_hand_passes_the_gate_on_its_way_to_the_receiver(given: str, traced: Traced) -> None:
    run = traced(PROGRAM, env={"OTEL_RUN_REDACT": given})
    secret = given == "off"
    assert run.span("manual").attributes == {
        "db.system": "sqlite",
        "db.statement": "SELECT 's3cret'" if secret else "SELECT ?",
        "http.url": "http://u:s3cret@h/" if secret else "http://REDACTED:REDACTED@h/",
    }
    assert run.stderr == ""


def test_the_console_is_a_way_out_too(traced: Traced) -> None:
    run = traced(PROGRAM, env={"OTEL_TRACES_EXPORTER": "console"}, expect=0)
    assert "SELECT ?" in run.stdout
    assert "s3cret" not in run.stdout
