"""Django behind real servers: gunicorn, uvicorn, daphne, and its own with and without the reloader."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from gateways.django_programs import MANAGE, SITE
from otel_run.command.demo.servers import HOST

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server as Database
    from servers.receiver import Span
    from servers.serving import Server, Serving

SETTINGS = {"DJANGO_SETTINGS_MODULE": "app", "PYTHONWARNINGS": "ignore"}
GUNICORN = ("gunicorn", "--bind=127.0.0.1:{port}", "--no-control-socket", "app:wsgi")
UVICORN = ("uvicorn", "--port={port}", "--no-access-log", "app:asgi")
DAPHNE = ("daphne", "-b", "127.0.0.1", "-p", "{port}", "app:asgi")

# path -> the name of its span, its status, its error, its children
REQUESTS: dict[str, tuple[str, int, str | None, list[str]]] = {
    "/": ("GET /", 200, None, ["a view"]),
    "/plain/7/?token=x": ("GET /plain/<int:number>/", 200, None, ["a view"]),
    "/shop/2024/": ("GET /shop/(?P<year>[0-9]{4})/$", 200, None, ["a view"]),
    "/async": ("GET /async", 200, None, ["an async view"]),
    "/sync-bridges": ("GET /sync-bridges", 200, None, ["there", "and back"]),
    "/bridges": ("GET /bridges", 200, None, ["there", "and back"]),
    "/raises": ("GET /raises", 500, "ValueError", []),
    "/async-raises": ("GET /async-raises", 500, "ValueError", []),
    "/missing": ("GET /missing", 404, None, []),
    "/nowhere": ("GET", 404, None, []),
    "/denied": ("GET /denied", 403, None, []),
    "/suspicious": ("GET /suspicious", 400, None, []),
    "/unavailable": ("GET /unavailable", 503, "503", []),
    "/stream": ("GET /stream", 200, None, ["piece 0", "piece 1", "piece 2", "closing"]),
    "/async-stream": ("GET /async-stream", 200, None, ["piece 0", "piece 1", "piece 2", "closing"]),
    "/broken": ("GET /broken", 200, "ValueError", []),
    "/file": ("GET /file", 200, None, ["closing"]),
    "/echo": ("GET /echo", 200, None, []),
    "/middleware/raises": ("GET", 500, "LookupError", []),
    "/view-middleware/raises": ("GET /view-middleware/raises", 500, "LookupError", []),
}


def told(span: Span) -> tuple[str, Any, Any]:
    return span.name, span.attributes.get("http.response.status_code"), span.attributes.get("error.type")


def children(server: Server, span: Span) -> list[str]:
    return [one.name for one in server.spans if one.parent_id == span.span_id]


def without_chance(answer: bytes) -> bytes:
    return re.sub(rb"(?m)^(Date|date): .*$", b"", answer)


@pytest.mark.parametrize("command", [GUNICORN, UVICORN, DAPHNE], ids=["gunicorn", "uvicorn", "daphne"])
def test_every_request_is_one_span_and_its_answer_the_same(command: tuple[str, ...], serving: Serving) -> None:
    # Daphne leaves the client of a body that fails waiting, with us or without.
    requests = {path: one for path, one in REQUESTS.items() if (command, path) != (DAPHNE, "/broken")}
    with serving(SITE, *command, env=SETTINGS) as server:
        answers = {path: without_chance(server.ask(path)) for path in requests}
        server.ask("/plain/7/", "POST", b"body", [("traceparent", f"00-{'a' * 32}-{'b' * 16}-01")])
    *gets, post = server.requests
    for span, (path, (name, status, error, below)) in zip(gets, requests.items(), strict=True):
        above = ["a sync middleware", "an async middleware"][: 1 if command is GUNICORN else 2]
        wanted = [*above, *below] if "bridges" in path else below
        assert (*told(span), children(server, span)) == (name, status, error, wanted), f"{path}\n{server}"
        assert span.status == ("ERROR" if error else "UNSET")
        assert span.attributes["url.path"] == path.partition("?")[0]
        assert span.parent_id == ""
        assert [event["exception.type"] for _, event in span.events] == ([error] if error and error != "503" else [])
    assert (post.name, post.trace_id, post.parent_id) == ("POST /plain/<int:number>/", "a" * 32, "b" * 16)
    assert not [span for span in server.spans if span.kind != "SERVER" and not span.parent_id], server
    with serving(SITE, *command, env=SETTINGS, traced=False) as bare:
        for path, answer in answers.items():
            assert without_chance(bare.ask(path)).replace(b"%d" % bare.port, b"%d" % server.port) == answer, path


@pytest.mark.parametrize("reloader", [True, False], ids=["reloader", "noreload"])
def test_the_development_server_is_traced_once_in_the_process_that_serves(reloader: bool, serving: Serving) -> None:
    (serving.folder / "manage.py").write_text(MANAGE)
    command = ["python", "manage.py", "runserver", *([] if reloader else ["--noreload"]), "127.0.0.1:{port}"]
    with serving(SITE, *command, env={**SETTINGS, "DEBUG": "1"}) as server:
        assert server.ask("/plain/7/").endswith(b"a view")
        assert server.status("/static/manage.py") == 200
        assert server.status("/raises") == 500
        # As a terminal does: to the reloader and to its child.
        os.killpg(server.process.pid, signal.SIGINT)
        server.process.wait(15)
    assert [told(span) for span in server.requests] == [
        ("GET /plain/<int:number>/", 200, None),
        ("GET", 200, None),
        ("GET /raises", 500, "ValueError"),
    ], server
    plain, static, failed = server.requests
    assert children(server, plain) == ["a view"]
    assert static.attributes["url.path"] == "/static/manage.py"
    assert [event["exception.message"] for _, event in failed.events] == ["in a view"]
    assert len(server.spans) == 4
    assert len({span.resource["service.instance.id"] for span in server.spans}) == 1


def test_a_client_that_hangs_up_ends_its_span_and_the_view_is_cancelled_as_ever(serving: Serving) -> None:
    with serving(SITE, *UVICORN, env={**SETTINGS, "OTEL_PYTHON_DJANGO_EXCLUDED_URLS": "/begun"}) as server:
        with socket.create_connection((HOST, server.port), timeout=20) as connection:
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            while b"slow" not in server.ask("/begun"):
                time.sleep(0.05)
        with socket.create_connection((HOST, server.port), timeout=20) as connection:
            connection.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while b"xxx" not in received:
                received += connection.recv(4096)
        assert server.status("/plain/7/") == 200
    slow, endless, plain = server.requests
    assert (*told(slow), slow.status, slow.events) == ("GET /slow", None, None, "UNSET", []), server
    assert (*told(endless), endless.status, endless.events) == ("GET /endless", 200, None, "UNSET", [])
    assert slow.end < plain.start
    assert slow.duration_ms < 20_000
    assert "the view is cancelled" in server.output
    assert "Traceback" not in server.output


@pytest.mark.parametrize("command", [GUNICORN, UVICORN], ids=["gunicorn", "uvicorn"])
def test_queries_have_their_own_request_for_a_parent(
    command: tuple[str, ...], postgres: Database, serving: Serving
) -> None:
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS django_content_type (id serial, app_label text, model text)")
    with serving(SITE, *command, env={**SETTINGS, "DSN": postgres.url}) as server:
        assert b"42" in server.ask("/query").partition(b"\r\n\r\n")[2]
        assert server.status("/insert") == 500
        paths = [f"/orm?number={number}" for number in range(40 if command is UVICORN else 2)]
        with ThreadPoolExecutor(len(paths)) as pool:
            assert all(b'{"models": []}' in answer for answer in pool.map(server.ask, paths))
    query, insert, *orm = server.requests
    # Some versions ask for more when they connect.
    assert children(server, query)[-3:] == ["BEGIN", "SELECT", "COMMIT"], server
    assert (told(insert), children(server, insert)[-3:]) == (
        ("GET /insert", 500, "ValueError"),
        ["BEGIN", "INSERT django_content_type", "ROLLBACK"],
    ), server
    assert len(orm) == len(paths)
    for span in orm:
        (between,) = [one for one in server.spans if one.parent_id == span.span_id]
        assert f"number={between.name}" == span.attributes["url.query"]
        assert children(server, between) == ["SELECT django_content_type"]
    assert not [span for span in server.spans if span.kind != "SERVER" and not span.parent_id], server
