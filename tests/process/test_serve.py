"""`otel-run view --serve` as a user has it: a real process, real services under `otel-run`, and hostile visitors."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from otel_run.command.demo.servers import free_port
from process.children import OTEL_RUN, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 30.0  # seconds


def line(trace: int, name: str = "work", span: int = 1, parent: int = 0, start: int = 1_000_000) -> bytes:
    """Return a line of OTLP JSON with one span."""
    made = {
        "traceId": f"{trace:032x}",
        "spanId": f"{span:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": name,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 1_000_000),
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [made]}]}]}).encode() + b"\n"


class Viewer:
    """A viewer that runs."""

    def __init__(self, process: subprocess.Popen[bytes], otlp_port: int) -> None:
        assert process.stdout is not None
        self.process = process
        self.otlp_port = otlp_port
        self.url = process.stdout.readline().decode().strip()
        assert self.url.startswith("http://127.0.0.1:"), process.communicate(timeout=PATIENCE)
        _, _, address, self.token, _ = self.url.split("/")
        self.port = int(address.rpartition(":")[2])

    def ask(
        self, path: str = "", method: str = "GET", host: str = "", **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Return the status, headers and body of an answer; `path` follows the token unless it begins with a slash."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            whole = path if path.startswith("/") else f"/{self.token}/{path}"
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, whole, headers={"Host": host or f"127.0.0.1:{self.port}", **named})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def send(self, body: bytes) -> int:
        """Send spans as a program does."""
        url = f"http://127.0.0.1:{self.otlp_port}/v1/traces"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return int(answer.status)

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; return the status and what else it wrote."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors.decode()


class Stream:
    """What an open page is told."""

    def __init__(self, viewer: Viewer, last: str = "", asks: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=PATIENCE)
        path = f"/{viewer.token}/events{asks}"
        self._connection.request("GET", path, headers={"Last-Event-ID": last} if last else {})
        self._answer = self._connection.getresponse()
        assert self._answer.getheader("Content-Type") == "text/event-stream; charset=utf-8"
        assert self.next()[1:] == ("hello", {})

    def next(self) -> tuple[str, str, Any]:
        """Return id, name and data of the next event."""
        found: dict[str, str] = {}
        while True:
            got = self._answer.readline().decode()
            assert got, "the stream has ended"
            if got == "\n":
                if "event" in found:
                    return found.get("id", ""), found["event"], json.loads(found["data"])
                continue
            name, _, value = got.rstrip("\n").partition(": ")
            found[name] = value

    def until(self, is_it: Callable[[Any], bool]) -> Any:
        """Return the first document for which that holds."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            _, _, document = self.next()
            if is_it(document):
                return document
        raise AssertionError("it did not come")

    def labels(self, count: int) -> list[str]:
        """Return what the next traces are called, in order."""
        return sorted(self.next()[2]["label"] for _ in range(count))

    def close(self) -> None:
        """Leave."""
        self._answer.close()
        self._connection.close()


@contextlib.contextmanager
def viewing(*arguments: str, otlp_port: int | None = None) -> Iterator[Viewer]:
    """Run a viewer."""
    port = free_port() if otlp_port is None else otlp_port
    command = [*OTEL_RUN, "view", *arguments, "--serve", "--otlp-port", str(port)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        try:
            yield Viewer(process, port)
        finally:
            if process.poll() is None:
                process.kill()


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    """Give a viewer without files that tests share."""
    with viewing() as running:
        yield running


def test_the_page_comes_with_its_token_and_what_keeps_others_out(viewer: Viewer) -> None:
    status, headers, body = viewer.ask()
    assert status == 200
    assert "<html" in body
    assert {
        name: headers[name] for name in ("Content-Type", "Cache-Control", "Referrer-Policy", "X-Frame-Options")
    } == {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_who_does_not_know_the_token_learns_nothing(viewer: Viewer) -> None:
    right, wrong = viewer.token, viewer.token[:-1] + ("a" if viewer.token[-1] != "a" else "b")
    asked = [
        viewer.ask("/"),
        viewer.ask("/favicon.ico"),
        viewer.ask(f"/{wrong}/"),
        viewer.ask(f"/{wrong}/events"),
        viewer.ask(f"/x/../{right}/"),
        viewer.ask("/../../etc/passwd"),
        viewer.ask("/%2e%2e/%2e%2e/etc/passwd"),
        viewer.ask(f"/?token={right}"),
        viewer.ask("/", "POST"),
        viewer.ask(f"/{right}/", host="evil.example"),
        viewer.ask(f"/{right}/events", host=f"evil.example:{viewer.port}"),
        viewer.ask(f"/{right}/", host="127.0.0.1.evil.example"),
    ]
    assert {(status, body) for status, _, body in asked} == {(403, "no\n")}


def test_another_site_learns_nothing_though_it_knows_the_token(viewer: Viewer) -> None:
    assert [viewer.ask("events", Origin=origin)[0] for origin in ("http://evil.example", "null")] == [403, 403]


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="the terminal is one of Linux's here")
def test_the_browser_is_started_with_an_address_that_works_once_and_is_not_the_token(tmp_path: Path) -> None:
    told = tmp_path / "told"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {told}.part && mv {told}.part {told}\n')
    browser.chmod(0o700)
    ours, theirs = os.openpty()
    command = [*OTEL_RUN, "view", "--serve", "--otlp-port", str(free_port())]
    env = environment(BROWSER=f"{browser} %s &", TERM="dumb")
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=env) as process:
        try:
            viewer = Viewer(process, 0)
            end = time.monotonic() + PATIENCE
            while not told.exists():
                assert time.monotonic() < end
                time.sleep(0.05)
            address = told.read_text().strip()
            path = "/" + address.rpartition("/")[2]
            assert viewer.token not in address
            assert viewer.ask(path, host="evil.example")[0] == 403
            assert viewer.ask("/" + "x" * 32)[0] == 403
            status, headers, _ = viewer.ask(path)
            assert (status, headers["Location"]) == (303, f"/{viewer.token}/")
            assert viewer.ask(path)[::2] == (403, "no\n")
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
        finally:
            if process.poll() is None:
                process.kill()
            os.close(ours)
            os.close(theirs)


def test_the_token_opens_nothing_but_the_page(viewer: Viewer) -> None:
    paths = ["../../etc/passwd", "etc/passwd", "events/", "%2e%2e/etc/passwd", f"/{viewer.token}"]
    assert [viewer.ask(path)[0] for path in paths] == [404] * len(paths)
    assert viewer.ask("", "POST")[0] == 405


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1", "[::1]:80"])
def test_this_machine_may_be_called_by_any_of_its_own_names(viewer: Viewer, host: str) -> None:
    assert viewer.ask(host=host)[0] == 200


def test_what_is_sent_appears_and_changes_by_itself(viewer: Viewer) -> None:
    stream = Stream(viewer)
    viewer.send(line(1, "late root", 1, start=2_000_000))
    assert stream.until(lambda shown: shown["trace_id"] == f"{1:032x}")["label"] == "late root"
    viewer.send(line(1, "child", 2, 1))
    shown = stream.until(lambda shown: shown["trace_id"] == f"{1:032x}")
    assert [row["label"] for row in shown["rows"]] == ["late root", "child"]
    stream.close()


def test_a_trace_without_its_root_appears_too(viewer: Viewer) -> None:
    stream = Stream(viewer)
    viewer.send(line(2, "orphan", 2, 1))
    assert stream.until(lambda shown: shown["trace_id"] == f"{2:032x}")["label"] == "orphan"
    stream.close()


def test_a_page_that_comes_back_is_told_what_has_changed_meanwhile() -> None:
    with viewing() as viewer:
        stream = Stream(viewer)
        viewer.send(line(1, "before"))
        seen, _, document = stream.next()
        assert document["label"] == "before"
        stream.close()
        viewer.send(line(2, "meanwhile"))
        again = Stream(viewer, seen)
        assert again.next()[2]["label"] == "meanwhile"
        again.close()
        assert Stream(viewer).labels(2) == ["before", "meanwhile"]
        assert Stream(viewer, "garbage").labels(2) == ["before", "meanwhile"]
        # One that was out of sight asks with the address.
        assert Stream(viewer, asks=f"?after={seen}").labels(1) == ["meanwhile"]


SHOP = """
    import sys
    import requests
    from flask import Flask
    app = Flask(__name__)

    @app.get("/order")
    def order():
        return requests.get(sys.argv[2] + "/stock", timeout=20).text

    @app.get("/stock")
    def stock():
        return "3"

    app.run(port=int(sys.argv[1]))
"""


def test_services_under_otel_run_show_as_one_distributed_trace(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(textwrap.dedent(SHOP))
    with viewing() as viewer, contextlib.ExitStack() as stack:
        stream = Stream(viewer)
        ports = [free_port(), free_port()]
        endpoint = f"http://127.0.0.1:{viewer.otlp_port}"
        for service, port, other in zip(("orders", "stock"), ports, reversed(ports), strict=True):
            env = environment(
                OTEL_SERVICE_NAME=service, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_BSP_SCHEDULE_DELAY="100"
            )
            argv = [*OTEL_RUN, sys.executable, "shop.py", str(port), f"http://127.0.0.1:{other}"]
            process = subprocess.Popen(
                argv, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait, PATIENCE)
            stack.callback(process.terminate)
        for port in ports:
            wait_for(port)
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/order", timeout=PATIENCE) as answer:
            assert answer.read() == b"3"
        shown = stream.until(lambda shown: len(shown["rows"]) == 3)
        stream.close()
    assert shown["services"] == ["orders", "stock"]
    assert [row["label"] for row in shown["rows"]] == [
        "GET /order",
        f"GET http://127.0.0.1:{ports[1]}/stock",
        "GET /stock",
    ]
    assert [row["parent"] for row in shown["rows"][1:]] == [0, 1]


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens on {port}")


def test_a_file_is_followed_through_torn_lines_truncation_and_rotation(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(line(1, "was there"))
    with viewing(str(path)) as viewer:
        stream = Stream(viewer)
        assert stream.labels(1) == ["was there"]
        with path.open("ab") as file:
            whole = line(2, "torn")
            file.write(whole[:50])
            file.flush()
            file.write(b"")
            time.sleep(0.6)
            file.write(whole[50:] + b"garbage\n" + line(3, "after garbage"))
        assert stream.labels(2) == ["after garbage", "torn"]
        # Longer than what was there: its size alone does not tell.
        path.write_bytes(b"".join(line(number, "truncated") for number in range(10, 15)))
        assert stream.labels(5) == ["truncated"] * 5
        with path.open("ab") as file:
            path.rename(tmp_path / "traces.1.jsonl")
            path.write_bytes(line(20, "new file"))
            file.write(line(21, "to the old one"))
        assert stream.labels(2) == ["new file", "to the old one"]
        stream.close()
        status, errors = viewer.end()
    assert status == 130
    assert errors.count("can't be read") == 1
    assert "Traceback" not in errors


def test_a_folder_is_followed_and_a_file_may_come_later(tmp_path: Path) -> None:
    folder, later = tmp_path / "spool", tmp_path / "later.jsonl"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(line(1, "first"))
    with viewing(str(folder), str(later)) as viewer:
        stream = Stream(viewer)
        assert stream.labels(1) == ["first"]
        (folder / "a.jsonl").rename(folder / "a.1.jsonl")
        (folder / "a.jsonl").write_bytes(line(2, "second"))
        later.write_bytes(line(3, "later"))
        # The renamed one is not read again: that would be a third.
        assert stream.labels(2) == ["later", "second"]
        (folder / "b.jsonl").write_bytes(line(4, "last"))
        assert stream.labels(1) == ["last"]
        stream.close()
        assert "later.jsonl is not there yet" in viewer.end()[1]


def test_a_page_that_does_not_read_holds_nobody_up() -> None:
    with viewing() as viewer:
        # More than all buffers between the two hold.
        spans = [json.loads(line(1, f"span {number}", number, number and 1)) for number in range(1, 8_000)]
        viewer.send(json.dumps({"resourceSpans": [span["resourceSpans"][0] for span in spans]}).encode())
        assert Stream(viewer).next()[2]["spans"] == 7_999
        with socket.socket() as sleeping:
            sleeping.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sleeping.connect(("127.0.0.1", viewer.port))
            sleeping.sendall(f"GET /{viewer.token}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            sleeping.recv(1)
            stream = Stream(viewer)
            viewer.send(line(2, "for those who read"))
            assert stream.until(lambda shown: shown["trace_id"] == f"{2:032x}")["label"] == "for those who read"
            stream.close()
            assert viewer.end()[0] == 130


def test_fifty_pages_at_once_are_all_told(viewer: Viewer) -> None:
    streams = [Stream(viewer) for _ in range(50)]
    viewer.send(line(777, "for all"))
    for stream in streams:
        assert stream.until(lambda shown: shown["trace_id"] == f"{777:032x}")["label"] == "for all"
        stream.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_though_pages_are_open(number: signal.Signals) -> None:
    with viewing() as viewer:
        streams = [Stream(viewer) for _ in range(3)]
        status, errors = viewer.end(number)
        assert status == 128 + number
        assert "Traceback" not in errors
        with pytest.raises((AssertionError, OSError)):
            streams[0].next()
        for stream in streams:
            stream.close()


def test_a_port_for_spans_that_is_taken_is_replaced_and_said(tmp_path: Path) -> None:
    del tmp_path
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with viewing(otlp_port=taken.getsockname()[1]) as viewer:
            status, errors = viewer.end()
    assert status == 130
    first, hint, where, _ = errors.splitlines()
    port = first.rpartition(":")[2]
    assert first == f"otel-run: port {viewer.otlp_port} is taken, so spans are received at http://127.0.0.1:{port}"
    assert hint.startswith("hint: a collector")
    assert f"--endpoint http://127.0.0.1:{port} " in where


def test_a_port_for_the_page_that_is_taken_is_a_mistake() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*OTEL_RUN, "view", "--serve", str(port), "--otlp-port", str(free_port())],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=PATIENCE,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"otel-run: port {port} is taken\nhint: --serve without a number takes a free one\n"


def test_spans_come_by_stdin_as_they_are_written() -> None:
    read, write = os.pipe()
    command = [*OTEL_RUN, "view", "-", "--serve", "--otlp-port", str(free_port())]
    with subprocess.Popen(
        command, stdin=read, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        os.close(read)
        try:
            stream = Stream(Viewer(process, 0))
            for number in range(2):
                os.write(write, line(number + 1, f"line {number}"))
                assert stream.labels(1) == [f"line {number}"]
            stream.close()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)
            assert process.returncode == 130
        finally:
            os.close(write)
            if process.poll() is None:
                process.kill()
