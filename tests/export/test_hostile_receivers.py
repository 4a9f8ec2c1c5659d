"""Receivers and endpoints that misbehave: they cost the program no more than the exit budget, and no secret."""

from __future__ import annotations

import base64
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from otel_run.command.demo.servers import free_port
from process.children import OTEL_RUN, environment, run
from servers.fickle import fickle

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

ONE = "from opentelemetry import trace\ntracer = trace.get_tracer('app')\ntracer.start_span('one').end()\n"


def _run(tmp_path: Path, source: str, endpoint: str, **env: str) -> tuple[subprocess.CompletedProcess[str], float]:
    (tmp_path / "app.py").write_text(source)
    started = time.monotonic()
    done = run(
        [*OTEL_RUN, sys.executable, "app.py"], tmp_path, env=environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **env)
    )
    return done, time.monotonic() - started


# How the one span comes to be sent at the very end.
LATE = {
    "at exit": ONE,
    # Nothing can start a thread any more when this span ends.
    "in an exit handler": """
import atexit
from opentelemetry import trace
atexit.register(lambda: trace.get_tracer("app").start_span("one").end())
""",
    # The SDK shuts it down when the interpreter exits.
    "own provider": """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry import trace
trace.set_tracer_provider(TracerProvider())
trace.get_tracer("app").start_span("one").end()
""",
    "shut down by the program": ONE + "trace.get_tracer_provider().shutdown()\n",
}


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("way", ["hang", "drip"])
def test_an_answer_that_does_not_come_costs_the_exit_budget_once(way: str, late: str, tmp_path: Path) -> None:
    with fickle() as receiver:
        receiver.delay, receiver.drip = (20, 0) if way == "hang" else (0, 0.1)
        done, took = _run(tmp_path, LATE[late], receiver.endpoint, OTEL_RUN_EXIT_TIMEOUT="1000")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "1 span lost" in done.stderr
    # One second of it is the budget; the SDK's own limits would be 10 and 30.
    assert took < 6


def test_an_endless_answer_is_not_read_to_its_end(tmp_path: Path) -> None:
    with fickle() as receiver:
        receiver.endless = True
        # Not getrusage: its maximum counts the moment before exec, when the child was a copy of this process.
        source = ONE + "trace.get_tracer_provider().force_flush()\n"
        source += "status = open('/proc/self/status').read()\n"
        source += "print(int(status.partition('VmHWM:')[2].split()[0]) < 200_000)\n"
        done, _ = _run(tmp_path, source, receiver.endpoint)
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert [span.name for span in receiver.spans] == ["one"]


def test_asking_to_come_again_at_once_does_not_bring_a_flood(tmp_path: Path) -> None:
    with fickle() as receiver:
        receiver.answers, receiver.response_headers = [429], {"retry-after": "0"}
        _run(tmp_path, ONE + "import time\ntime.sleep(2)\n", receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY="50")
    assert 1 <= len(receiver.requests) <= 4


def test_what_answers_no_http_is_down(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def answer_once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-nothing of yours\r\n")

        thread = threading.Thread(target=answer_once)
        thread.start()
        done, _ = _run(tmp_path, ONE, f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "no HTTP answer: BadStatusLine; 1 span lost" in done.stderr


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_password_in_the_endpoint_is_used_and_never_printed(protocol: str, tmp_path: Path) -> None:
    secret = f"http://user:topsecret@127.0.0.1:{free_port()}/v1/traces?api_key=topsecret"
    done, _ = _run(tmp_path, ONE, "", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=secret, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert "1 span lost" in done.stderr
    assert "topsecret" not in done.stderr
    with fickle() as receiver:
        endpoint = receiver.endpoint.replace("http://", "http://user:top%20secret@")
        done, _ = _run(tmp_path, ONE, endpoint)
    assert done.stderr == ""
    expected = base64.b64encode(b"user:top secret").decode()
    assert receiver.requests[0]["authorization"] == f"Basic {expected}"


def test_a_proxy_is_used_with_its_password_and_passed_by_where_no_proxy_says_so(tmp_path: Path) -> None:
    with fickle() as proxy:
        address = proxy.endpoint.replace("http://", "http://u:p@")
        done, _ = _run(tmp_path, ONE, "http://collector.example:4318", http_proxy=address)
        assert done.stderr == ""
        assert proxy.requests[0]["path"] == "http://collector.example:4318/v1/traces"
        assert proxy.requests[0]["host"] == "collector.example:4318"
        assert proxy.requests[0]["proxy-authorization"] == "Basic " + base64.b64encode(b"u:p").decode()
        with fickle() as receiver:
            _run(tmp_path, ONE, receiver.endpoint, http_proxy=address, no_proxy="127.0.0.1")
            assert len(receiver.spans) == 1
    done, _ = _run(tmp_path, ONE, "http://collector.example", http_proxy=f"http://127.0.0.1:{free_port()}")
    assert "the proxy 127.0.0.1" in done.stderr


def test_tls_that_cannot_be_trusted_is_said(tmp_path: Path) -> None:
    with fickle() as plain:  # speaks no TLS at all
        done, _ = _run(tmp_path, ONE, plain.endpoint.replace("http:", "https:"), OTEL_EXPORTER_OTLP_TIMEOUT="1000")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "1 span lost" in done.stderr


def test_one_hanging_exporter_does_not_starve_the_other(tmp_path: Path) -> None:
    package = tmp_path / "hanging-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[opentelemetry_traces_exporter]\nhanging = hanging:Exporter\n")
    (tmp_path / "hanging.py").write_text(
        "import time\nfrom opentelemetry.sdk.trace.export import SpanExporter\n"
        "class Exporter(SpanExporter):\n    def export(self, spans):\n        time.sleep(20)\n"
    )
    with fickle() as receiver:
        done, _ = _run(
            tmp_path, ONE, receiver.endpoint,
            OTEL_TRACES_EXPORTER="hanging,otlp", OTEL_RUN_EXIT_TIMEOUT="1000", PYTHONPATH=str(tmp_path),
        )  # fmt: skip
    assert [span.name for span in receiver.spans] == ["one"]
    assert done.stderr.count("\n") == 1
    assert "exporter hanging: 1 span lost" in done.stderr
