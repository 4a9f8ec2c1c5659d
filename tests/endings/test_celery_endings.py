"""celery's worker and its pools, whose processes end by billiard's `os._exit`: no task's span is lost, or sent twice.

The spans are contrib's instrumentor's, which is loaded when celery has had gevent or eventlet patch what they must.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from servers.endpoints import HANGING, REFUSING, UP, endpoint
from servers.program import clean_environment, launcher

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.receiver import Span

PROGRAM = """
import os, warnings
import celery, celery.platforms

warnings.simplefilter("ignore", celery.platforms.SecurityWarning)  # of running as root, as containers do
app = celery.Celery("app", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(
    task_default_queue=os.environ["QUEUE"], broker_connection_retry_on_startup=True, worker_hijack_root_logger=False
)

@app.task(name="who")
def who():
    return os.getpid()
"""
PUBLISH = """
import app, json
print(json.dumps([result.get(timeout=25) for result in [app.who.delay() for _ in range(10)]]))
"""
WORKER = ("celery", "-A", "app", "worker", "--loglevel=WARNING")
ALONE = ("--without-mingle", "--without-gossip", "--without-heartbeat")
PREFORK = ("--pool=prefork", "--concurrency=2")


@dataclass
class Worked:
    """Ten tasks: who has done them, and the spans of publisher and worker."""

    pids: list[int]
    spans: list[Span]
    status: int
    delay: float
    output: str

    @property
    def said(self) -> list[str]:
        """The lines of ours."""
        return [line for line in self.output.splitlines() if "otel-run: " in line]

    def of_kind(self, kind: str) -> list[Span]:
        """Return the spans of one kind."""
        return [span for span in self.spans if span.kind == kind]


def _work(folder: Path, broker: str, pool: tuple[str, ...], ending: signal.Signals, state: str = UP) -> Worked:
    # Others share the broker, and this folder.
    queue = f"{'-'.join(pool)}-{ending.name}-{state}".strip("-")
    command = [str(Path(sys.executable).with_name(WORKER[0])), *WORKER[1:], *ALONE, *pool]
    with endpoint(state) as found, (folder / f"{queue}.log").open("w+") as output:
        # Who publishes leaves first; its spans are none of ours to wait for where nobody takes them.
        environment = {
            **clean_environment(),
            # Of eventlet: with trio installed, that part of it can't be imported on Python 3.10.
            "EVENTLET_NO_GREENDNS": "yes",
            "BROKER": broker,
            "QUEUE": queue,
            "OTEL_EXPORTER_OTLP_ENDPOINT": found.url,
            "OTEL_RUN_STRICT": "true",
            "OTEL_RUN_PROCESS_SPAN": "off",
            "PYTHONWARNINGS": "ignore",
        }
        with subprocess.Popen(
            [*launcher(), *command], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        ) as worker:  # fmt: skip
            try:
                done = subprocess.run(
                    [*launcher(), sys.executable, "publish.py"], cwd=folder, env=environment,
                    stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
                )  # fmt: skip
                began = time.monotonic()
                worker.send_signal(ending)
                status = worker.wait(30)
                delay = time.monotonic() - began
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)
        output.seek(0)
        assert done.returncode == 0, (done, output.read())
        return Worked(json.loads(done.stdout), found.spans, status, delay, output.read())


def _check(worked: Worked) -> None:
    published, ran = worked.of_kind("PRODUCER"), worked.of_kind("CONSUMER")
    assert {(span.name, span.parent_id) for span in published} == {("apply_async/who", "")}, worked
    assert sorted((span.trace_id, span.parent_id) for span in ran) == sorted(
        (span.trace_id, span.span_id) for span in published
    ), worked
    assert len(published) == len(ran) == 10, worked
    assert len({span.span_id for span in worked.spans}) == len(worked.spans), worked
    instances = {(span.resource["process.pid"], span.resource["service.instance.id"]) for span in ran}
    assert {pid for pid, _ in instances} == set(worked.pids), worked
    assert len({instance for _, instance in instances}) == len(set(worked.pids)), worked


def test_each_task_has_its_span_in_its_publisher_s_trace_whatever_the_pool(tmp_path: Path, valkey: Server) -> None:
    (tmp_path / "app.py").write_text(PROGRAM)
    (tmp_path / "publish.py").write_text(PUBLISH)
    pools = {
        "prefork": (PREFORK, signal.SIGTERM),
        "a process for each task": ((*PREFORK, "--max-tasks-per-child=1"), signal.SIGTERM),
        "prefork, cold": (PREFORK, signal.SIGQUIT),
        "threads": (("--pool=threads", "--concurrency=2"), signal.SIGTERM),
        "solo": (("--pool=solo",), signal.SIGTERM),
        "eventlet": (("--pool=eventlet", "--concurrency=4"), signal.SIGTERM),
        "gevent": (("--pool=gevent", "--concurrency=4"), signal.SIGTERM),
    }
    with ThreadPoolExecutor(4) as side_by_side:
        worked = dict(
            zip(pools, side_by_side.map(lambda how: _work(tmp_path, valkey.url, *how), pools.values()), strict=True)
        )
    for name, one in worked.items():
        assert (name, one.status, one.said) == (name, 0, []), one
        # A cold shutdown kills what its processes are at; these are at nothing.
        _check(one)
    assert len(set(worked["a process for each task"].pids)) == 10


def test_a_receiver_in_trouble_makes_no_worker_late(tmp_path: Path, valkey: Server) -> None:
    (tmp_path / "app.py").write_text(PROGRAM)
    (tmp_path / "publish.py").write_text(PUBLISH)
    states = (UP, REFUSING, HANGING)
    with ThreadPoolExecutor(3) as side_by_side:
        up, *troubled = side_by_side.map(
            lambda state: _work(tmp_path, valkey.url, PREFORK, signal.SIGTERM, state), states
        )
    for one in troubled:
        assert (one.status, one.spans) == (0, []), one
        # The budget of the children, and of the worker, and a machine that has other things to do.
        assert one.delay < up.delay + 6, one
        # One line for each process that has lost spans, and one more for each that has seen it before its end.
        assert 1 <= len(one.said) <= 2 * (1 + len(set(one.pids))), one
