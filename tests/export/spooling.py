"""A spool in a test: what writes to it, what it delivers to, and other processes that do."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from otel_run.export.encode import Encoder
from otel_run.export.sender import DELIVERED, Outcome
from otel_run.export.spool import Spool
from servers.receiver import decode

RESOURCE = Resource({"service.name": "shop"})
PLENTY = 1 << 26
AWAY = Outcome(False, "Connection refused", retry=True)
REFUSED = Outcome(False, "400 Bad Request")


def span(name: str) -> ReadableSpan:
    context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1))
    return ReadableSpan(name, context=context, resource=RESOURCE, start_time=1, end_time=2)


def record(*names: str) -> bytes:
    """Return a request with spans of these names."""
    return Encoder().encode(map(span, names))


def write(spool: Spool, *names: str) -> str:
    return spool.write(record(*names), len(names))


class Inbox:
    """A receiver that is called; answers as it is told, and then well."""

    def __init__(self, *answers: Outcome) -> None:
        self.names: list[str] = []
        self._answers = list(answers)

    def __call__(self, record: bytes) -> Outcome:
        outcome = self._answers.pop(0) if self._answers else DELIVERED
        if outcome.delivered:
            self.names += [span.name for span in decode(record)]
        return outcome


def always() -> bool:
    return True


def make(folder: Path, service: str = "shop", most: int = PLENTY) -> Spool:
    return Spool(str(folder), service, most, "exporter otlp")


def delivered(folder: Path, service: str = "shop") -> tuple[list[str], int]:
    """Have a process of the service, which is this one, deliver; return what came and how many spans were lost."""
    inbox, spool = Inbox(), make(folder, service)
    spool.deliver(inbox, always)
    spool.close()
    return inbox.names, spool.dropped


def left(folder: Path, *batches: str, service: str = "shop") -> Path:
    """Leave a file with these spans, each a line, as a process does that has ended; return its path."""
    spool = make(folder, service)
    before = set(folder.glob("*"))
    for name in batches:
        assert write(spool, name) == ""
    spool.close()
    [path] = set(folder.glob("*")) - before
    return path


PRELUDE = """
    import os, resource, signal, sys, time
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from export.spooling import AWAY, DELIVERED, PLENTY, Inbox, always, make, write
    folder = Path(sys.argv[1])
    spool = make(folder)
    def ready(*told):
        print(*told, flush=True)
        sys.stdin.readline()
"""


class Child:
    """A process with a spool; it runs until its `ready()`, and on when it is told to."""

    def __init__(self, folder: Path, source: str) -> None:
        program = textwrap.dedent(PRELUDE).format(tests=str(Path(__file__).parents[1])) + textwrap.dedent(source)
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Child:  # noqa: PYI034 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def told(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> str:
        """Let it go on; return what it prints until its end, which must be a good one."""
        printed, _ = self.process.communicate("\n", 30)
        assert self.process.returncode == 0
        return printed.strip()
