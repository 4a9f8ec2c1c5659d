"""An exception is recorded once, at the span where it was raised; what it passes is marked."""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import contextlib
import contextvars
import gc
import sys
import traceback
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import StatusCode

from functions.observing import Tracing, raising
from otel_run.tracing import told_errors
from otel_run.tracing.call import Call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_run.command.demo.servers import Server
    from servers.program import Run, Traced
    from servers.receiver import Span


@pytest.fixture
def tracing() -> Tracing:
    return Tracing()


class OutOfStockError(Exception):
    pass


def events(span: Any) -> list[tuple[str, str]]:
    return [(event.attributes["exception.type"], event.attributes["exception.message"]) for event in span.events]


def outcome(span: Any) -> tuple[Any, Any, list[tuple[str, str]]]:
    return span.status.status_code, span.attributes.get("error.type"), events(span)


OUT = f"{__name__}.OutOfStockError"
WELL: Any = (StatusCode.UNSET, None, [])


def test_it_is_told_where_it_was_raised_and_marks_what_it_passes(tracing: Tracing) -> None:
    def reserve() -> None:
        raise OutOfStockError("no pens")

    def plain() -> None:
        reserve()

    def order() -> None:
        plain()

    tracing.trace(reserve)
    error = raising(tracing.trace(order))
    assert outcome(tracing["reserve"]) == (StatusCode.ERROR, OUT, [(OUT, "no pens")])
    assert outcome(tracing["order"]) == (StatusCode.ERROR, OUT, [])
    assert {span.status.description for span in (tracing["reserve"], tracing["order"])} == {f"{OUT}: no pens"}
    assert vars(error) == {}
    stack = tracing["reserve"].events[0].attributes["exception.stacktrace"]
    lines = [line.strip() for line in stack.splitlines()]
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.rpartition(" in ")[2] for line in lines if line.startswith("File")] == ["reserve"]
    assert lines[-1] == f"{OUT}: no pens"


def test_an_error_of_builtins_has_its_plain_name(tracing: Tracing) -> None:
    def first(found: list[str]) -> str:
        return found[0]

    tracing.trace(first)
    raising(lambda: first([]))
    assert outcome(tracing["first"]) == (StatusCode.ERROR, "IndexError", [("IndexError", "list index out of range")])


def test_what_was_caught_marks_nothing_above(tracing: Tracing) -> None:
    def reserve() -> None:
        raise OutOfStockError

    def order() -> str:
        try:
            reserve()
        except OutOfStockError:
            return "later"
        return "now"

    tracing.trace(reserve)
    assert tracing.trace(order)() == "later"
    assert outcome(tracing["order"]) == WELL


def test_one_that_is_raised_from_another_is_told_by_itself(tracing: Tracing) -> None:
    def reserve() -> None:
        raise OutOfStockError("no pens")

    def order() -> None:
        try:
            reserve()
        except OutOfStockError as error:
            raise ValueError("no order") from error

    tracing.trace(reserve)
    error = raising(tracing.trace(order))
    assert isinstance(error.__cause__, OutOfStockError)
    assert events(tracing["order"]) == [("ValueError", "no order")]
    stack = tracing["order"].events[0].attributes["exception.stacktrace"]
    assert "no pens" in stack
    assert "The above exception was the direct cause" in stack


def test_one_that_is_caught_and_raised_again_is_told_once(tracing: Tracing) -> None:
    def reserve() -> None:
        raise OutOfStockError("no pens")

    def order() -> None:
        kept: Any = None
        try:
            reserve()
        except OutOfStockError as error:
            kept = error
        raise kept

    tracing.trace(reserve)
    raising(tracing.trace(order))
    assert events(tracing["reserve"]) == [(OUT, "no pens")]
    assert outcome(tracing["order"]) == (StatusCode.ERROR, OUT, [])


@pytest.mark.parametrize("kind", [OutOfStockError, LookupError])
def test_another_exception_at_the_same_address_is_told(tracing: Tracing, kind: type[Exception]) -> None:
    addresses = set()

    def reserve(number: int) -> None:
        raise kind(str(number))

    def fail(number: int) -> None:
        try:
            raise kind(str(number))
        except kind as error:
            addresses.add(id(error))
            raise

    def order() -> None:
        for number in range(10):
            try:
                reserve(number)
            except kind as error:
                addresses.add(id(error))
        fail(10)

    tracing.trace(reserve)
    raising(tracing.trace(order))
    assert [message for _, message in events(tracing["order"])] == ["10"]
    # Else this has not been tried.
    assert len(addresses) < 11


@pytest.mark.parametrize("kind", [OutOfStockError, LookupError])
def test_one_that_passes_a_context_manager_is_told_once(tracing: Tracing, kind: type[Exception]) -> None:
    def reserve() -> None:
        raise kind

    def transaction() -> Iterator[None]:
        yield

    def order() -> None:
        with manager():
            reserve()

    def pay() -> None:
        with manager():
            raise kind

    tracing.trace(reserve)
    manager = contextlib.contextmanager(tracing.trace(transaction))
    raising(tracing.trace(order))
    assert {span.name: len(span.events) for span in tracing.spans} == {"reserve": 1, "transaction": 0, "order": 0}
    tracing.spans.clear()
    raising(tracing.trace(pay))
    assert {span.name: len(span.events) for span in tracing.spans} == {"transaction": 1, "pay": 0}


@pytest.mark.parametrize("kind", [OutOfStockError, LookupError])
def test_one_is_told_once_whatever_else_is_raised_meanwhile(tracing: Tracing, kind: type[Exception]) -> None:
    def reserve() -> None:
        raise kind

    def release() -> None:
        raise kind

    def order() -> None:
        try:
            reserve()
        finally:
            with contextlib.suppress(kind):
                release()

    for function in (reserve, release, order):
        tracing.trace(function, limit=10_000)
    for _ in range(2 * told_errors.MOST):
        raising(order)
    assert {(span.name, len(span.events)) for span in tracing.spans} == {("reserve", 1), ("release", 1), ("order", 0)}


@pytest.mark.parametrize("kind", [OutOfStockError, LookupError])
def test_one_that_was_raised_before_a_span_began_and_is_gone_is_not_taken_for_its_own(
    tracing: Tracing, kind: type[Exception]
) -> None:
    def reserve() -> None:
        raise kind

    def order() -> None:
        garbage = []
        for number in range(20_000):
            try:
                attempt()
            except kind:
                # So that an address comes again, of the exception and of its traceback.
                garbage.append([None] * (number % 9))
                if len(garbage) > 20:
                    garbage.clear()

    def attempt() -> None:
        reserve()

    tracing.trace(reserve, limit=100_000)
    with tracing.tracer.start_as_current_span("request"):
        order()
    assert {len(span.events) for span in tracing.spans if span.name == "reserve"} == {1}


def test_tasks_that_fail_together_are_each_told_once(tracing: Tracing) -> None:
    async def fetch(number: int) -> None:
        await asyncio.sleep(0)
        raise OutOfStockError(str(number))

    async def order() -> None:
        await asyncio.gather(*map(fetch, range(5)))

    tracing.trace(fetch, name="fetch")
    tracing.trace(order)
    error = raising(lambda: asyncio.run(order()))
    assert str(error) == "0"
    assert outcome(tracing["order"]) == (StatusCode.ERROR, OUT, [])
    assert tracing.names.count("fetch") == 5


@pytest.mark.parametrize("kind", [OutOfStockError, LookupError])
def test_what_a_task_has_kept_is_told_once_however_late_it_is_asked_for(
    tracing: Tracing, kind: type[Exception]
) -> None:
    async def fetch() -> None:
        raise kind

    async def collect(task: asyncio.Task[None]) -> None:
        await task

    async def order() -> None:
        task = asyncio.create_task(fetch())
        await asyncio.wait([task])
        await collect(task)

    for function in (fetch, collect, order):
        tracing.trace(function)
    raising(lambda: asyncio.run(order()))
    assert {span.name: len(span.events) for span in tracing.spans} == {"fetch": 1, "collect": 0, "order": 0}


def test_one_that_comes_from_another_thread_is_told_once(tracing: Tracing) -> None:
    def reserve() -> None:
        raise OutOfStockError("no pens")

    def order() -> None:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            pool.submit(contextvars.copy_context().run, reserve).result()

    tracing.trace(reserve)
    raising(tracing.trace(order))
    assert tracing.parent_of("reserve") == "order"
    assert events(tracing["reserve"]) == [(OUT, "no pens")]
    assert outcome(tracing["order"]) == (StatusCode.ERROR, OUT, [])


def test_one_that_two_traces_raise_is_told_in_each(tracing: Tracing) -> None:
    kept = OutOfStockError("no pens")

    def reserve() -> None:
        raise kept

    tracing.trace(reserve, name="reserve")
    raising(reserve)
    raising(reserve)
    assert [events(span) for span in tracing.spans] == [[(OUT, "no pens")]] * 2


@pytest.mark.skipif(sys.version_info < (3, 11), reason="3.11 brings groups")
def test_a_group_is_told_with_its_parts(tracing: Tracing) -> None:
    def reserve() -> None:
        raise OutOfStockError("no pens")

    def order() -> None:
        raise group("two things", parts)

    tracing.trace(reserve)
    group: Any = vars(builtins)["ExceptionGroup"]
    parts = [raising(reserve), ValueError("no ink")]
    raising(tracing.trace(order))
    assert events(tracing["order"]) == [("ExceptionGroup", "two things (2 sub-exceptions)")]
    stack = tracing["order"].events[0].attributes["exception.stacktrace"]
    assert "no pens" in stack
    assert "no ink" in stack


@pytest.mark.parametrize(
    "error",
    [StopIteration(), StopAsyncIteration(), SystemExit(), SystemExit(0), asyncio.CancelledError(), GeneratorExit()],
    ids=repr,
)
def test_what_is_no_failure_marks_nothing(tracing: Tracing, error: BaseException) -> None:
    def step() -> None:
        raise error

    assert raising(tracing.trace(step)) is error
    assert outcome(tracing["step"]) == WELL


@pytest.mark.parametrize(
    ("error", "kind"), [(KeyboardInterrupt(), "KeyboardInterrupt"), (SystemExit("no disk"), "SystemExit")], ids=repr
)
def test_what_ends_the_program_badly_is_a_failure(tracing: Tracing, error: BaseException, kind: str) -> None:
    def step() -> None:
        raise error

    assert raising(tracing.trace(step)) is error
    assert outcome(tracing["step"]) == (StatusCode.ERROR, kind, [(kind, str(error))])


def test_an_exception_without_a_text_is_told(tracing: Tracing) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError

    def step() -> None:
        raise MuteError

    raising(tracing.trace(step))
    ((kind, message),) = events(tracing["step"])
    assert kind.endswith("MuteError")
    assert "failed" in message


def test_a_generator_tells_what_leaves_it_and_not_what_ends_it(tracing: Tracing) -> None:
    def numbers(fails: bool) -> Iterator[int]:
        yield 1
        if fails:
            raise OutOfStockError("no pens")

    tracing.trace(numbers)
    assert list(numbers(False)) == [1]
    assert outcome(tracing["numbers"]) == WELL
    tracing.spans.clear()
    raising(lambda: list(numbers(True)))
    assert outcome(tracing["numbers"]) == (StatusCode.ERROR, OUT, [(OUT, "no pens")])


def test_what_a_librarys_span_has_told_is_not_told_again(tracing: Tracing) -> None:
    def query() -> None:
        call = Call(tracing.tracer, "SELECT", {})
        try:
            raise OutOfStockError("secret")
        except OutOfStockError as error:
            call.end(error, "masked")
            raise

    raising(tracing.trace(query))
    assert [(event.name, dict(event.attributes)) for event in tracing["SELECT"].events] == [
        ("exception", {"exception.type": OUT, "exception.message": "masked"})
    ]
    assert outcome(tracing["query"]) == (StatusCode.ERROR, OUT, [])
    assert tracing["query"].status.description == f"{OUT}: masked"


def test_what_a_span_by_hand_has_told_is_not_told_again(tracing: Tracing) -> None:
    def query() -> None:
        with tracing.tracer.start_as_current_span("by hand"):
            raise OutOfStockError("no pens")

    raising(tracing.trace(query))
    assert events(tracing["by hand"]) == [(OUT, "no pens")]
    assert outcome(tracing["query"]) == (StatusCode.ERROR, OUT, [])


def test_no_exception_is_kept_alive(tracing: Tracing) -> None:
    def reserve() -> None:
        raise OutOfStockError

    seen = weakref.ref(raising(tracing.trace(reserve)))
    gc.collect()
    assert seen() is None


def test_as_many_are_remembered_as_can_be_on_their_way(tracing: Tracing) -> None:
    def reserve(number: int) -> None:
        raise OutOfStockError(number)

    tracing.trace(reserve, limit=10_000)
    kept = [raising(lambda number=number: reserve(number)) for number in range(2 * told_errors.MOST)]
    assert len(told_errors._told) <= told_errors.MOST
    assert len(kept) == len(tracing.spans)


def test_frames_of_ours_are_in_no_stack_trace(tracing: Tracing) -> None:
    def inner() -> None:
        raise OutOfStockError

    def middle() -> None:
        try:
            inner()
        except OutOfStockError as error:
            raise ValueError from error

    def outer() -> None:
        middle()

    for function in (inner, middle, outer):
        tracing.trace(function)
    error = raising(outer)
    stack = tracing["middle"].events[0].attributes["exception.stacktrace"]
    frames = [line.rpartition(" in ")[2] for line in stack.splitlines() if line.strip().startswith("File")]
    assert "otel_run" not in stack
    if sys.version_info >= (3, 11):
        assert frames == ["middle", "inner", "middle"]
        assert "otel_run" not in "".join(traceback.format_exception(error))


ORDERS = """
class OutOfStockError(Exception):
    pass

def reserve(name):
    raise OutOfStockError(name)

def order(name):
    try:
        reserve(name)
    finally:
        name = None

def fetch(url):
    import requests
    requests.get(url)

def ping(port):
    import redis
    redis.Redis("127.0.0.1", port, retry=None).ping()

def query(connection, value):
    connection.execute("SELECT %s::int", (value,))

def query_by_sqlalchemy(connection, value):
    import sqlalchemy
    connection.execute(sqlalchemy.text("SELECT CAST(:value AS int)"), {"value": value})

def complain(value):
    import psycopg
    raise psycopg.DataError(f'invalid input syntax for type integer: "{value}"')

def pass_on(function, *args):
    function(*args)
"""
FLASK = """
import flask, orders
app = flask.Flask("orders")
@app.get("/")
def view():
    orders.order("pens")
assert app.test_client().get("/").status_code == 500
"""
STARLETTE = """
import orders
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient
async def view(request):
    orders.order("pens")
assert TestClient(Starlette(routes=[Route("/", view)]), raise_server_exceptions=False).get("/").status_code == 500
"""
DJANGO = """
import django, orders
from django.conf import settings
from django.urls import path
def view(request):
    orders.order("pens")
urlpatterns = [path("", view)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
django.setup()
from django.test import Client
assert Client(raise_request_exception=False).get("/").status_code == 500
"""
TRACED = {"OTEL_RUN_TRACE": "orders:*"}


def with_orders(traced: Traced) -> Traced:
    (traced.folder / "orders.py").write_text(ORDERS)
    return traced


def events_of(run: Run) -> dict[str, list[str]]:
    """Return the exceptions that each span tells, and the spans that are marked with one."""
    return {
        span.name: [str(told["exception.type"]) for _, told in span.events]
        for span in run.spans
        if span.status == "ERROR" and span.scope != "otel_run.instrumentors.httpx"
    }


@pytest.mark.parametrize("source", [FLASK, STARLETTE, DJANGO], ids=["flask", "starlette", "django"])
def test_a_request_does_not_tell_again_what_its_function_has_told(traced: Traced, source: str) -> None:
    run = with_orders(traced)(source, env=TRACED)
    assert run.returncode == 0, run
    assert events_of(run) == {"GET /": [], "order": [], "reserve": ["orders.OutOfStockError"]}
    assert {run.span(name).attributes["error.type"] for name in ("GET /", "order")} == {"orders.OutOfStockError"}
    assert len({span.trace_id for span in run.spans}) == 1


def test_a_request_tells_what_no_function_has_told(traced: Traced) -> None:
    run = with_orders(traced)(FLASK, env={"OTEL_RUN_TRACE": "orders:ping"})
    assert events_of(run) == {"GET /": ["orders.OutOfStockError"]}


def test_functions_do_not_tell_again_what_a_client_has_told(traced: Traced, closed_port: int) -> None:
    program = """
        import contextlib, sys
        import orders
        with contextlib.suppress(Exception):
            orders.pass_on(orders.fetch, f"http://127.0.0.1:{sys.argv[1]}/?token=hunter2")
    """
    run = with_orders(traced)(program, str(closed_port), env=TRACED)
    assert events_of(run) == {"pass_on": [], "fetch": [], "GET": ["requests.exceptions.ConnectionError"]}
    assert run.span("fetch").attributes["error.type"] == "requests.exceptions.ConnectionError"
    assert "hunter2" not in str(run)
    assert run.span("fetch").status_message == run.span("pass_on").status_message
    assert run.span("fetch").status_message.startswith("requests.exceptions.ConnectionError: ")


def test_no_value_of_a_database_leaves_with_a_functions_span(traced: Traced, postgres: Server) -> None:
    program = """
        import contextlib, sys
        import psycopg, sqlalchemy
        import orders
        with contextlib.suppress(psycopg.Error), psycopg.connect(sys.argv[1]) as connection:
            orders.pass_on(orders.query, connection, "hunter" + "2")
        engine = sqlalchemy.create_engine(sys.argv[1].replace("postgresql:", "postgresql+psycopg:"))
        with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError), engine.connect() as connection:
            orders.pass_on(orders.query_by_sqlalchemy, connection, "hunter" + "2")
        with contextlib.suppress(psycopg.Error):
            orders.pass_on(orders.complain, "hunter" + "2")
    """
    run = with_orders(traced)(program, postgres.dsn, env=TRACED)
    assert run.returncode == 0, run
    raised = "psycopg.errors.InvalidTextRepresentation"
    assert events_of_span(run.span("query")) == []
    assert events_of_span(run.span("complain")) == ["psycopg.DataError"]
    failed = [span for span in run.spans if span.status == "ERROR"]
    for span in failed:
        assert "hunter2" not in repr(span), span
    assert {span.attributes["error.type"] for span in failed if span.name == "query"} == {raised}
    assert [span.name for span in failed].count("pass_on") == 3
    assert all(not span.events for span in failed if span.name == "pass_on")


def events_of_span(span: Span) -> list[str]:
    return [str(told["exception.type"]) for _, told in span.events]
