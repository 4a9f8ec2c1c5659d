"""The states that a receiver may be in when a process ends, and one program run against each of them, side by side.

Most of what such a test takes is waiting, so that five at once take no longer than one.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_run.command.demo.servers import HOST, free_port
from servers.fickle import Fickle, fickle
from servers.program import clean_environment, launcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from servers.receiver import Span

UP, REFUSING, HANGING, BUSY, AWAY = "up", "refusing", "hanging", "busy", "away"
STATES = (UP, REFUSING, HANGING, BUSY, AWAY)
AWAY_FOR = 3.0  # seconds
RETRY_AFTER = 1  # seconds


@dataclass
class Endpoint:
    """Where to send, and what has come."""

    url: str
    received: Fickle = field(default_factory=Fickle)

    @property
    def names(self) -> list[str]:
        """The names of the spans that have come, sorted; one that came twice is there twice."""
        return sorted(span.name for span in self.spans)

    @property
    def spans(self) -> list[Span]:
        """The spans that have come."""
        return list(self.received.spans)


@contextlib.contextmanager
def endpoint(state: str) -> Iterator[Endpoint]:
    """Give an endpoint in one of the STATES, until the block is left.

    `up` answers; `refusing` has nobody listening; `hanging` accepts connections and never answers; `busy` answers the
    first request by 503 with Retry-After and takes the second; `away` refuses for three seconds and is then up.
    """
    with contextlib.ExitStack() as stack:
        if state in (UP, BUSY):
            received = stack.enter_context(fickle())
            if state == BUSY:
                received.answers = [503, 200]
                received.response_headers = {"Retry-After": str(RETRY_AFTER)}
            yield Endpoint(received.endpoint, received)
        elif state == AWAY:
            found = Endpoint("")
            port = free_port()
            found.url = f"http://{HOST}:{port}"
            over = threading.Event()
            back = threading.Thread(target=_come_back, args=(port, found, over))
            back.start()
            stack.callback(back.join)
            stack.callback(over.set)
            yield found
        else:
            taken = stack.enter_context(socket.socket())
            taken.bind((HOST, 0))
            if state == HANGING:
                taken.listen(128)  # the system accepts; nobody reads
            yield Endpoint(f"http://{HOST}:{taken.getsockname()[1]}")


def _come_back(port: int, found: Endpoint, over: threading.Event) -> None:
    if not over.wait(AWAY_FOR):
        with fickle(port) as found.received:
            over.wait()


@dataclass
class Ended:
    """How a program ended: status (negative: a signal), output, what was received, seconds from its END line on."""

    state: str
    status: int
    stdout: str
    stderr: str
    delay: float
    endpoint: Endpoint

    @property
    def names(self) -> list[str]:
        """The names of the spans that were received."""
        return self.endpoint.names

    def __str__(self) -> str:
        """Tell what a failed assertion needs."""
        return f"{self.state}: status {self.status}, {self.delay:.2f} s, {self.names}\n{self.stdout}{self.stderr}"


# What a program does last of its own: everything that comes later is counted as the delay of its end.
TELL_END = "import time; print('END', time.time(), flush=True)"


def run_in_each_state(
    command: Sequence[str], folder: Path, states: Sequence[str] = STATES, env: Mapping[str, str] | None = None
) -> dict[str, Ended]:
    """Run `python COMMAND` under `otel-run` once for each state, all at once, and return how each ended."""

    def run(state: str) -> Ended:
        with endpoint(state) as found:
            variables = {
                **clean_environment(),
                "OTEL_EXPORTER_OTLP_ENDPOINT": found.url,
                "OTEL_RUN_PROCESS_SPAN": "off",
                "OTEL_RUN_STRICT": "true",
                "PYTHONWARNINGS": "ignore::DeprecationWarning",
                **(env or {}),
            }
            with subprocess.Popen(
                [*launcher(), sys.executable, *command],
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            ) as process:
                try:
                    stdout, stderr = process.communicate(timeout=60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
                gone = time.time()
            told = [line.split() for line in stdout.splitlines() if line.startswith("END ")]
            delay = gone - max((float(words[1]) for words in told), default=gone)
            return Ended(state, process.returncode, stdout, stderr, delay, found)

    with ThreadPoolExecutor(len(states)) as pool:
        return {ended.state: ended for ended in pool.map(run, states)}
