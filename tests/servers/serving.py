"""Running a server under `otel-run`, or bare, asking it, and ending it as its operator does.

Answers are read from the socket as bytes, so that two of them can be compared to the last chunk.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from otel_run.command.demo.servers import HOST, free_port
from servers.program import clean_environment, launcher
from servers.receiver import RUN, Receiver, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


@dataclass
class Server:
    """One server that runs: where it listens, how to ask it, and after its end its spans, earliest first."""

    port: int
    process: subprocess.Popen[str]
    spans: list[Span] = field(default_factory=list)
    output: str = ""
    # Called with a number, it waits until that many spans have arrived, for what is not sent at the end.
    wait_for: Callable[[int], object] = lambda count: None

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://{HOST}:{self.port}"

    def ask(self, path: str, method: str = "GET", body: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> bytes:
        """Send one request, on a connection of its own, and return all that comes back, as it comes."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}:{self.port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        with socket.create_connection((HOST, self.port), timeout=20) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def status(self, path: str, *args: object, **kwargs: object) -> int:
        """Send one request as `ask` does and return the status of its answer."""
        return int(self.ask(path, *args, **kwargs).split(b" ", 2)[1])  # type: ignore[arg-type]

    def named(self, name: str) -> Span:
        """Return the only span of that name."""
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, f"{len(found)} spans are named {name!r}; there are:\n{self}"
        return found[0]

    @property
    def requests(self) -> list[Span]:
        """The spans of kind SERVER."""
        return [span for span in self.spans if span.kind == "SERVER"]

    def __str__(self) -> str:
        """Tell what a failed assertion needs."""
        return "\n".join([*(f"  {s.kind} {s.name} {s.status} {s.attributes}" for s in self.spans), self.output])


class Serving:
    """Runs servers in one folder; see `__call__`."""

    def __init__(self, receiver: Receiver, folder: Path, **defaults: str) -> None:
        """`defaults` are variables that each server gets, unless it is given others."""
        self._receiver = receiver
        self.folder = folder
        self._defaults = defaults

    @contextlib.contextmanager
    def __call__(
        self,
        source: str,
        *command: str,
        env: Mapping[str, str] | None = None,
        traced: bool = True,
        ending: signal.Signals = signal.SIGINT,
        expect: int | None = None,
        started: float = 40,
        python: str = sys.executable,
    ) -> Iterator[Server]:
        """Write `source` to app.py and run `command`, in which `{port}` is where to listen; end it with the block.

        A command is a script of this environment (`gunicorn`) or, with `python` for its first word, a program.
        `expect` waits for that many spans in place of those that were sent until its end. With `traced` false it
        runs without us.
        """
        (self.folder / "app.py").write_text(textwrap.dedent(source))
        run, port = uuid.uuid4().hex, free_port()
        environment = {
            **clean_environment(),
            "OTEL_EXPORTER_OTLP_ENDPOINT": self._receiver.http_endpoint,
            "OTEL_RESOURCE_ATTRIBUTES": f"{RUN}={run}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_RUN_PROCESS_SPAN": "off",
            "OTEL_RUN_STRICT": "true",
            **self._defaults,
            **(env or {}),
        }
        words = [word.replace("{port}", str(port)) for word in command]
        words[0] = python if words[0] == "python" else str(Path(python).with_name(words[0]))
        log = self.folder / f"{run}.log"
        with (
            log.open("w+", encoding="utf-8") as output,
            subprocess.Popen(
                [*launcher(), *words] if traced else words,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            ) as process,
        ):
            server = Server(port, process, wait_for=lambda count: traced and self._receiver.spans(run, count))
            try:
                _wait_until_it_listens(server, started, log)
                yield server
            finally:
                # What a bare one says at its end, nobody compares.
                _end(process, ending if traced else signal.SIGKILL)
                server.output = log.read_text(encoding="utf-8", errors="replace")
            if traced:
                server.spans = self._receiver.spans(run, expect)


def _wait_until_it_listens(server: Server, seconds: float, log: Path) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, server.port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"it does not listen: status {server.process.poll()}\n{log.read_text(encoding='utf-8')}")


def _end(process: subprocess.Popen[str], ending: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(ending)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Workers that have outlived it, too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
