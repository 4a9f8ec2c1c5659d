"""The other servers, most of them of ASGI: told to end, each worker sends its spans first, and ends as without us."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from endings.served import Case, bare_statuses, run
from servers.endpoints import AWAY, BUSY, HANGING, REFUSING

if TYPE_CHECKING:
    from pathlib import Path

APPLICATIONS = """
import os

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"pid={os.getpid()};".encode()})

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [f"pid={os.getpid()};".encode()]
"""
SERVERS = {
    "uvicorn": ("uvicorn", "--port", "{port}", "app:asgi"),
    "uvicorn, two workers": ("uvicorn", "--port", "{port}", "--workers", "2", "app:asgi"),
    "uvicorn, reloading": ("uvicorn", "--port", "{port}", "--reload", "app:asgi"),
    "hypercorn, two workers": ("hypercorn", "-b", "127.0.0.1:{port}", "-w", "2", "app:asgi"),
    "granian, two workers": ("granian", "--port", "{port}", "--interface", "asgi", "--workers", "2", "app:asgi"),
    "granian, WSGI": ("granian", "--port", "{port}", "--interface", "wsgi", "--workers", "2", "app:wsgi"),
    "daphne": ("daphne", "-p", "{port}", "app:asgi"),
    "waitress": ("waitress-serve", "--listen=127.0.0.1:{port}", "app:wsgi"),
}
# Threads of other languages, processes of our own's making, one process alone.
KINDS = ("granian, WSGI", "uvicorn, two workers", "waitress")
# Which ends by itself, and is not told to.
BY_THEMSELVES = {
    "uvicorn": ("uvicorn", "--port", "{port}", "--workers", "2", "--limit-max-requests", "3", "app:asgi"),
    "hypercorn": ("hypercorn", "-b", "127.0.0.1:{port}", "-w", "2", "--max-requests", "3", "app:asgi"),
}
PAUSE = 0.03


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_each_span_is_sent_once_by_the_worker_that_has_answered(ending: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APPLICATIONS)
    cases = {name: Case(command, ending, pause=PAUSE) for name, command in SERVERS.items()}
    bare = bare_statuses(cases, tmp_path)
    for name, served in run(cases, tmp_path).items():
        assert served.received == sorted(served.answered.items()), served
        instances = {span.resource["service.instance.id"] for span in served.endpoint.spans}
        assert len(instances) == len(set(served.answered.values())), served
        assert (served.status, served.said) == (bare[name], []), served
        assert "Traceback" not in served.output, served


def test_a_receiver_in_trouble_makes_no_worker_late_or_loud(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APPLICATIONS)
    states = (REFUSING, HANGING, BUSY, AWAY)
    cases = {f"{name} {state}": Case(SERVERS[name], state=state, pause=PAUSE) for name in KINDS for state in states}
    for served in run(cases, tmp_path).values():
        state, workers = served.case.state, len(set(served.answered.values()))
        # Workers may be told one after the other.
        assert served.delay < 5, served
        if state == BUSY:
            # A busy receiver answers the first that comes by 503.
            assert (served.received, served.said) == (sorted(served.answered.items()), []), served
        elif state == AWAY:
            assert len(set(served.received)) == len(served.received), served
            assert served.said or len(served.received) == len(served.answered), served
        else:
            assert (served.received, len(served.said)) == ([], workers), served


def test_workers_for_a_number_of_requests_send_theirs_before_others_take_their_place(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APPLICATIONS)
    cases = {name: Case(command, requests=5, pause=0.2) for name, command in BY_THEMSELVES.items()}
    for served in run(cases, tmp_path).values():
        assert served.received == sorted(served.answered.items()), served
        assert served.said == [], served
