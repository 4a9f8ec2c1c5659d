"""Servers that are asked and then ended, several side by side, and what has come of the spans of their requests.

Nothing is sent before the end unless it has to be: spans wait for five seconds, and the servers don't live that long.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from otel_run.command.demo.servers import HOST
from otel_run.patching import candidates
from servers.endpoints import UP, Endpoint, endpoint
from servers.program import clean_environment, launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_OTHERS = ",".join(candidate.name for candidate in candidates.find() if not candidate.is_ours)
_AT_ONCE = 4  # servers; two cores start them
_SETTLING = 0.2  # seconds


@dataclass(frozen=True)
class Case:
    """One server, how it is asked and how it ends."""

    # `{port}` is where to listen.
    command: tuple[str, ...]
    ending: signal.Signals = signal.SIGTERM
    state: str = UP
    requests: int = 8
    # Seconds between two requests.
    pause: float = 0.0
    # What is done between the requests and the end.
    then: Callable[[Served], object] = lambda served: None
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Served:
    """A server: while it runs, whom to ask; when it has ended, how that was."""

    case: Case
    port: int
    process: subprocess.Popen[str]
    endpoint: Endpoint
    log: Path
    # The process that has answered, for each path.
    answered: dict[str, int] = field(default_factory=dict)
    # Negative: a signal.
    status: int = 0
    # Seconds from the signal to the end.
    delay: float = 0.0

    @property
    def output(self) -> str:
        """What it wrote, to stdout or stderr."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def said(self) -> list[str]:
        """The lines of ours."""
        return [line for line in self.output.splitlines() if line.startswith("otel-run: ")]

    @property
    def received(self) -> list[tuple[str, int]]:
        """The path and the process of each span that has come, sorted; one that came twice is there twice."""
        return sorted(
            (str(span.attributes["url.path"]), int(span.resource["process.pid"])) for span in self.endpoint.spans
        )

    def ask(self, count: int = 1) -> None:
        """Send requests of which each has a path of its own."""
        for _ in range(count):
            path = f"/{len(self.answered):02}"
            with socket.create_connection((HOST, self.port), timeout=20) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            assert answer.split(b" ", 2)[1] == b"200", answer
            self.answered[path] = int(answer.rpartition(b"pid=")[2].split(b";")[0])
            time.sleep(self.case.pause)

    def wait_for_lines(self, text: str, count: int, seconds: float = 15) -> None:
        """Wait until `text` is in so many lines of its output."""
        end = time.monotonic() + seconds
        while sum(text in line for line in self.output.splitlines()) < count and time.monotonic() < end:
            time.sleep(0.05)

    def __str__(self) -> str:
        """Tell what a failed assertion needs."""
        return (
            f"{' '.join(self.case.command)}: {self.case.ending.name}, {self.case.state}: status {self.status}, "
            f"{self.delay:.2f} s\n{self.answered}\n{self.received}\n{self.output}"
        )


def run(cases: Mapping[str, Case], folder: Path) -> dict[str, Served]:
    """Serve each case under `otel-run`, with the application in `folder`, ask it, and end it."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(cases, pool.map(lambda case: _run(case, folder), cases.values()), strict=True))


def bare_statuses(cases: Mapping[str, Case], folder: Path) -> dict[str, int]:
    """Return the status of each case without us."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda case: _run(case, folder, traced=False).status, cases.values())
        return dict(zip(cases, found, strict=True))


def _run(case: Case, folder: Path, traced: bool = True) -> Served:
    with endpoint(case.state) as found, _started(case, folder, found, traced) as served:
        _wait_until_it_listens(served)
        served.ask(case.requests if traced else 1)
        case.then(served)
        # The last answer is here before its server is done with the request.
        time.sleep(_SETTLING)
        began = time.monotonic()
        served.process.send_signal(case.ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            served.status = served.process.wait(20)
        served.delay = time.monotonic() - began
        # Workers may end after whoever has started them.
        end = time.monotonic() + 5
        while _is_any_alive(served.process.pid) and time.monotonic() < end:
            time.sleep(0.02)
    return served


@contextlib.contextmanager
def _started(case: Case, folder: Path, found: Endpoint, traced: bool) -> Iterator[Served]:
    port = _port()
    words = [word.replace("{port}", str(port)) for word in case.command]
    words[0] = sys.executable if words[0] == "python" else str(Path(sys.executable).with_name(words[0]))
    environment = {
        **clean_environment(),
        "OTEL_EXPORTER_OTLP_ENDPOINT": found.url,
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": _OTHERS,
        "OTEL_RUN_PROCESS_SPAN": "off",
        "OTEL_RUN_STRICT": "true",
        **case.env,
    }
    log = folder / f"{port}.log"
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(
            [*launcher(), *words] if traced else words,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Served(case, port, process, found, log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _port() -> int:
    """Return a free port, of those that the system gives to nobody who asks for any: it would be taken meanwhile."""
    while True:
        port = random.randrange(12000, 30000)
        with contextlib.suppress(OSError), socket.socket() as trial:
            trial.bind((HOST, port))
            return port


def _wait_until_it_listens(served: Served) -> None:
    end = time.monotonic() + 40
    while time.monotonic() < end and served.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, served.port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"it does not listen: {served.process.poll()}\n{served.output}")


def _is_any_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True
