"""TLS, client certificates and proxies, with real servers and certificates made for the test."""

from __future__ import annotations

import base64
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from export.scripted import Authority, Scripted, answering, patiently, scripted
from otel_run.export.connection import Connection
from otel_run.export.proxy import proxy_of
from process.children import OTEL_RUN, environment, run
from servers.receiver import decode

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from export.scripted import Script

MANY = """
import sys, time
from opentelemetry import trace
tracer = trace.get_tracer("app")
for name in ("one", "two", "three"):
    tracer.start_span(name).end()
    trace.get_tracer_provider().force_flush()
"""

ONE = 'from opentelemetry import trace\ntrace.get_tracer("app").start_span("one").end()\n'


def _run(tmp_path: Path, endpoint: str, source: str = MANY, **env: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "app.py").write_text(source)
    variables = environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_RUN_STRICT="true", **env)
    return run([*OTEL_RUN, sys.executable, "-W", "error", "app.py"], tmp_path, env=variables)


def _names(server: Scripted) -> list[list[str]]:
    return [
        [span.name for request in requests for span in decode(request.partition(b"\r\n\r\n")[2])]
        for requests in server.connections
    ]


def test_three_batches_over_one_tls_connection(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with scripted(patiently, tls=authority.server("127.0.0.1")) as server:
        done = _run(
            tmp_path, f"https://127.0.0.1:{server.port}", OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority.certificate)
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert _names(server) == [["one", "two", "three"]]


def test_an_authority_that_nobody_knows_is_said(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with scripted(patiently, tls=authority.server("127.0.0.1")) as server:
        done = _run(tmp_path, f"https://127.0.0.1:{server.port}", ONE)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "unable to get local issuer certificate" in done.stderr
    assert not any(server.connections)


def test_a_certificate_for_another_host_is_said(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with scripted(patiently, tls=authority.server("collector.example")) as server:
        trusted = str(authority.certificate)
        done = _run(tmp_path, f"https://127.0.0.1:{server.port}", ONE, OTEL_EXPORTER_OTLP_CERTIFICATE=trusted)
    assert done.stderr.count("\n") == 1
    assert "IP address mismatch" in done.stderr
    assert not any(server.connections)


@pytest.mark.parametrize("has_certificate", [True, False])
def test_a_server_that_asks_who_we_are(has_certificate: bool, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("client")
    ours = {
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(certificate),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(key),
    }
    with scripted(patiently, tls=authority.server("127.0.0.1", asks_for_client=True)) as server:
        done = _run(
            tmp_path, f"https://127.0.0.1:{server.port}", MANY if has_certificate else ONE,
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority.certificate), **(ours if has_certificate else {}),
        )  # fmt: skip
    if has_certificate:
        assert done.stderr == ""
        assert _names(server) == [["one", "two", "three"]]
    else:
        assert done.stderr.count("\n") == 1
        assert "certificate required" in done.stderr.lower()
        assert not any(server.connections)


def test_a_tls_connection_that_the_server_closed_is_replaced(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    with scripted(answering(ok), patiently, tls=authority.server("127.0.0.1")) as server:
        done = _run(
            tmp_path, f"https://127.0.0.1:{server.port}", OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority.certificate)
        )
    assert done.stderr == ""
    assert _names(server) == [["one"], ["two", "three"]]


def test_a_large_batch_and_a_long_answer_go_through_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 50000\r\n\r\n" + b"a" * 50_000
    with scripted(answering(answer, answer), tls=authority.server("localhost", "127.0.0.1")) as server:
        ours = Connection(f"https://127.0.0.1:{server.port}/", {}, str(authority.certificate), None, None)
        bodies = [ours.post(b"x" * 3_000_000, 10).body for _ in range(2)]
        ours.close()
    assert [len(body) for body in bodies] == [50_000, 50_000]
    assert [[len(request) > 3_000_000 for request in requests] for requests in server.connections] == [[True, True]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
@pytest.mark.parametrize("secure", [True, False])
def test_a_fork_leaves_the_kept_connection_to_the_parent(secure: bool, tmp_path: Path) -> None:
    source = """
import os, sys
from opentelemetry import trace
tracer = trace.get_tracer("app")
def send(name):
    tracer.start_span(name).end()
    assert trace.get_tracer_provider().force_flush()
send("parent 1")
for _ in range(2):
    child = os.fork()
    if child == 0:
        if "spans" in sys.argv:
            tracer.start_span("child").end()
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
    send("parent 2")
"""
    authority = Authority(tmp_path)
    with scripted(patiently, tls=authority.server("127.0.0.1") if secure else None) as server:
        endpoint = f"http{'s' if secure else ''}://127.0.0.1:{server.port}"
        done = _run(tmp_path, endpoint, source, OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority.certificate))
    assert (done.returncode, done.stderr) == (0, "")
    assert _names(server) == [["parent 1", "parent 2", "parent 2"]]


def _tunnel(to: int, status: bytes = b"200 Connection established") -> Script:
    """Return a script: take a CONNECT, and from then on hand every byte on to `to` and back."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while received := source.recv(65536):
                sink.sendall(received)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def script(server: Scripted, opened: socket.socket) -> None:
        server.read(opened)
        opened.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
        if not status.startswith(b"200"):
            return
        with socket.create_connection(("127.0.0.1", to)) as behind:
            back = threading.Thread(target=pump, args=(behind, opened))
            back.start()
            pump(opened, behind)
            back.join()

    return script


def test_https_goes_through_a_proxys_tunnel(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = authority.server("collector.example")
    with scripted(patiently, tls=tls) as server, scripted(_tunnel(server.port)) as proxy:
        done = _run(
            tmp_path, "https://collector.example:4318", https_proxy=f"http://u:p@127.0.0.1:{proxy.port}",
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority.certificate),
        )  # fmt: skip
    assert done.stderr == ""
    assert _names(server) == [["one", "two", "three"]]
    password = base64.b64encode(b"u:p").decode()
    head = "CONNECT collector.example:4318 HTTP/1.1\r\nhost: collector.example:4318\r\n"
    assert proxy.connections == [[f"{head}proxy-authorization: Basic {password}\r\n\r\n".encode()]]
    assert b"proxy-authorization" not in server.connections[0][0]


def test_a_proxy_that_makes_no_tunnel_is_said_without_its_password(tmp_path: Path) -> None:
    with scripted(_tunnel(0, b"407 Proxy Authentication Required")) as proxy:
        address = f"http://u:topsecret@127.0.0.1:{proxy.port}"
        done = _run(tmp_path, "https://collector.example", ONE, https_proxy=address)
    assert done.stderr.count("\n") == 1
    assert f"the proxy 127.0.0.1:{proxy.port}: 407 Proxy Authentication Required; 1 span" in done.stderr
    assert "topsecret" not in done.stderr


@pytest.mark.parametrize(
    ("no_proxy", "url", "goes_through"),
    [
        ("", "http://collector.example:4318", True),
        ("*", "http://collector.example:4318", False),
        ("other, collector.example", "http://collector.example:4318", False),
        (".example", "http://collector.example", False),
        ("*.example", "http://collector.example", False),
        ("EXAMPLE", "http://Collector.Example", False),
        ("ample", "http://collector.example", True),
        ("collector.example:4318", "http://collector.example:4318", False),
        ("collector.example:4317", "http://collector.example:4318", True),
        ("10.0.0.0/8", "http://10.1.2.3:4318", False),
        ("10.0.0.0/8", "http://11.1.2.3:4318", True),
        ("10.1.2.3/8", "http://10.9.9.9", False),
        ("fd00::/8", "http://[fd00::1]:4318", False),
        ("10.0.0.0/8", "http://collector.example", True),
        ("10.0.0.0/nonsense,,/", "http://10.1.2.3", True),
        ("::1", "http://[::1]:4318", False),
    ],
)
def test_what_no_proxy_names_is_passed_by(
    no_proxy: str, url: str, goes_through: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTP_PROXY", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    found = proxy_of(urlsplit(url))
    assert (found.hostname if found else None) == ("proxy.example" if goes_through else None)


def test_which_variable_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    parts = urlsplit("http://collector.example")
    monkeypatch.setenv("HTTPS_PROXY", "http://secure.example:1")
    assert proxy_of(parts) is None
    monkeypatch.setenv("HTTP_PROXY", "http://upper.example:1")
    assert proxy_of(parts) == urlsplit("http://upper.example:1")
    monkeypatch.setenv("REQUEST_METHOD", "POST")  # a CGI program: it may be a header of a stranger's
    assert proxy_of(parts) is None
    monkeypatch.setenv("http_proxy", "http://lower.example:1")
    assert proxy_of(parts) == urlsplit("http://lower.example:1")
    monkeypatch.setenv("http_proxy", "")
    monkeypatch.delenv("REQUEST_METHOD")
    assert proxy_of(parts) is None
    monkeypatch.setenv("http_proxy", "socks5://lower.example:1")
    with pytest.raises(ValueError, match="a proxy must be http://host:port, not socks5://"):
        proxy_of(parts)


def test_under_gevent_nothing_of_it_is_used_in_our_thread(tmp_path: Path) -> None:
    source = """
from gevent import monkey
monkey.patch_all()
import gevent, threading
from opentelemetry import trace
tracer = trace.get_tracer("app")
for name in ("one", "two"):
    tracer.start_span(name).end()
    gevent.sleep(0.5)
hubs = [one for one in __import__("gc").get_objects() if isinstance(one, gevent.hub.Hub)]
print(len(hubs))
"""
    authority = Authority(tmp_path)
    with scripted(patiently, tls=authority.server("127.0.0.1")) as server:
        (tmp_path / "app.py").write_text(source)
        variables = environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"https://127.0.0.1:{server.port}", OTEL_BSP_SCHEDULE_DELAY="50",
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority.certificate), OTEL_RUN_STRICT="true",
        )  # fmt: skip
        done = run([*OTEL_RUN, sys.executable, "app.py"], tmp_path, env=variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
    assert _names(server) == [["one", "two"]]
