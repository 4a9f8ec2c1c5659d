"""What the sending thread does with a spool, and whoever takes over from it at the end of the process."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from otel_run.export.batch import BatchProcessor
from otel_run.export.sender import DELIVERED, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

AWAY = Outcome(False, "connection refused", retry=True)


class Sender:
    """A sender whose parcels are the names of spans; what an attempt comes to is the test's to say."""

    destination = "nowhere"

    def __init__(self, send: Callable[[float], Outcome]) -> None:
        self._send = send

    def pack(self, spans: Iterable[ReadableSpan]) -> bytes:
        return " ".join(span.name for span in spans).encode()

    def send(self, parcel: bytes, timeout: float) -> Outcome:
        return self._send(timeout)

    def record(self, parcel: bytes) -> bytes:
        return parcel

    def rest(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""


class Spool:
    """A spool that keeps records in memory, in its time, or says why not."""

    dropped = 0

    def __init__(self, why: str = "", pause: float = 0.0) -> None:
        self.records: list[bytes] = []
        self._why = why
        self._pause = pause

    def write(self, record: bytes, spans: int) -> str:
        time.sleep(self._pause)
        self.records.append(record)
        return self._why

    def deliver(self, send: Callable[[bytes], Outcome], goes_on: Callable[[], bool]) -> int:
        return 0

    def close(self) -> None:
        """Nothing is held."""


def build(sender: Sender, spool: Spool, batch_size: int = 100, exit_budget: float = 2) -> BatchProcessor:
    return BatchProcessor(
        "test", lambda: sender, 1000, 10, 1000, batch_size, exit_budget, lambda span: span,
        spool=("/spool", lambda: spool),
    )  # type: ignore[arg-type,return-value]  # fmt: skip


def end(processor: BatchProcessor, *names: str) -> None:
    for name in names:
        processor.on_end(ReadableSpan(name, context=SpanContext(1, 2, False, TraceFlags(1))))


def test_a_spool_that_takes_nothing_is_not_tried_again_for_each_span(capsys: pytest.CaptureFixture[str]) -> None:
    spool = Spool("No space left on device")
    processor = build(Sender(lambda timeout: AWAY), spool, batch_size=5)
    for number in range(100):
        end(processor, str(number))
        time.sleep(0.002)
    assert len(spool.records) in (1, 2)  # each time that the receiver is tried
    assert capsys.readouterr().err.count("it takes nothing: No space left on device") == 1
    processor.shutdown()


def test_what_the_thread_is_writing_when_the_time_is_over_is_not_written_twice() -> None:
    def answer(timeout: float) -> Outcome:
        time.sleep(max(0.0, timeout - 0.1))
        return AWAY

    spool = Spool(pause=0.25)
    processor = build(Sender(answer), spool)
    end(processor, "one", "two")
    processor.shutdown()
    assert spool.records == [b"one two"]


def test_an_answer_that_comes_after_the_batch_is_kept_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    comes = threading.Event()
    has_come = threading.Event()

    def answer(timeout: float) -> Outcome:
        if has_come.is_set():
            return DELIVERED
        comes.wait(20)
        has_come.set()
        return DELIVERED

    spool = Spool()
    processor = build(Sender(answer), spool, batch_size=2, exit_budget=0.8)
    end(processor, "one", "two")
    processor.shutdown()
    assert spool.records == [b"one two"]
    comes.set()
    has_come.wait(20)
    end(processor, "three", "four")
    assert processor.force_flush()
    assert spool.records == [b"one two"]
    assert (
        capsys.readouterr()
        .err.splitlines()[0]
        .endswith("2 spans kept in /spool: nowhere: no answer within 0.8 s of exit")
    )
