"""A receiver that goes and comes while a program runs: each span once, none lost that had room, a line a change."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from endings.states import END, check
from process.children import OTEL_RUN, environment, run
from servers.endpoints import AWAY, HANGING, REFUSING, run_in_each_state
from servers.receiver import decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEGIN = """
import os, sys, time
from opentelemetry import trace
tracer = trace.get_tracer("t")
def span(name, **attributes):
    tracer.start_span(name, attributes=attributes).end()
"""


def test_a_program_that_outlives_the_absence_delivers_everything_once_and_says_two_lines(tmp_path: Path) -> None:
    source = BEGIN + "for number in range(60):\n    span(f'{number:02}')\n    time.sleep(0.1)\n" + END
    (tmp_path / "app.py").write_text(source)
    ended = run_in_each_state(["app.py"], tmp_path, (AWAY,), {"OTEL_BSP_SCHEDULE_DELAY": "200"})[AWAY]
    assert (ended.status, ended.names) == (0, [f"{number:02}" for number in range(60)]), ended
    assert [line.split(": ")[2] for line in ended.stderr.splitlines()] == ["down", "back"], ended
    assert "no span was lost" in ended.stderr
    assert ended.delay < 4


def test_a_batch_that_waits_for_the_end_finds_it_back_without_a_line(tmp_path: Path) -> None:
    source = "import time\ntime.sleep(5)\n" + END
    found = check((source, 0), tmp_path, states=(AWAY,), env={"OTEL_BSP_SCHEDULE_DELAY": "60000"})
    assert (found[AWAY].names, found[AWAY].stderr) == (["one"], "")


def test_what_a_full_queue_drops_is_counted_exactly(tmp_path: Path) -> None:
    source = BEGIN + "for number in range(250):\n    span(f'{number:03}')\ntime.sleep(0.5)\n"
    (tmp_path / "app.py").write_text(source)
    env = {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100", **_slowly(10)}
    ended = run_in_each_state(["app.py"], tmp_path, (REFUSING,), env)[REFUSING]
    assert "250 spans lost" in ended.stderr, ended

    # The receiver comes back before the end: what there was room for is delivered, the oldest.
    source = BEGIN + (
        "for number in range(250):\n    span(f'{number:03}')\n"
        "time.sleep(6)\nspan('last')\ntrace.get_tracer_provider().force_flush()\n"
    )
    (tmp_path / "app.py").write_text(source)
    ended = run_in_each_state(["app.py"], tmp_path, (AWAY,), env)[AWAY]
    delivered, dropped = len(ended.names), re.search(r"(\d+) spans dropped in the meantime", ended.stderr)
    assert dropped is not None, ended
    assert delivered + int(dropped[1]) == 251, ended
    assert ended.names[:100] == [f"{number:03}" for number in range(100)]
    assert len(ended.stderr.splitlines()) == 2, ended


def _slowly(seconds: float) -> dict[str, str]:
    return {"OTEL_BSP_SCHEDULE_DELAY": str(int(seconds * 1000))}


def test_long_texts_do_not_pile_up(tmp_path: Path) -> None:
    source = BEGIN + (
        "import resource\n"
        "def rss():\n    return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()\n"
        "span('first', text='x' * 1_000_000)\ntime.sleep(1)\nbefore = rss()\n"
        "for number in range(400):\n    span('long', text=chr(97 + number % 26) * 1_000_000)\n"
        "print(rss() - before < 40_000_000, (rss() - before) / 1e6)\n"
        "span('short')\n" + END
    )
    (tmp_path / "app.py").write_text(source)
    env = {"OTEL_RUN_QUEUE_MAX_BYTES": "10_000_000".replace("_", ""), **_slowly(0.1)}
    for ended in run_in_each_state(["app.py"], tmp_path, (REFUSING, HANGING), env).values():
        assert ended.stdout.startswith("True"), ended
        assert "402 spans lost" in ended.stderr, ended


@contextlib.contextmanager
def _counting(delay: float) -> Iterator[tuple[str, list[int], list[Any]]]:
    """Give a receiver that takes its time: its URL, how many requests it had at once, at each, and the spans."""
    lock, present, most, spans = threading.Lock(), [0], list[int](), list[Any]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            with lock:
                present[0] += 1
                most.append(present[0])
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(delay)
            with lock:
                present[0] -= 1
                spans.extend(decode(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", most, spans
        finally:
            server.shutdown()
            thread.join()


def test_never_two_exports_at_once(tmp_path: Path) -> None:
    source = BEGIN + (
        "import threading\n"
        "def work(who):\n"
        "    for number in range(60):\n        span(f'{who} {number}')\n        time.sleep(0.01)\n"
        "        if number % 20 == 0: trace.get_tracer_provider().force_flush()\n"
        "threads = [threading.Thread(target=work, args=(who,)) for who in range(6)]\n"
        "for thread in threads: thread.start()\nfor thread in threads: thread.join()\n"
    )
    (tmp_path / "app.py").write_text(source)
    with _counting(0.03) as (url, most, spans):
        env = environment(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="8", **_slowly(0.05))
        done = run([*OTEL_RUN, sys.executable, "app.py"], tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(spans) == len({span.span_id for span in spans}) == 360
    assert len(most) > 10
    assert max(most) == 1


@pytest.mark.parametrize("how", ["SIGTERM", "exit"])
def test_an_end_while_an_export_hangs_and_more_waits(how: str, tmp_path: Path) -> None:
    end = "import signal; os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)" if how == "SIGTERM" else "sys.exit(0)"
    begin = BEGIN + "for number in range(20):\n    span('one')\n    time.sleep(0.05)\n"
    status = -signal.SIGTERM if how == "SIGTERM" else 0
    found = check((END + "import os\n" + end, status), tmp_path, begin=begin, states=(HANGING,), env=_slowly(0.1))
    assert "20 spans lost" in found[HANGING].stderr
