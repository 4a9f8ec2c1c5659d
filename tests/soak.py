"""Many requests to one server, to see what only time shows: spans that get lost or come twice, and memory that grows.

`python tests/soak.py [--requests N] [--workers N]`: by default 100,000 requests to gunicorn with two workers, every
trace sampled, for which two cores take about five minutes. It says what came of it and ends with status 1 if a span
was lost or came twice, or if a worker's memory has grown after the first fifth of the requests.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from otel_run.command.demo.servers import HOST, free_port
from servers.fickle import fickle
from servers.program import clean_environment, launcher

if TYPE_CHECKING:
    from servers.receiver import Span

APPLICATION = """
from flask import Flask
from opentelemetry import trace

application = Flask("soak")
tracer = trace.get_tracer("soak")

@application.get("/orders/<int:number>")
def order(number):
    with tracer.start_as_current_span("look", attributes={"number": number}):
        return {"order": number}
"""
SPANS_OF_A_REQUEST = 2
WARM_UP = 0.2  # of the requests
GROWTH = 4 * 1024 * 1024  # bytes a worker may grow after that: arenas are taken in steps of one MiB
CLIENTS = 4


def ask(port: int, numbers: range) -> None:
    """Ask for each number, on one connection."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    for number in numbers:
        connection.request("GET", f"/orders/{number}")
        answer = connection.getresponse()
        if answer.status != 200 or not answer.read():
            raise RuntimeError(f"{answer.status} {answer.reason}")
    connection.close()


def resident(pid: int) -> int:
    """Return the bytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_it_listens(port: int) -> None:
    """Return when the server answers; raise TimeoutError if it never does."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            return ask(port, range(1))
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server does not answer")


def soak(requests: int, workers: int) -> int:
    """Ask that often; return how many things went wrong."""
    with tempfile.TemporaryDirectory() as folder, fickle() as receiver:
        Path(folder, "soak.py").write_text(APPLICATION)
        port = free_port()
        gunicorn = Path(sys.executable).with_name("gunicorn")
        serving = ["-b", f"{HOST}:{port}", "-w", str(workers), "-k", "gthread", "--threads", "4", "soak:application"]
        environment = {**clean_environment(), "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
        with subprocess.Popen([*launcher(), str(gunicorn), *serving], cwd=folder, env=environment) as server:
            try:
                wait_until_it_listens(port)
                seen: set[tuple[str, str]] = set()
                received = 0
                grown: dict[int, list[int]] = {}
                for begin, end in ((0, int(requests * WARM_UP)), (int(requests * WARM_UP), requests)):
                    counting = threading.Event()
                    with ThreadPoolExecutor(CLIENTS) as clients:
                        parts = [range(begin + part, end, CLIENTS) for part in range(CLIENTS)]
                        asked = [clients.submit(ask, port, part) for part in parts]
                        while not all(one.done() for one in asked):
                            received += take(receiver.spans, seen)
                            counting.wait(0.5)
                        for one in asked:
                            one.result()
                    for child in children(server.pid):
                        grown.setdefault(child, []).append(resident(child))
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(30)
        received += take(receiver.spans, seen)
    made = (requests + 1) * SPANS_OF_A_REQUEST  # and the one that found out that it listens
    print(f"{requests} requests, {made} spans made, {len(seen)} received, {received - len(seen)} of them twice")
    wrong = (len(seen) != made) + (received != len(seen))
    for child, sizes in grown.items():
        print(f"worker {child}: {' -> '.join(f'{size / 2**20:.1f} MiB' for size in sizes)}")
        wrong += len(sizes) < 2 or sizes[-1] - sizes[0] > GROWTH
    return wrong


def take(spans: list[Span], seen: set[tuple[str, str]]) -> int:
    """Move what has come into `seen`, by trace and span id; return how many that were."""
    count = len(spans)
    for span in spans[:count]:
        seen.add((span.trace_id, span.span_id))
    del spans[:count]
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    sys.exit(1 if soak(given.requests, given.workers) else 0)
