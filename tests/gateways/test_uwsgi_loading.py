"""uWSGI forks in C, whatever else runs: a thread of ours in that moment would leave a worker that never answers."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers.serving import Serving

APPLICATION = """
import os, time
from opentelemetry import trace

def threads():
    return len(os.listdir("/proc/self/task"))

trace.get_tracer("app").start_span("load").end()
time.sleep(0.4)
AT_LOAD = threads()

def application(environ, start_response):
    start_response("200 OK", [])
    return [f"{AT_LOAD} {os.getpid()}".encode()]
"""
ONE = ("uwsgi", "--http-socket", "127.0.0.1:{port}", "--need-app", "--module", "app", "--enable-threads")


@pytest.mark.parametrize(
    "options",
    [("--master", "--processes", "3"), ("--master",), ("--processes", "3"), (), ("--master", "--mule")],
    ids=" ".join,
)
def test_nothing_of_ours_runs_beside_what_is_to_fork_and_its_spans_come_once(
    serving: Serving, options: tuple[str, ...]
) -> None:
    with serving(APPLICATION, *ONE, *options, ending=signal.SIGINT) as server:
        answers = [server.ask("/").rpartition(b"\r\n")[2].split() for _ in range(6)]
        # Where there is no master it ends in the middle of things.
        server.wait_for(len(answers) + 1)
    assert {at_load for at_load, _ in answers} == {b"1"}
    assert [span.name for span in server.spans if span.kind != "SERVER"] == ["load"], server
    assert len(server.requests) == len(answers), server
