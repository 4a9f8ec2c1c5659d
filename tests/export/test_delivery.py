"""What becomes of spans when the receiver is well, away, slow, or says no; and what is said about it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from otel_run.command.demo.servers import free_port
from process.children import OTEL_RUN, environment
from servers.fickle import fickle

# Makes spans by hand, which is all that delivery is about: `python app.py COUNT [PAUSE [COUNT ...]]`.
SPANS = """
import sys, time
from opentelemetry import trace
tracer = trace.get_tracer("app")
for index, argument in enumerate(sys.argv[1:]):
    if index % 2:
        time.sleep(float(argument))
        continue
    for number in range(int(argument)):
        tracer.start_span(f"{index}-{number}").end()
print("end", flush=True)
"""


class Ended:
    """How a program ended: status, stderr, and the seconds from the end of its main to its exit."""

    def __init__(self, tmp_path: Path, *arguments: str, endpoint: str, flags: tuple[str, ...] = (), **env: str) -> None:
        (tmp_path / "app.py").write_text(textwrap.dedent(SPANS))
        variables = environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_RUN_STRICT="true", **env)
        child = subprocess.Popen(
            [*OTEL_RUN, *flags, sys.executable, "app.py", *arguments],
            cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        child.stdout.readline()
        main_ended = time.monotonic()
        _, self.stderr = child.communicate(timeout=60)
        self.exit_delay = time.monotonic() - main_ended
        self.returncode = child.returncode


def test_all_is_well_and_nothing_is_said(tmp_path: Path) -> None:
    with fickle() as receiver:
        ended = Ended(tmp_path, "1200", endpoint=receiver.endpoint)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(span.name for span in receiver.spans) == sorted(f"0-{number}" for number in range(1200))
    assert {request["path"] for request in receiver.requests} == {"/v1/traces"}
    assert receiver.requests[0]["user-agent"].startswith("otel-run/")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_nobody_listens(protocol: str, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    ended = Ended(tmp_path, "3", endpoint=endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert ended.returncode == 0
    assert ended.stderr.count("\n") == 1
    assert f"exporter otlp: down: {endpoint}" in ended.stderr
    assert "onnection refused; 3 spans lost. hint:" in ended.stderr
    assert ended.exit_delay < 2.5


def test_a_receiver_that_never_answers_costs_the_exit_budget_and_no_more(tmp_path: Path) -> None:
    with fickle() as receiver:
        receiver.delay = 8
        ended = Ended(tmp_path, "1", endpoint=receiver.endpoint, OTEL_RUN_EXIT_TIMEOUT="700")
        assert ended.returncode == 0
        # 700 ms of waiting, and the end of the interpreter on a busy machine; without the budget it is 8 s.
        assert 0.6 < ended.exit_delay < 4
    assert ended.stderr.count("\n") == 1
    assert "1 span lost" in ended.stderr


def test_the_default_budget_is_two_seconds(tmp_path: Path) -> None:
    with fickle() as receiver:
        receiver.delay = 8
        ended = Ended(tmp_path, "1", endpoint=receiver.endpoint)
        assert 1.9 < ended.exit_delay < 5


def test_away_and_back_is_two_lines_and_no_span_is_lost(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "app.py").write_text(textwrap.dedent(SPANS))
    child = subprocess.Popen(
        [*OTEL_RUN, sys.executable, "app.py", "5", "1.5", "5", "3", "5"],
        cwd=tmp_path,
        env=environment(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_BSP_SCHEDULE_DELAY="100"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stderr is not None
    first = child.stderr.readline()
    with fickle(port) as receiver:
        _, rest = child.communicate(timeout=30)
    assert "down" in first
    assert "up to 2048 spans are kept" in first
    assert rest.count("\n") == 1
    assert "back" in rest
    assert "no span was lost" in rest
    assert len(receiver.spans) == len({span.span_id for span in receiver.spans}) == 15


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_retryable_answer_is_retried_and_each_span_arrives_once(status: int, tmp_path: Path) -> None:
    with fickle() as receiver:
        receiver.answers = [status, 200]
        receiver.response_headers = {"retry-after": "0"}
        ended = Ended(tmp_path, "4", "1.5", "0", endpoint=receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY="100")
    assert [span.name for span in receiver.spans] == ["0-0", "0-1", "0-2", "0-3"]
    assert [line.split(": ")[2] for line in ended.stderr.splitlines()] == ["down", "back"]


def test_a_receiver_that_wants_us_again_at_once_is_not_flooded_at_the_end(tmp_path: Path) -> None:
    with fickle() as receiver:
        receiver.answers = [503]
        receiver.response_headers = {"retry-after": "0"}
        ended = Ended(tmp_path, "4", endpoint=receiver.endpoint)
    assert 2 <= len(receiver.requests) < 8
    assert "4 spans lost" in ended.stderr


def test_a_final_answer_drops_the_batch_and_says_which(tmp_path: Path) -> None:
    with fickle() as receiver:
        receiver.answers = [401]
        ended = Ended(tmp_path, "4", endpoint=receiver.endpoint)
    assert len(receiver.requests) == 1
    assert ended.stderr.count("\n") == 1
    assert "401 Unauthorized; 4 spans refused and dropped" in ended.stderr


def test_a_partly_refused_batch_is_said(tmp_path: Path) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTracePartialSuccess,
        ExportTraceServiceResponse,
    )

    partial = ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
    with fickle() as receiver:
        receiver.response_body = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
        ended = Ended(tmp_path, "4", endpoint=receiver.endpoint)
    assert "rejected 2 spans: too old" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_full_queue_drops_the_newest_and_counts_them(tmp_path: Path) -> None:
    port = free_port()
    ended = Ended(
        tmp_path, "30", endpoint=f"http://127.0.0.1:{port}",
        OTEL_BSP_MAX_QUEUE_SIZE="10", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10",
    )  # fmt: skip
    lines = ended.stderr.splitlines()
    assert len(lines) <= 3
    assert any("down" in line for line in lines)
    assert "30 spans lost" in lines[-1]


@pytest.mark.parametrize(
    ("variables", "path", "header"),
    [
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{}/own/path"}, "/own/path", {}),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "X-Token=a%20b,other=c"}, "/v1/traces", {"x-token": "a b", "other": "c"}),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "GZIP"}, "/v1/traces", {"content-encoding": "gzip"}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{}/base/"}, "/base/v1/traces", {}),
    ],
)
def test_settings_of_the_exporter(variables: dict[str, str], path: str, header: dict[str, str], tmp_path: Path) -> None:
    with fickle() as receiver:
        given = {name: value.format(receiver.endpoint) for name, value in variables.items()}
        endpoint = given.pop("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        ended = Ended(tmp_path, "1", endpoint=endpoint, **given)
    assert ended.stderr == ""
    assert [span.name for span in receiver.spans] == ["0-0"]
    assert receiver.requests[0]["path"] == path
    assert header.items() <= receiver.requests[0].items()


def test_a_forked_child_sends_its_own_spans_and_not_its_parents(tmp_path: Path) -> None:
    source = """
    import os, sys
    from opentelemetry import trace
    tracer = trace.get_tracer("app")
    tracer.start_span("before").end()
    import concurrent.futures.thread  # holds a lock while the process forks
    child = os.fork()
    tracer.start_span("child" if child == 0 else "parent").end()
    if child:
        os.waitpid(child, 0)
    print("end", flush=True)
    """
    (tmp_path / "app.py").write_text(textwrap.dedent(source))
    with fickle() as receiver:
        done = subprocess.run(
            [*OTEL_RUN, sys.executable, "-W", "ignore", "app.py"], cwd=tmp_path, capture_output=True, text=True,
            env=environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint), timeout=30, check=False,
        )  # fmt: skip
    assert done.stderr == ""
    assert sorted(span.name for span in receiver.spans) == ["before", "child", "parent"]
    by_name = {span.name: span.resource for span in receiver.spans}
    assert by_name["child"]["service.instance.id"] != by_name["parent"]["service.instance.id"]
    assert by_name["child"]["process.pid"] != by_name["parent"]["process.pid"]
    assert by_name["before"]["service.instance.id"] == by_name["parent"]["service.instance.id"]


@pytest.mark.parametrize("names", ["nosuch", "otlp,nosuch"])
def test_an_unknown_exporter_is_named_and_the_rest_goes_on(names: str, tmp_path: Path) -> None:
    with fickle() as receiver:
        ended = Ended(tmp_path, "2", endpoint=receiver.endpoint, OTEL_TRACES_EXPORTER=names)
    assert ended.stderr.startswith(f'otel-run: OTEL_TRACES_EXPORTER="{names}" can\'t be used')
    assert ended.stderr.count("\n") == 1
    assert len(receiver.spans) == 2


def test_console_prints_in_step_and_none_sends_nothing(tmp_path: Path) -> None:
    with fickle() as receiver:
        for name in ("console", "none"):
            ended = Ended(tmp_path, "1", endpoint=receiver.endpoint, OTEL_TRACES_EXPORTER=name)
            assert (ended.returncode, ended.stderr) == (0, "")
    assert receiver.requests == []
