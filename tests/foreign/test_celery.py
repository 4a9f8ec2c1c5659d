"""celery under `otel-run` with contrib's instrumentor: the publisher and a real worker are in one trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced

PROGRAM = """
import signal, subprocess, sys, warnings
import celery, celery.platforms

warnings.simplefilter("ignore", celery.platforms.SecurityWarning)  # of running as root, as containers do
broker, queue, pool = sys.argv[1:4]
app = celery.Celery("app", broker=broker, backend=broker)
app.conf.update(task_default_queue=queue, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)

@app.task(name="double")
def double(number):
    return number * 2

if "worker" in sys.argv:
    alone = ["--without-mingle", "--without-gossip", "--without-heartbeat"]
    app.worker_main(["worker", "--pool", pool, "--concurrency=1", "--loglevel=ERROR", *alone])
else:
    worker = subprocess.Popen([sys.executable, *sys.argv, "worker"], stdout=subprocess.DEVNULL)
    try:
        print(double.delay(21).get(timeout=20))
    finally:
        worker.send_signal(signal.SIGTERM)
        print(worker.wait(20))
"""


@pytest.mark.parametrize("pool", ["solo", "prefork"])
def test_a_task_is_published_and_run_in_one_trace(pool: str, valkey: Server, traced: Traced) -> None:
    # A child of a pool leaves by os._exit, past every exit handler, so that its spans must have gone before.
    run = traced(PROGRAM, valkey.url, f"queue-{pool}", pool, env={"OTEL_BSP_SCHEDULE_DELAY": "50"})
    assert (run.returncode, run.stdout, run.stderr) == (0, "42\n0\n", ""), run
    published, ran = run.span("apply_async/double"), run.span("run/double")
    assert (published.kind, ran.kind) == ("PRODUCER", "CONSUMER")
    assert (ran.trace_id, ran.parent_id) == (published.trace_id, published.span_id)
