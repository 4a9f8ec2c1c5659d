"""Workers that run for long: a task is in the trace of whoever has published it, and never below its worker's process.

celery's, by contrib's instrumentor. A task's span is its pool's child's, or thread's; what the worker does to get its
tasks, which goes on for ever, is the worker's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from endings.test_celery_endings import ALONE, WORKER
from jobs.test_process_span import AUTO, CALLER
from servers.program import clean_environment, launcher
from servers.receiver import RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_run.command.demo.servers import Server
    from servers.receiver import Receiver, Span

PROGRAM = """
import os, warnings
import celery, celery.platforms, sqlalchemy

warnings.simplefilter("ignore", celery.platforms.SecurityWarning)  # of running as root, as containers do
app = celery.Celery("app", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(
    task_default_queue=os.environ["QUEUE"], broker_connection_retry_on_startup=True, worker_hijack_root_logger=False
)
engine = sqlalchemy.create_engine("sqlite:///app.db", poolclass=sqlalchemy.NullPool)
with engine.connect() as connection:
    connection.execute(sqlalchemy.text("create table if not exists orders (id integer)"))

@app.task(name="count")
def count():
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("select count(*) from orders"))
    return os.getpid()
"""
PUBLISH = """
import app, json
print(json.dumps([result.get(timeout=25) for result in [app.count.delay() for _ in range(5)]]))
"""
MOST = 8
# Pool -> what ends the span of the worker's own process: its first task, where it does that itself.
POOLS: dict[str, tuple[tuple[str, ...], str]] = {
    "prefork": (("--pool=prefork", "--concurrency=2"), "spans"),
    "threads": (("--pool=threads", "--concurrency=2"), "server"),
    "solo": (("--pool=solo",), "server"),
}


@dataclass
class Worked:
    """Five tasks: who has done them, and the spans of publisher and worker."""

    worker: int
    pids: list[int]
    spans: list[Span]
    status: int
    output: str

    def processes(self, name: str) -> list[Span]:
        """Return the spans for processes of a name."""
        return [span for span in self.spans if span.name == name and "process.pid" in span.attributes]

    def of_kind(self, kind: str) -> list[Span]:
        """Return the spans of one kind."""
        return [span for span in self.spans if span.kind == kind]


@pytest.fixture(scope="module")
def worked(
    receiver: Receiver, valkey: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Worked]]:
    """Give what each pool has done; they work side by side."""
    folder = tmp_path_factory.mktemp("worked")
    with ThreadPoolExecutor(len(POOLS)) as side_by_side:
        running = {
            name: side_by_side.submit(_work, folder / name, receiver, valkey.url, pool, ended_by)
            for name, (pool, ended_by) in POOLS.items()
        }
        yield lambda name: running[name].result()


def _work(folder: Path, receiver: Receiver, broker: str, pool: tuple[str, ...], ended_by: str) -> Worked:
    folder.mkdir()
    (folder / "app.py").write_text(PROGRAM)
    (folder / "publish.py").write_text(PUBLISH)
    run = uuid.uuid4().hex
    environment = {
        **clean_environment(),
        "BROKER": broker,
        "QUEUE": run,
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint,
        "OTEL_RESOURCE_ATTRIBUTES": f"{RUN}={run}",
        "OTEL_RUN_STRICT": "true",
        "PYTHONWARNINGS": "ignore",
        **AUTO,
    }
    # Getting tasks takes more than that.
    bounds = {"OTEL_RUN_PROCESS_SPAN_MAX_SPANS": str(MOST)} if ended_by == "spans" else {}
    with (folder / "log").open("w+") as output:
        with subprocess.Popen(
            [*launcher(), str(Path(sys.executable).with_name(WORKER[0])), *WORKER[1:], *ALONE, *pool],
            cwd=folder, env={**environment, **bounds}, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        ) as worker:  # fmt: skip
            try:
                done = subprocess.run(
                    [*launcher(), sys.executable, "publish.py"], cwd=folder, env={**environment, "TRACEPARENT": CALLER},
                    stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
                )  # fmt: skip
                worker.send_signal(signal.SIGTERM)
                status = worker.wait(30)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)
        output.seek(0)
        assert done.returncode == 0, (done, output.read())
        return Worked(worker.pid, json.loads(done.stdout), receiver.spans(run), status, output.read())


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_is_in_the_trace_of_who_has_published_it(pool: str, worked: Callable[[str], Worked]) -> None:
    work = worked(pool)
    assert (work.status, [line for line in work.output.splitlines() if "otel-run: " in line]) == (0, []), work
    (publisher,) = work.processes("publish")
    assert (publisher.trace_id, publisher.parent_id) == ("ab" * 16, "cd" * 8)
    published, ran = work.of_kind("PRODUCER"), work.of_kind("CONSUMER")
    assert [span.parent_id for span in published] == [publisher.span_id] * 5, work
    assert sorted(span.parent_id for span in ran) == sorted(span.span_id for span in published), work
    assert {span.trace_id for span in ran} == {publisher.trace_id}
    assert sorted(span.resource["process.pid"] for span in ran) == sorted(work.pids)
    queries = [span for span in work.spans if span.name.startswith("select")]
    assert sorted(span.parent_id for span in queries) == sorted(span.span_id for span in ran), work
    assert len({span.span_id for span in work.spans}) == len(work.spans), work


@pytest.mark.parametrize("pool", POOLS)
def test_the_start_of_a_worker_is_one_trace_and_getting_tasks_is_not_endless(
    pool: str, worked: Callable[[str], Worked]
) -> None:
    work = worked(pool)
    (worker,) = work.processes("celery")
    ended_by = POOLS[pool][1]
    assert (worker.parent_id, worker.attributes["process.pid"]) == ("", work.worker)
    assert worker.attributes["otelrun.process.ended_by"] == ended_by
    start = [span for span in work.spans if span.parent_id == worker.span_id]
    assert "create table orders" in {span.name.lower() for span in start}, work
    assert {span.resource["process.pid"] for span in start} == {work.worker}
    assert ended_by != "spans" or len(start) <= MOST
    # What the worker does for itself afterwards; its children do nothing but tasks.
    later = [span for span in work.spans if not span.parent_id and span is not worker]
    assert later, work
    link = [(worker.trace_id, worker.span_id)]
    assert {(span.resource["process.pid"], *span.links) for span in later} == {(work.worker, *link)}, work
