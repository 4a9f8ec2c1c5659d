"""`otel-run send`: what waits in files comes to a receiver, is said in one line, and what stays is said with a hint."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from otel_run.export.encode import Encoder
from otel_run.export.otlp_json import to_json
from otel_run.export.spool import Spool
from process.children import OTEL_RUN, environment, run
from servers.fickle import Fickle, fickle
from servers.receiver import RUN, Receiver

BUSY = """
import sys, time
from otel_run.export.spool import Spool
spool = Spool(sys.argv[1], "busy", 1 << 20, "test")
assert spool.write(bytes.fromhex(sys.argv[2]), 1) == ""
print("written", flush=True)
sys.stdin.read()
"""


def record(*names: str, run_id: str = "") -> bytes:
    context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1))
    resource = Resource({"service.name": "shop", RUN: run_id})
    spans = [ReadableSpan(name, context=context, resource=resource, start_time=1, end_time=2) for name in names]
    return Encoder().encode(spans)


def left(folder: Path, service: str, *batches: str) -> Path:
    """Leave a file of a spool, with one span in each line; return its path."""
    spool = Spool(str(folder), service, 1 << 20, "test")
    before = set(folder.glob("*"))
    for name in batches:
        assert spool.write(record(name), 1) == ""
    spool.close()
    [path] = set(folder.glob("*")) - before
    return path


@pytest.fixture
def receiving() -> Iterator[Fickle]:
    with fickle() as state:
        yield state


def send(receiving: Fickle, cwd: Path, *arguments: str, **env: str) -> tuple[int, str, str]:
    """Return status, stdout and stderr."""
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiving.endpoint, **env}
    done = run([*OTEL_RUN, "send", *arguments], cwd, env=environment(**settings))
    return done.returncode, done.stdout, done.stderr


def names(receiving: Fickle) -> list[str]:
    return [span.name for span in receiving.spans]


def test_a_folder_is_sent_whatever_the_services_and_emptied(receiving: Fickle, tmp_path: Path) -> None:
    os.utime(left(tmp_path / "spool", "shop", "a", "b"), (1, 1))
    left(tmp_path / "spool", "billing", "c")
    status, stdout, stderr = send(receiving, tmp_path, "spool")
    assert (status, stderr) == (0, "")
    assert stdout == f"3 spans in 2 files sent to {receiving.endpoint}/v1/traces\n"
    assert names(receiving) == ["b", "a", "c"]
    assert list((tmp_path / "spool").iterdir()) == []
    assert send(receiving, tmp_path, "spool")[:2] == (0, f"0 spans in 0 files sent to {receiving.endpoint}/v1/traces\n")


def test_the_settings_of_the_exporter_apply(receiving: Fickle, tmp_path: Path) -> None:
    left(tmp_path / "spool", "shop", "a")
    env = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
    assert send(receiving, tmp_path, "spool", **env)[0] == 0
    [request] = receiving.requests
    assert (request["api-key"], request["content-encoding"], request["path"]) == ("secret", "gzip", "/v1/traces")
    assert names(receiving) == ["a"]


@pytest.mark.parametrize("form", [["--endpoint", "{}"], ["--endpoint={}"]], ids=len)
def test_the_endpoint_of_the_command_line_wins(receiving: Fickle, tmp_path: Path, form: list[str]) -> None:
    left(tmp_path / "spool", "shop", "a")
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/x",
    }
    arguments = ["spool", *(part.format(receiving.endpoint) for part in form)]
    assert send(receiving, tmp_path, *arguments, **env)[0] == 0
    assert names(receiving) == ["a"]


def test_by_grpc_too(receiver: Receiver, tmp_path: Path) -> None:
    for name in ("http/protobuf", "grpc"):
        spool = Spool(str(tmp_path / "spool"), name, 1 << 20, "test")
        assert spool.write(record("a", "b", run_id=f"{tmp_path} {name}"), 2) == ""
        spool.close()
    half = next((tmp_path / "spool").glob("grpc*"))
    settings = environment(OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.grpc_endpoint)
    done = run([*OTEL_RUN, "send", str(half)], tmp_path, env=settings)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"2 spans in 1 file sent to {receiver.grpc_endpoint}\n",
        "",
    )
    done = run([*OTEL_RUN, "send", "spool", "--endpoint", receiver.http_endpoint], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("http/protobuf", "grpc"):
        assert [span.name for span in receiver.spans(f"{tmp_path} {name}", expect=2)] == ["a", "b"]


def test_a_file_of_others_is_sent_and_left_as_it_is(receiving: Fickle, tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(b"\n".join([*to_json(record("a", "b")), b"", *to_json(record("c"))]))
    before = path.read_bytes()
    status, stdout, stderr = send(receiving, tmp_path, "traces.jsonl")
    assert (status, stderr) == (0, "")
    assert stdout == f"3 spans in 1 file sent to {receiving.endpoint}/v1/traces\n"
    assert names(receiving) == ["a", "b", "c"]
    assert path.read_bytes() == before


def test_a_line_that_cannot_be_read_is_said_by_its_number(receiving: Fickle, tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(b"\n".join([*to_json(record("a")), b'{"resourceLogs":[]}', *to_json(record("b"))]))
    status, stdout, stderr = send(receiving, tmp_path, "traces.jsonl")
    assert (status, names(receiving)) == (1, ["a", "b"])
    assert stdout.startswith("2 spans in 1 file sent to ")
    assert stderr == (
        "otel-run: traces.jsonl, line 2 can't be read: no resourceSpans\n"
        'hint: a line of OTLP JSON begins with {"resourceSpans":\n'
    )


def test_a_torn_line_of_a_spool_is_said_and_removed(receiving: Fickle, tmp_path: Path) -> None:
    path = left(tmp_path / "spool", "shop", "a", "b")
    os.truncate(path, path.stat().st_size - 5)
    status, _, stderr = send(receiving, tmp_path, "spool")
    assert (status, names(receiving)) == (1, ["a"])
    assert stderr == f"otel-run: spool/{path.name}: 1 span could not be read; removed\n"
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_named_file_of_a_spool_is_emptied_too(receiving: Fickle, tmp_path: Path) -> None:
    path = left(tmp_path / "spool", "shop", "a")
    other = left(tmp_path / "spool", "shop", "b")
    assert send(receiving, tmp_path, str(path))[0] == 0
    assert (names(receiving), list((tmp_path / "spool").iterdir())) == (["a"], [other])


def test_a_file_whose_process_still_writes_is_left_and_named(receiving: Fickle, tmp_path: Path) -> None:
    left(tmp_path / "spool", "shop", "a")
    command = [sys.executable, "-c", BUSY, str(tmp_path / "spool"), record("busy").hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as busy:
        try:
            assert busy.stdout is not None
            assert busy.stdout.readline() == "written\n"
            status, _, stderr = send(receiving, tmp_path, "spool")
            [path] = (tmp_path / "spool").iterdir()
            assert (status, names(receiving)) == (1, ["a"])
            assert stderr.startswith(f"otel-run: spool/{path.name} is left alone: its process still writes it\nhint: ")
        finally:
            busy.send_signal(signal.SIGKILL)
    assert send(receiving, tmp_path, "spool")[0] == 0
    assert names(receiving) == ["a", "busy"]


def test_what_a_receiver_refuses_is_left(receiving: Fickle, tmp_path: Path) -> None:
    receiving.answers = [200, 401]
    os.utime(left(tmp_path / "spool", "shop", "a", "b"), (1, 1))
    left(tmp_path / "spool", "billing", "c")
    status, stdout, stderr = send(receiving, tmp_path, "spool")
    assert (status, names(receiving)) == (1, ["b"])
    assert stdout.startswith("1 span in 1 file sent to ")
    assert stderr.count(" is refused, and left: 401 Unauthorized\nhint: ") == 2
    receiving.answers = [200]
    assert send(receiving, tmp_path, "spool")[0] == 0
    assert sorted(names(receiving)) == ["a", "b", "c"]


def test_what_a_receiver_rejects_of_what_it_takes_is_said_and_no_success(receiving: Fickle, tmp_path: Path) -> None:
    left(tmp_path / "spool", "shop", "a")
    receiving.response_body = b"\x0a\x09\x08\x01\x12\x05stale"  # partial_success: 1 span, "stale"
    status, _, stderr = send(receiving, tmp_path, "spool")
    assert (status, stderr) == (1, f"otel-run: otlp {receiving.endpoint}/v1/traces: rejected 1 span: stale\n")
    assert list((tmp_path / "spool").iterdir()) == []


HOSTILE = {
    b'"startTimeUnixNano":NaN': "startTimeUnixNano is no fixed64",
    b'"startTimeUnixNano":%d' % (1 << 64): "startTimeUnixNano is no fixed64",
    b'"traceId":"xyz"': "traceId is no id",
    b'"kind":[]': "kind is no kind",
    b'"name":7': "name is no text",
    b'"attributes":{}': "attributes is no list",
    b'"status":[]': "Status is no object",
    b'"name":"\xff"': "'utf-8' codec can't decode",
    b'"x":' + b"[" * 20000 + b"]" * 20000: "too much in each other",
    b'"attributes":[' + b'{"value":{"kvlistValue":{"values":[' * 300 + b"]}}}" * 300 + b"]": "too much in each other",
}


def test_hostile_lines_cost_themselves_alone(receiving: Fickle, tmp_path: Path) -> None:
    lines = [b'{"resourceSpans":[{"scopeSpans":[{"spans":[{%s}]}]}]}' % part for part in HOSTILE]
    (tmp_path / "traces.jsonl").write_bytes(b"\n".join([*lines, *to_json(record("good"))]))
    status, _, stderr = send(receiving, tmp_path, "traces.jsonl")
    assert (status, names(receiving)) == (1, ["good"])
    told = [line for line in stderr.splitlines() if not line.startswith("hint: ")]
    assert len(told) == len(HOSTILE)
    for number, (line, said) in enumerate(zip(told, HOSTILE.values(), strict=True), 1):
        assert line.startswith(f"otel-run: traces.jsonl, line {number} can't be read: {said}")


def test_of_a_file_of_something_else_few_lines_are_named(receiving: Fickle, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a note\n" * 1000)
    status, _, stderr = send(receiving, tmp_path, "notes.txt")
    assert (status, names(receiving)) == (1, [])
    assert stderr.count("otel-run: ") == 21
    assert stderr.endswith("otel-run: notes.txt: 980 lines more can't be read\n")


def test_a_folder_of_files_that_are_no_spools_is_said(receiving: Fickle, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "shop.12.jsonl").write_bytes(to_json(record("a"))[0])
    status, _, stderr = send(receiving, tmp_path, "files")
    assert (status, names(receiving)) == (1, [])
    assert stderr.startswith("otel-run: files is no spool folder: ")
    assert stderr.endswith("\nhint: otel-run send files/*.jsonl sends all the same\n")


def test_a_packed_file_is_sent(receiving: Fickle, tmp_path: Path) -> None:
    packed = gzip.compress(b"\n".join(to_json(record("a"))) + b"\n")
    (tmp_path / "traces.jsonl.gz").write_bytes(packed)
    (tmp_path / "torn.jsonl.gz").write_bytes(packed[:-5])
    status, _, stderr = send(receiving, tmp_path, "traces.jsonl.gz", "torn.jsonl.gz")
    assert (status, names(receiving)[0]) == (1, "a")
    assert stderr.startswith("otel-run: torn.jsonl.gz can't be read: Compressed file ended")


def test_a_line_that_is_longer_than_any_is_not_taken_into_memory(receiving: Fickle, tmp_path: Path) -> None:
    with (tmp_path / "traces.jsonl").open("wb") as file:
        file.truncate(400 << 20)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"\n".join(to_json(record("good"))))
    limited = ["sh", "-c", 'ulimit -v 500000 && exec "$@"', "sh", *OTEL_RUN, "send", "traces.jsonl"]
    done = run(limited, tmp_path, env=environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiving.endpoint))
    assert (done.returncode, names(receiving)) == (1, ["good"])
    assert done.stderr.startswith("otel-run: traces.jsonl, line 1 can't be read: ")


def test_a_receiver_that_is_away_is_said_once_and_everything_is_left(closed_port: int, tmp_path: Path) -> None:
    for service in ("shop", "billing"):
        left(tmp_path / "spool", service, "a", "b")
    before = {path: path.read_bytes() for path in (tmp_path / "spool").iterdir()}
    endpoint = f"http://127.0.0.1:{closed_port}"
    done = run([*OTEL_RUN, "send", "spool", "--endpoint", endpoint], tmp_path)
    assert (done.returncode, done.stdout) == (1, f"0 spans in 0 files sent to {endpoint}/v1/traces\n")
    assert done.stderr.count("\n") == 2
    assert done.stderr.startswith(f"otel-run: {endpoint}/v1/traces: Connection refused; spool/")
    assert {path: path.read_bytes() for path in (tmp_path / "spool").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is nothing to send"),
        (["--endpoint"], "--endpoint needs a value"),
        (["--endpoint", "nonsense://", "."], "--endpoint can't be 'nonsense://'"),
        (["--enpoint", "http://h"], "send has no flag --enpoint"),
        (["no such"], "there is no folder or file 'no such'"),
        (["--", "--help"], "there is no folder or file '--help'"),
    ],
)
def test_a_mistake_on_the_command_line_has_a_status_of_its_own(
    receiving: Fickle, tmp_path: Path, arguments: list[str], said: str
) -> None:
    status, stdout, stderr = send(receiving, tmp_path, *arguments)
    assert (status, stdout) == (2, "")
    assert stderr.startswith(f"otel-run: {said}")


def test_a_certificate_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "ca.pem").write_text("no certificate")
    settings = environment(OTEL_EXPORTER_OTLP_CERTIFICATE="ca.pem", OTEL_EXPORTER_OTLP_ENDPOINT="https://localhost:1")
    done = run([*OTEL_RUN, "send", "spool"], tmp_path, env=settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("otel-run: the exporter can't be set up: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_it_tells_what_it_does(receiving: Fickle, tmp_path: Path, flag: str) -> None:
    status, stdout, stderr = send(receiving, tmp_path, flag)
    assert (status, stderr) == (0, "")
    assert stdout.startswith("Usage: otel-run send ")
