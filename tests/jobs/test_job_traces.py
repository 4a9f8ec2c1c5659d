"""Jobs of several processes, and servers that start: what is one trace, and what is not."""

from __future__ import annotations

import shlex
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from jobs.test_process_span import AUTO, BEGIN, CALLER, process_of, tree
from otel_run.patching import candidates
from servers.program import clean_environment, launcher
from servers.receiver import RUN
from servers.serving import Serving

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced
    from servers.receiver import Receiver
    from servers.web import Web

_OTHERS = ",".join(candidate.name for candidate in candidates.find() if not candidate.is_ours)


@pytest.fixture
def serving(receiver: Receiver, tmp_path: Path) -> Serving:
    """Give a function that runs a server, with a span for its process; see `Serving.__call__`."""
    return Serving(receiver, tmp_path, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=_OTHERS, **AUTO)


STEP = BEGIN + "import sys\nspan(f'call of {sys.argv[1]}')\n"
LOAD = STEP + "import subprocess\nsubprocess.run([sys.executable, 'report.py', 'report'], check=True)\n"


def test_a_pipeline_of_a_shell_and_what_it_starts_is_one_trace(receiver: Receiver, tmp_path: Path) -> None:
    for name, source in {"fetch": STEP, "load": LOAD, "report": STEP}.items():
        (tmp_path / f"{name}.py").write_text(source)
    python, otel_run = shlex.quote(sys.executable), shlex.join(launcher())
    run_id = uuid.uuid4().hex
    done = subprocess.run(
        ["sh", "-c", f"{otel_run} {python} fetch.py fetch | {otel_run} {python} load.py load"],
        cwd=tmp_path,
        env={
            **clean_environment(),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint,
            "OTEL_RESOURCE_ATTRIBUTES": f"{RUN}={run_id}",
            "OTEL_RUN_STRICT": "true",
            "TRACEPARENT": CALLER,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    spans = receiver.spans(run_id, 6)
    by_name = {span.name: span for span in spans}
    shell = "cd" * 8
    assert {span.trace_id for span in spans} == {"ab" * 16}
    assert {span.name: span.parent_id for span in spans} == {
        "fetch": shell,
        "call of fetch": by_name["fetch"].span_id,
        "load": shell,
        "call of load": by_name["load"].span_id,
        "report": by_name["load"].span_id,
        "call of report": by_name["report"].span_id,
    }


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("way", ["pool", "executor", "process"])
def test_the_pools_of_a_job_are_in_its_trace(method: str, way: str, traced: Traced) -> None:
    run = traced(
        BEGIN
        + f"""
import concurrent.futures, multiprocessing
def work(name):
    span(name)
if __name__ == "__main__":
    processes = multiprocessing.get_context("{method}")
    if "{way}" == "pool":
        with processes.Pool(2) as pool:
            pool.map(work, ["one", "two"])
            pool.close()
            pool.join()
    elif "{way}" == "executor":
        with concurrent.futures.ProcessPoolExecutor(2, processes) as pool:
            list(pool.map(work, ["one", "two"]))
    else:
        started = [processes.Process(target=work, args=[name]) for name in ("one", "two")]
        for process in started:
            process.start()
        for process in started:
            process.join()
            assert process.exitcode == 0
    span("last")
""",
        env=AUTO,
    )
    assert (run.returncode, run.stderr) == (0, ""), run
    (job,) = (span for span in run.spans if span.name == "app")
    # Whoever begins anew has a span of its own; a fork is its parent.
    others = [span for span in run.spans if "process.pid" in span.attributes and span is not job]
    assert {span.parent_id for span in others} <= {job.span_id}, run
    assert len(others) == (2 if way == "process" and method != "fork" else 0), run
    work = [span for span in run.spans if span.name in ("one", "two", "last")]
    assert {span.trace_id for span in run.spans} == {job.trace_id}, run
    assert len(work) == 3
    assert {span.parent_id for span in work} == {span.span_id for span in [job, *others]}, run


def test_a_driver_that_only_starts_others_is_one_trace_with_them_where_each_process_has_a_span(traced: Traced) -> None:
    (traced.folder / "step.py").write_text(STEP)
    run = traced(
        """
import subprocess, sys
for step in ("one", "two"):
    subprocess.run([sys.executable, "step.py", step], check=True)
""",
        env={"OTEL_RUN_PROCESS_SPAN": "on"},
    )
    job, *steps = (span for span in run.spans if "process.pid" in span.attributes)
    assert [(span.name, span.parent_id) for span in (job, *steps)] == [("app", ""), *[("step", job.span_id)] * 2]
    calls = {span.name: span.parent_id for span in run.spans if span not in (job, *steps)}
    assert calls == {"call of one": steps[0].span_id, "call of two": steps[1].span_id}


def test_a_childs_process_is_told_of_where_nothing_was_done_yet(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
import os, subprocess, sys
CODE = "import os; print(os.environ.get('TRACEPARENT'))"
print(subprocess.check_output([sys.executable, "-S", "-c", CODE], text=True).strip())
span("request", SpanKind.SERVER)
print(subprocess.check_output([sys.executable, "-S", "-c", CODE], text=True).strip())
""",
        env=AUTO,
    )
    process = process_of(run)
    told = [f"00-{process.trace_id}-{process.span_id}-03", "None"]
    assert (run.stdout.split(), process.attributes["otelrun.process.ended_by"]) == (told, "server")


FLASK = """
import sqlalchemy
from flask import Flask
anywhere = {"check_same_thread": False}
engine = sqlalchemy.create_engine("sqlite://", connect_args=anywhere, poolclass=sqlalchemy.StaticPool)
with engine.begin() as connection:
    connection.execute(sqlalchemy.text("create table orders (id integer)"))
    connection.execute(sqlalchemy.text("insert into orders values (1)"))
app = Flask(__name__)

@app.route("/orders")
def orders():
    with engine.connect() as connection:
        return str(connection.execute(sqlalchemy.text("select count(*) from orders")).scalar())
"""
START = {"create table orders", "insert orders", "commit"}


def test_the_start_of_a_server_is_one_trace_that_ends_with_the_first_request(serving: Serving) -> None:
    command = ("flask", "run", "--port", "{port}")
    with serving(FLASK, *command, env={"TRACEPARENT": CALLER, "BAGGAGE": "job=nightly"}) as server:
        assert server.ask("/orders").endswith(b"1")
        assert server.ask("/orders").endswith(b"1")
        server.wait_for(8)
    (process,) = (span for span in server.spans if "process.pid" in span.attributes)
    first, second = server.requests
    assert (process.parent_id, process.attributes["otelrun.process.ended_by"]) == ("cd" * 8, "server")
    assert process.end <= second.start
    start = [span for span in server.spans if span.parent_id == process.span_id]
    assert {span.name.lower() for span in start} == START, server
    for request in (first, second):
        (query,) = (span for span in server.spans if span.parent_id == request.span_id)
        assert (request.parent_id, request.links, query.trace_id) == ("", [], request.trace_id)
    assert len({process.trace_id, first.trace_id, second.trace_id}) == 3
    assert len(server.spans) == 8, server


def test_workers_that_are_forked_from_a_master_that_has_started_all_end_its_trace_by_themselves(
    serving: Serving,
) -> None:
    with serving(FLASK, "gunicorn", "-b", "127.0.0.1:{port}", "--preload", "-w", "2", "app:app") as server:
        for _ in range(4):
            assert server.ask("/orders").endswith(b"1")
    (process,) = (span for span in server.spans if "process.pid" in span.attributes)
    start = [span for span in server.spans if span.parent_id == process.span_id]
    assert {span.name.lower() for span in start} == START, server
    assert [request.parent_id for request in server.requests] == [""] * 4
    assert len({request.trace_id for request in server.requests} | {process.trace_id}) == 5
    # The master serves nobody, and has come to its end.
    assert (process.name, process.attributes.get("otelrun.process.ended_by")) == ("gunicorn", None)


def test_a_server_is_not_told_of_the_job_that_has_started_it_by_its_requests(serving: Serving, web: Web) -> None:
    source = f"""
import requests
from flask import Flask
app = Flask(__name__)
def ask():
    return str(requests.get("{web.url}/echo").json()["headers"].get("baggage"))
START = ask()

@app.route("/")
def root():
    return START + " " + ask()
"""
    with serving(source, "flask", "run", "--port", "{port}", env={"BAGGAGE": "job=nightly"}) as server:
        assert server.ask("/").endswith(b"\r\n\r\njob=nightly None")
    assert tree(server)["GET /"] == ""  # type: ignore[arg-type]
