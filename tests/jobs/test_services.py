"""Real servers from start to end: the start of each process is one trace, and each of its requests another."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from jobs.test_process_span import AUTO
from otel_run.patching import candidates
from servers.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.receiver import Receiver, Span
    from servers.serving import Server

_OTHERS = ",".join(candidate.name for candidate in candidates.find() if not candidate.is_ours)
_AT_ONCE = 3
# As a caller says that wants none of it seen.
UNSEEN = ("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-00")
# Of a server whose library ends the program: where nothing tells of that, it is not known.
UNSEEN_STATUS = None if sys.version_info >= (3, 12) else 0

QUERY = """
import sqlalchemy
engine = sqlalchemy.create_engine("sqlite:///app.db", poolclass=sqlalchemy.NullPool)
with engine.connect() as connection:
    connection.execute(sqlalchemy.text("create table if not exists orders (id integer)"))
def count():
    with engine.connect() as connection:
        return str(connection.execute(sqlalchemy.text("select count(*) from orders")).scalar())
"""
WSGI = (
    QUERY
    + """
from flask import Flask
app = Flask(__name__)
app.route("/orders")(count)
"""
)
ASGI = (
    QUERY
    + """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
async def orders(request):
    return PlainTextResponse(count())
app = Starlette(routes=[Route("/orders", orders)])
"""
)
DJANGO = (
    """
import sys
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path
settings.configure(DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF="__main__", SECRET_KEY="s")
"""
    + QUERY
    + """
urlpatterns = [path("orders", lambda request: HttpResponse(count()))]
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""
)


def _again(server: Server) -> None:
    server.process.send_signal(signal.SIGHUP)
    time.sleep(2.5)
    server.ask("/orders")


@dataclass(frozen=True)
class Case:
    """A server, how it ends, and how each of its processes' spans does: by which name, below which, and by what."""

    source: str
    command: tuple[str, ...]
    # (name, name of the parent, `otelrun.process.ended_by` or the exit status), and how often.
    processes: dict[tuple[str, str, str | int], int]
    # Processes that have a start-up of their own.
    starts: int = 1
    ending: signal.Signals = signal.SIGTERM
    status: int = 0
    requests: int = 3
    then: Callable[[Server], object] = lambda server: None
    headers: tuple[tuple[str, str], ...] = ()
    # Of several workers that end what their master began, the first does; nobody knows which of them will serve.
    has_several_heirs: bool = False


GUNICORN = ("gunicorn", "-b", "127.0.0.1:{port}")
UWSGI = ("uwsgi", "--http-socket", "127.0.0.1:{port}", "--wsgi-file", "app.py", "--callable", "app", "--master",
         "--enable-threads")  # fmt: skip

CASES: dict[str, Case] = {
    "gunicorn, told to begin again": Case(
        WSGI, (*GUNICORN, "app:app"), {("gunicorn", "", "server"): 2}, starts=2, then=_again
    ),
    "gunicorn with threads, loaded by the master": Case(
        WSGI, (*GUNICORN, "-k", "gthread", "--preload", "-w", "2", "app:app"), {("gunicorn", "", 0): 1}
    ),
    "gunicorn with gevent, workers that are replaced": Case(
        WSGI,
        (*GUNICORN, "-k", "gevent", "--max-requests", "1", "app:app"),
        {("gunicorn", "", "server"): 2},
        starts=2,
        requests=1,
        then=_again,
    ),
    "uvicorn": Case(
        ASGI, ("uvicorn", "--port", "{port}", "app:app"), {("uvicorn", "", "server"): 1}, status=-signal.SIGTERM
    ),
    "uvicorn that reloads": Case(
        ASGI,
        ("uvicorn", "--port", "{port}", "--reload", "app:app"),
        {("uvicorn", "", 0): 1, ("multiprocessing", "uvicorn", "server"): 1},
    ),
    "hypercorn": Case(
        ASGI,
        ("hypercorn", "-b", "127.0.0.1:{port}", "app:app"),
        {("hypercorn", "", 0): 1, ("multiprocessing", "hypercorn", "server"): 1},
    ),
    "granian": Case(ASGI, ("granian", "--interface", "asgi", "--port", "{port}", "app:app"), {("granian", "", 0): 1}),
    "uwsgi": Case(
        WSGI,
        (*UWSGI, "--processes", "2"),
        {("uwsgi", "", "server"): 1},
        ending=signal.SIGINT,
        has_several_heirs=True,
    ),
    "uwsgi, whose requests nobody sees": Case(
        WSGI, (*UWSGI, "--processes", "1"), {("uwsgi", "", "server"): 1}, ending=signal.SIGINT, headers=(UNSEEN,)
    ),
    "uwsgi, whose workers load it": Case(
        WSGI, (*UWSGI, "--lazy-apps"), {("uwsgi", "", "server"): 1}, ending=signal.SIGINT
    ),
    "waitress": Case(
        WSGI,
        ("waitress-serve", "--listen", "127.0.0.1:{port}", "app:app"),
        {("waitress-serve", "", "server"): 1},
        status=-signal.SIGTERM,
    ),
    "flask that reloads": Case(
        WSGI,
        ("flask", "run", "--port", "{port}", "--reload"),
        # The first one loads it too, and starts the other.
        {("flask", "", 0): 1, ("flask", "flask", "server"): 1},
        starts=2,
        ending=signal.SIGINT,
    ),
    "django's": Case(
        DJANGO,
        ("python", "app.py", "runserver", "--noreload", "127.0.0.1:{port}"),
        {("app", "", "server"): 1},
        ending=signal.SIGINT,
    ),
}


@pytest.fixture(scope="module")
def served(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Give each server when it has ended; a few run side by side."""

    def run(name: str) -> Server:
        case, folder = CASES[name], tmp_path_factory.mktemp("served")
        serving = Serving(receiver, folder, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=_OTHERS, **AUTO)
        with serving(case.source, *case.command, ending=case.ending) as server:
            for _ in range(case.requests):
                assert server.ask("/orders", headers=case.headers).endswith(b"0"), server
            case.then(server)
            time.sleep(0.2)
        return server

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = {name: pool.submit(run, name) for name in CASES}
        yield lambda name: running[name].result()


def _processes(server: Server) -> list[Span]:
    return [span for span in server.spans if "process.pid" in span.attributes]


def _how_each_ended(server: Server) -> Counter[tuple[str, str, str | int]]:
    names = {span.span_id: span.name for span in server.spans}
    return Counter(
        (
            span.name,
            names.get(span.parent_id, span.parent_id),
            span.attributes.get("otelrun.process.ended_by", span.attributes.get("process.exit.code", UNSEEN_STATUS)),
        )
        for span in _processes(server)
    )


@pytest.mark.parametrize("name", CASES)
def test_the_start_is_one_trace_and_each_request_another(name: str, served: Callable[[str], Server]) -> None:
    case, server = CASES[name], served(name)
    assert server.process.returncode == case.status, server
    assert "otel-run: " not in server.output
    if case.has_several_heirs:
        assert [span.name for span in _processes(server)] == [name for name, *_ in case.processes], server
    else:
        assert _how_each_ended(server) == case.processes, server
    processes = _processes(server)
    starts = {span.trace_id for span in processes}
    tables = [span for span in server.spans if span.name.startswith("create table")]
    assert len(tables) == case.starts, server
    assert {span.parent_id for span in tables} <= {span.span_id for span in processes}, server
    seen = 0 if UNSEEN in case.headers else case.requests + (case.then is _again)
    assert len(server.requests) == seen, server
    assert {request.parent_id for request in server.requests} <= {""}, server
    # No request is in the trace of a start, and none in that of another.
    assert len({request.trace_id for request in server.requests} - starts) == seen, server
    counts = [span for span in server.spans if span.name.startswith("select")]
    assert sorted(span.parent_id for span in counts) == sorted(span.span_id for span in server.requests), server
    for process in processes:
        is_start = "otelrun.process.ended_by" in process.attributes
        assert not (is_start and "process.exit.code" in process.attributes)
        if is_start and len(processes) == 1 and not case.has_several_heirs:
            assert all(process.end <= request.end for request in server.requests), server
    # Nothing was sent twice, and nothing was left without its parent.
    known = {span.span_id for span in server.spans}
    assert len(known) == len(server.spans), server
    assert {span.parent_id for span in server.spans} <= {"", *known}, server
