"""uWSGI, whose workers are forked in C: each has its own id, and each span leaves once, however the server ends."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from endings.served import Case, bare_statuses, run
from servers.endpoints import AWAY, BUSY, HANGING, REFUSING

if TYPE_CHECKING:
    from pathlib import Path

    from endings.served import Served

APPLICATION = """
import os

def application(environ, start_response):
    start_response("200 OK", [])
    return [f"pid={os.getpid()};".encode()]
"""
# The real server, told to say of itself what one says that gives threads no turn (until 2.0.26, by default). A file is
# executed before we know of it.
WITHOUT_THREADS = """
import os, sys

sys.modules["uwsgi"].has_threads = 0

import flask

application = flask.Flask("app")

@application.get("/<number>")
def tell(number):
    return f"pid={os.getpid()};"
"""
ITS_OWN_END = "import uwsgi\nuwsgi.atexit = lambda: print('its own end', flush=True)\n" + APPLICATION

ONE = ("uwsgi", "--http-socket", "127.0.0.1:{port}", "--need-app", "--module", "app")
TWO = (*ONE, "--master", "--processes", "2")
FILE = ("uwsgi", "--http-socket", "127.0.0.1:{port}", "--wsgi-file", "app.py", "--master", "--processes", "2")
PAUSE = 0.03  # so that both workers get some
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "200"}


def _reload(served: Served) -> None:
    served.process.send_signal(signal.SIGHUP)
    served.wait_for_lines("gracefully (RE)spawned", 1)
    served.wait_for_lines("spawned uWSGI worker 2", 2)
    served.ask(4)


ENDINGS = {
    "SIGINT": Case(TWO, signal.SIGINT, pause=PAUSE),
    "SIGQUIT": Case(TWO, signal.SIGQUIT, pause=PAUSE),
    "SIGTERM": Case((*TWO, "--die-on-term"), signal.SIGTERM, pause=PAUSE),
    "one process": Case(ONE, signal.SIGTERM),
    "threads": Case((*TWO, "--threads", "2"), signal.SIGINT, pause=PAUSE),
    "lazy": Case((*TWO, "--lazy-apps", "--enable-threads"), signal.SIGINT, pause=PAUSE),
    "Python's hooks are called": Case((*TWO, "--py-call-uwsgi-fork-hooks"), signal.SIGINT, pause=PAUSE),
    # The last ones may be about to end by themselves when the master tells them to.
    "workers for three requests": Case(
        (*TWO, "--max-requests", "3", "--min-worker-lifetime", "1"), signal.SIGINT, requests=18, pause=0.12
    ),
    "reloaded": Case(TWO, signal.SIGINT, pause=PAUSE, then=_reload),
}


def _check(served: Served) -> None:
    """See that each request's span came once, from the process that has answered, and who that was."""
    assert served.received == sorted(served.answered.items()), served
    workers = {(span.resource["process.pid"], span.resource["service.instance.id"]) for span in served.endpoint.spans}
    pids = set(served.answered.values())
    assert len(workers) == len({instance for _, instance in workers}) == len(pids), served
    assert "Traceback" not in served.output, served


def test_each_worker_sends_its_spans_once_however_the_server_ends(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APPLICATION)
    bare = bare_statuses(ENDINGS, tmp_path)
    ended = run(ENDINGS, tmp_path)
    for name, served in ended.items():
        _check(served)
        assert (served.status, served.said) == (bare[name], []), served
    assert len(set(ended["workers for three requests"].answered.values())) > 2
    assert len(set(ended["reloaded"].answered.values())) > 2


def test_where_python_s_exit_handlers_are_skipped_uwsgi_s_own_is_called_with_the_program_s(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(ITS_OWN_END)
    (tmp_path / "none.py").write_text("import uwsgi\n" + APPLICATION)
    skipping = (*TWO, "--skip-atexit-teardown")
    cases = {
        "its own": Case(skipping, signal.SIGINT, pause=PAUSE),
        "none": Case((*skipping, "--module", "none"), signal.SIGINT, pause=PAUSE),
        "none, loaded by each worker": Case((*skipping, "--module", "none", "--lazy-apps"), signal.SIGINT, pause=PAUSE),
    }
    for name, served in run(cases, tmp_path).items():
        _check(served)
        assert served.output.count("its own end") == (2 if name == "its own" else 0), served


@pytest.mark.parametrize("threads", [True, False])
def test_a_receiver_in_trouble_makes_no_worker_late_or_loud(tmp_path: Path, threads: bool) -> None:
    (tmp_path / "app.py").write_text(APPLICATION if threads else WITHOUT_THREADS)
    states = (REFUSING, HANGING, BUSY, AWAY)
    cases = {state: Case(TWO if threads else FILE, signal.SIGINT, state, pause=PAUSE) for state in states}
    for state, served in run(cases, tmp_path).items():
        # uWSGI's master looks for what has become of its workers once a second.
        assert (served.status, served.delay < 5) == (0, True), served
        said = [line for line in served.said if "exporter otlp" in line]
        if state == BUSY:
            assert (len(served.received), said) == (len(served.answered), []), served
        elif state == AWAY:
            assert len(set(served.received)) == len(served.received), served
            assert said or len(served.received) == len(served.answered), served
        else:
            assert (served.received, len(said)) == ([], len(set(served.answered.values()))), served


def test_without_threads_spans_are_sent_between_requests_which_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(WITHOUT_THREADS)
    before: dict[str, int] = {}

    def note(served: Served) -> None:
        end = time.monotonic() + 5
        while not served.endpoint.spans and time.monotonic() < end:
            served.ask()
        before[" ".join(served.case.command)] = len(served.endpoint.spans)

    cases = {
        "loaded by the master": Case(FILE, signal.SIGINT, requests=4, pause=0.1, env=SOON, then=note),
        "by each worker": Case((*FILE, "--lazy-apps"), signal.SIGINT, requests=4, pause=0.1, env=SOON, then=note),
    }
    for served in run(cases, tmp_path).values():
        _check(served)
        assert [line.partition(". hint: ")[2] for line in served.said] == ["--enable-threads"], served
    assert all(before.values()), before
