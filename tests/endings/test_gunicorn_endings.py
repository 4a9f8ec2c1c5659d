"""gunicorn: whoever ends its workers and whenever, each span of theirs leaves once."""

from __future__ import annotations

import functools
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from endings.served import Case, bare_statuses, run
from otel_run.command.demo.servers import HOST
from servers.endpoints import AWAY, BUSY, STATES, UP

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from endings.served import Served

APPLICATION = """
import os, time
from opentelemetry import trace

tracer = trace.get_tracer("app")

def application(environ, start_response):
    with tracer.start_as_current_span("work", attributes={"url.path": environ["PATH_INFO"]}):
        pass
    if environ["PATH_INFO"] == "/stuck":
        time.sleep(60)
    start_response("200 OK", [])
    return [f"pid={os.getpid()};".encode()]
"""
# A worker that is told to end before it can be told does not hear it; that is so without us, too.
CONFIGURATION = "def post_worker_init(worker): print('ready', flush=True)\n"
WORKERS = ("sync", "gthread", "gevent")
LONGEST = 4.0  # seconds: the budget of two, and as much again for a machine that has other things to do

# Whatever state our receiver is in, nobody shall read of these.
UNHEARD = ("Warning", "Traceback", "KeyError", "SIGKILL")


def _gunicorn(*options: str, workers: int = 2) -> tuple[str, ...]:
    return ("gunicorn", "-b", "127.0.0.1:{port}", "--no-control-socket", "-w", str(workers), *options, "app")


def _when_ready(served: Served, workers: int = 2) -> None:
    served.wait_for_lines("ready", workers)


def _run(cases: dict[str, Case], folder: Path) -> dict[str, Served]:
    (folder / "app.py").write_text(APPLICATION)
    (folder / "gunicorn.conf.py").write_text(CONFIGURATION)
    return run(cases, folder)


def _assert_that_each_request_is_there_once(served: Served) -> None:
    # Its own span, and the one of the work in it, both of the process that has answered.
    assert served.received == sorted([*served.answered.items()] * 2), served
    requests = {span.span_id: span for span in served.endpoint.spans if span.kind == "SERVER"}
    work = [span for span in served.endpoint.spans if span.name == "work"]
    assert len(requests) == len(work) == len(served.answered), served
    assert [span.trace_id for span in work] == [requests[span.parent_id].trace_id for span in work], served
    assert len({span.resource["service.instance.id"] for span in work}) == len(set(served.answered.values())), served


def _assert_that_nothing_else_is_said(served: Served) -> None:
    assert not [line for line in served.output.splitlines() if any(word in line for word in UNHEARD)], served


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["each loads", "preload"])
@pytest.mark.parametrize("worker", WORKERS)
def test_twenty_requests_are_twenty_spans_or_one_line_says_why_not(
    worker: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    command = _gunicorn("-k", worker, *options)
    found = _run({state: Case(command, state=state, requests=20, then=_when_ready) for state in STATES}, tmp_path)
    for served in found.values():
        assert served.status == 0, served
        assert served.delay < LONGEST, served
        _assert_that_nothing_else_is_said(served)
        if served.case.state in (UP, BUSY):
            _assert_that_each_request_is_there_once(served)
            assert served.said == [], served
        elif served.case.state != AWAY or served.said:
            # One a worker that has answered.
            assert len(served.said) == len(set(served.answered.values())), served
            assert served.case.state == AWAY or served.received == [], served
        else:
            _assert_that_each_request_is_there_once(served)


def _reload(served: Served) -> None:
    _when_ready(served)
    served.process.send_signal(signal.SIGHUP)
    served.wait_for_lines("ready", 4)
    served.wait_for_lines("Worker exiting", 2)
    served.ask(6)


def _grow_and_shrink(served: Served) -> None:
    _when_ready(served)
    served.process.send_signal(signal.SIGTTIN)
    served.wait_for_lines("ready", 3)
    served.ask(6)
    for workers in (1, 2):
        served.process.send_signal(signal.SIGTTOU)
        served.wait_for_lines("Worker exiting", workers)
    served.ask(4)


def _ask_those_that_come_later(served: Served) -> None:
    # gevent's look once a second whether they have answered enough.
    served.wait_for_lines("Autorestarting", 1)
    served.wait_for_lines("ready", 3)
    served.ask(8)


def _rest_a_second(served: Served) -> None:
    _when_ready(served)
    time.sleep(1)


def _endings(worker: str) -> dict[str, Case]:
    case: Callable[..., Case] = functools.partial(Case, _gunicorn("-k", worker), requests=8, then=_when_ready)
    recycling = _gunicorn("-k", worker, "--max-requests", "3")
    return {
        "SIGINT": case(ending=signal.SIGINT),
        "SIGQUIT": case(ending=signal.SIGQUIT),
        "SIGHUP": case(then=_reload),
        "SIGTTIN, SIGTTOU": case(then=_grow_and_shrink),
        "--max-requests": Case(recycling, requests=20, then=_ask_those_that_come_later),
        "after a second": case(requests=41, then=_rest_a_second),
    }


@pytest.mark.parametrize("worker", WORKERS)
def test_nothing_is_lost_however_workers_come_and_go(worker: str, tmp_path: Path) -> None:
    cases = _endings(worker)
    found = _run(cases, tmp_path)
    for served in found.values():
        assert served.said == [], served
        assert served.delay < LONGEST, served
        _assert_that_nothing_else_is_said(served)
        _assert_that_each_request_is_there_once(served)
    ways = {name: cases[name] for name in ("SIGINT", "SIGQUIT")}
    assert {name: found[name].status for name in ways} == bare_statuses(ways, tmp_path)
    assert "Autorestarting" in found["--max-requests"].output, found["--max-requests"]


def _get_stuck(served: Served) -> None:
    with socket.create_connection((HOST, served.port), timeout=20) as connection:
        connection.sendall(f"GET /stuck HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        while connection.recv(65536):
            pass
    served.wait_for_lines("ready", 2)


def test_what_a_worker_did_before_it_was_stuck_is_delivered(tmp_path: Path) -> None:
    command = _gunicorn("--timeout", "1", workers=1)
    served = _run({"stuck": Case(command, requests=3, then=_get_stuck)}, tmp_path)["stuck"]
    (stuck,) = {pid for path, pid in served.received if path == "/stuck"}
    answered = sorted([*served.answered.items()] * 2)
    # gunicorn has it leave by an exception, which ends the span of the request.
    assert served.received == sorted([*answered, *[("/stuck", stuck)] * 2]), served
    (span,) = [s for s in served.endpoint.spans if s.kind == "SERVER" and s.attributes["url.path"] == "/stuck"]
    assert (span.status, span.attributes["error.type"]) == ("ERROR", "SystemExit"), served
