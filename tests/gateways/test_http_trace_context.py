"""W3C Trace Context and Baggage through real servers, waitress and uvicorn: what comes in, and what goes out again."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from gateways.bare_applications import APPLICATION, COMMANDS, Headers, assert_it_said_nothing, read
from otel_run.patching import candidates
from servers.serving import Server, Serving
from tracing.w3c_cases import GOOD, MALFORMED, SPAN, STATES, TRACE, WELL_FORMED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.receiver import Receiver
    from servers.web import Web


@pytest.fixture(scope="module")
def serving(receiver: Receiver, web: Web, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """Give a function that runs servers with no instrumentor but ours."""
    others = ",".join(candidate.name for candidate in candidates.find() if not candidate.is_ours)
    folder = tmp_path_factory.mktemp("semantics")
    return Serving(receiver, folder, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=others, WEB=web.url)


@pytest.fixture(scope="module", params=COMMANDS)
def plain(serving: Serving, request: pytest.FixtureRequest) -> Iterator[Server]:
    """Give a server with the default settings."""
    with serving(APPLICATION, *COMMANDS[request.param]) as server:
        yield server
    assert_it_said_nothing(server)


def _sendable(cases: dict[str, Any]) -> list[Any]:
    """Leave out what no client can send; what is around a header's value is nobody's, in HTTP."""
    found = [(name, case) for name, case in cases.items() if not re.search("[\n\u0100-\uffff]", str(case))]
    return [pytest.param(case, id=name) for name, case in found]


def _call(server: Server, *headers: tuple[str, str]) -> dict[str, str]:
    answer = read(server.ask("/call", headers=headers))
    assert answer.status == 200
    assert {"traceresponse", "server-timing"}.isdisjoint(name.lower() for name, _ in answer.headers)
    called = answer.called
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", called["traceparent"])
    return called


@pytest.mark.parametrize("traceparent", _sendable(WELL_FORMED))
def test_a_well_formed_traceparent_goes_on_with_another_parent(traceparent: str, plain: Server) -> None:
    called = _call(plain, ("traceparent", traceparent), ("tracestate", "foo=1"))
    assert called["traceparent"][:36] == f"00-{TRACE}-"
    assert called["traceparent"][36:52] != SPAN
    assert int(called["traceparent"][-2:], 16) == int(traceparent.strip()[53:55], 16) & 3
    assert called["tracestate"] == "foo=1"


@pytest.mark.parametrize("traceparent", _sendable(MALFORMED))
def test_a_malformed_traceparent_makes_a_new_trace(traceparent: str, plain: Server) -> None:
    called = _call(plain, ("traceparent", traceparent), ("tracestate", "foo=1"))
    assert TRACE not in called["traceparent"].lower()
    assert called["traceparent"][-2:] == "03"
    assert "tracestate" not in called


@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", GOOD), ("traceparent", GOOD.replace("4b", "5b"))],
        [("traceparent", GOOD), ("traceparent", GOOD)],
        [("traceparent", GOOD), ("TraceParent", "")],
        [("trace-parent", GOOD)],
        [("trace.parent", GOOD)],
        [("tracestate", "foo=1")],
    ],
)
def test_none_or_several_make_a_new_trace(headers: Headers, plain: Server) -> None:
    called = _call(plain, *headers, ("tracestate", "bar=2"))
    assert TRACE not in called["traceparent"]
    assert TRACE.replace("4b", "5b") not in called["traceparent"]
    assert "tracestate" not in called


@pytest.mark.parametrize("name", ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"])
def test_names_are_found_in_any_case(name: str, plain: Server) -> None:
    called = _call(plain, (name, GOOD), (name.lower().replace("parent", "state").title(), "foo=1"))
    assert (called["traceparent"][:36], called["tracestate"]) == (f"00-{TRACE}-", "foo=1")


@pytest.mark.parametrize("case", _sendable(STATES))
def test_a_tracestate_goes_on_as_it_came_or_not_at_all(case: tuple[str, str], plain: Server) -> None:
    given, kept = case
    called = _call(plain, ("traceparent", GOOD), ("tracestate", given))
    assert called["traceparent"][:36] == f"00-{TRACE}-"
    assert called.get("tracestate", "") == kept


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        (["foo=1", ""], "foo=1"),
        (["", "foo=1"], "foo=1"),
        (["foo=1", "foo=1"], ""),
        (["foo=1", "foo=2"], ""),
        ([",".join(f"a{n}=1" for n in range(16)), ",".join(f"b{n}=1" for n in range(17))], ""),
    ],
)
def test_several_tracestates_are_one(headers: list[str], kept: str, plain: Server) -> None:
    called = _call(plain, ("traceparent", GOOD), *(("tracestate", header) for header in headers))
    assert called.get("tracestate", "") == kept


def test_names_that_only_look_alike_are_others(plain: Server) -> None:
    called = _call(plain, ("traceparent", GOOD), ("trace-state", "foo=1"), ("trace.state", "foo=1"))
    assert "tracestate" not in called


@pytest.mark.parametrize("garbage", ["\xe9\xff", "a" * 30_000, "=,;" * 5000, "%zz", '"', "\x7f"])
def test_garbage_costs_no_request(garbage: str, plain: Server) -> None:
    names = ("traceparent", "tracestate", "baggage", "forwarded", "x-forwarded-for", "user-agent", "b3")
    for name in names:
        with contextlib.suppress(ConnectionError):
            answer = read(plain.ask("/any", headers=[(name, garbage)]))
            # A server may refuse what no header may hold; then it is not ours to say.
            assert answer.status in ((200,) if "\x7f" not in garbage else (200, 400))


def test_three_calls_are_one_trace_with_three_parents(plain: Server) -> None:
    told = [_call(plain, ("traceparent", GOOD))["traceparent"] for _ in range(3)]
    assert {one[:36] for one in told} == {f"00-{TRACE}-"}
    assert len({one[36:52] for one in told}) == 3


def test_baggage_goes_on_and_what_is_malformed_of_it_does_not(plain: Server) -> None:
    assert _call(plain, ("baggage", "tenant=a, b"), ("baggage", "\xe9=1,user=7"))["baggage"] == "tenant=a,user=7"
    assert "baggage" not in _call(plain, ("baggage", "nonsense"))
