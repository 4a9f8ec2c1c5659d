"""What the sending thread takes from the program: few imports, short slices of the interpreter, one line at a time."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from export.scripted import Scripted, answering, patiently, scripted
from otel_run.export.batch import BatchProcessor
from otel_run.export.sender import DELIVERED, Outcome
from process.children import OTEL_RUN, environment, run
from servers.fickle import fickle
from servers.receiver import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

IMPORTED = """
import atexit, sys
def tell():
    heavy = ("google.protobuf", "requests", "urllib3", "grpc", "http.client", "ssl", "email", "urllib.request")
    heavy += ("encodings.idna", "opentelemetry.proto", "opentelemetry.exporter")
    print(sorted(name for name in sys.modules if any(name == one or name.startswith(one + ".") for one in heavy)))
atexit.register(tell)  # before the agent's own, which comes first therefore
from opentelemetry import trace
trace.get_tracer("app").start_span("one").end()
"""


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_neither_protobuf_nor_an_http_library_is_imported(compression: str, tmp_path: Path) -> None:
    with fickle() as receiver:
        receiver.response_headers = {"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}
        receiver.answers = [503, 200]
        receiver.response_body = b"\x0a\x00"
        env = environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTEL_EXPORTER_OTLP_COMPRESSION=compression,
            # Contrib's, where they are installed, import asyncio, and that TLS.
            OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="threading,logging,asyncio,urllib,urllib3,requests,httpx",
        )  # fmt: skip
        source = IMPORTED + "import time\ntrace.get_tracer_provider().force_flush()\ntime.sleep(1.5)\n"
        (tmp_path / "app.py").write_text(source)
        done = run([*OTEL_RUN, sys.executable, "app.py"], tmp_path, env=env)
    assert [line.split(": ")[2] for line in done.stderr.splitlines()] == ["down", "back"]
    assert [span.name for span in receiver.spans] == ["one"]
    assert done.stdout == "[]\n"


class Kept:
    """A sender that keeps what it is given; `outcomes` are what comes of its attempts, the last of all that follow."""

    destination = "nowhere"

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes) or [DELIVERED]
        self.packed: list[list[ReadableSpan]] = []
        self.sent: list[object] = []

    def pack(self, spans: Iterable[ReadableSpan]) -> list[ReadableSpan]:
        self.packed.append(list(spans))
        return self.packed[-1]

    def send(self, parcel: object, timeout: float) -> Outcome:
        self.sent.append(parcel)
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]

    def rest(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""


def _span(sampled: bool = True) -> ReadableSpan:
    return ReadableSpan("a span", context=SpanContext(1, 2, False, TraceFlags(int(sampled))))


def _spin(span: ReadableSpan) -> ReadableSpan:
    end = time.perf_counter() + 0.0002
    while time.perf_counter() < end:
        pass
    return span


@pytest.fixture
def only_who_gives_way() -> Iterator[None]:
    """Let no thread be asked to make room: it runs until it does so by itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _turns_while_packing(somebody_waits: bool) -> int:
    """Return in how many turns of another thread a batch of 40 ms was packed."""
    sender, turns, at = Kept(), [0], list[int]()

    def look(span: ReadableSpan) -> ReadableSpan:
        at.append(turns[0])
        return _spin(span)

    processor = BatchProcessor("test", lambda: sender, 1000, 10, 1000, 200, 2, look)
    done = threading.Event()
    wait = threading.Lock()
    wait.acquire()

    def work() -> None:
        while not done.is_set():
            wait.acquire(timeout=0.0002)
            turns[0] += 1

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(199 if somebody_waits else 200):
        processor.on_end(_span())
    if somebody_waits:
        assert processor.force_flush(20_000)
    else:
        end = time.monotonic() + 20
        while not sender.sent and time.monotonic() < end:
            time.sleep(0.01)
    done.set()
    worker.join()
    return len({*at})


@pytest.mark.usefixtures("only_who_gives_way")
def test_while_a_batch_is_packed_others_run() -> None:
    # Dozens of slices. On a machine that is busy elsewhere a pause may last as long as beside threads that compute.
    assert any(_turns_while_packing(somebody_waits=False) > 10 for _ in range(10))


@pytest.mark.usefixtures("only_who_gives_way")
def test_while_a_batch_is_packed_others_wait_if_somebody_waits_for_it() -> None:
    assert _turns_while_packing(somebody_waits=True) < 5


@pytest.mark.usefixtures("only_who_gives_way")
def test_beside_threads_that_compute_without_pause_a_batch_does_not_give_way_again_and_again() -> None:
    sender, turns, at = Kept(), [0], list[int]()

    def look(span: ReadableSpan) -> ReadableSpan:
        at.append(turns[0])
        return _spin(span)

    processor = BatchProcessor("test", lambda: sender, 1000, 10, 1000, 200, 2, look)
    done = threading.Event()

    def compute() -> None:
        while not done.is_set():
            end = time.perf_counter() + 0.02
            while time.perf_counter() < end:
                pass
            turns[0] += 1
            time.sleep(0.0001)

    worker = threading.Thread(target=compute)
    worker.start()
    for _ in range(200):
        processor.on_end(_span())
    end = time.monotonic() + 20
    while not sender.sent and time.monotonic() < end:
        time.sleep(0.01)
    done.set()
    worker.join()
    # 40 ms of work: dozens of slices, or a few until one was answered so late.
    assert len(at) == 200
    assert len({*at}) < 10


def test_what_is_tried_again_is_packed_once_and_its_spans_are_let_go() -> None:
    sender = Kept(Outcome(False, "busy", retry=True), DELIVERED)
    processor = BatchProcessor("test", lambda: sender, 1000, 10, 1000, 200, 2, lambda span: span)
    for _ in range(3):
        processor.on_end(_span())
    assert not processor.force_flush()
    assert processor.force_flush()
    assert [len(packed) for packed in sender.packed] == [3]
    assert sender.sent == [sender.packed[0], sender.packed[0]]


def test_only_what_is_sampled_is_taken_and_nothing_happens_when_a_span_starts() -> None:
    sender = Kept()
    processor = BatchProcessor("test", lambda: sender, 1000, 10, 1000, 200, 2, lambda span: span)
    processor.on_end(_span(sampled=False))
    processor.on_end(ReadableSpan("without a context"))
    processor.on_end(_span())
    assert processor.force_flush()
    assert [[span.name for span in packed] for packed in sender.packed] == [["a span"]]
    assert "on_start" not in vars(BatchProcessor)


def test_a_full_batch_leaves_at_once() -> None:
    sender = Kept()
    processor = BatchProcessor("test", lambda: sender, 1000, 10, 1000, 5, 2, lambda span: span)
    for _ in range(5):
        processor.on_end(_span())
    end = time.monotonic() + 20
    while not sender.sent and time.monotonic() < end:
        time.sleep(0.01)
    assert [len(packed) for packed in sender.packed] == [5]


class AtLeisure(Kept):
    """A sender that has things to do by itself, but not soon."""

    def rest(self) -> float:
        self.rests += 1
        return 1000.0

    rests = 0


def test_a_span_that_ends_while_the_sender_has_nothing_to_do_leaves_at_once() -> None:
    sender = AtLeisure()
    processor = BatchProcessor("test", lambda: sender, 0.05, 10, 1000, 200, 2, lambda span: span)
    for number in range(3):
        processor.on_end(_span())
        end = time.monotonic() + 20
        while sender.rests <= number and time.monotonic() < end:
            time.sleep(0.01)
    assert [len(packed) for packed in sender.packed] == [1, 1, 1]
    # It was not asked in between.
    time.sleep(0.2)
    assert sender.rests == 3


def test_a_span_that_ends_while_a_batch_is_kept_finds_less_room(capsys: pytest.CaptureFixture[str]) -> None:
    sender = Kept(Outcome(False, "busy", retry=True), DELIVERED)
    processor = BatchProcessor("test", lambda: sender, 1000, 10, 4, 4, 2, lambda span: span)
    for _ in range(3):
        processor.on_end(_span())
    assert not processor.force_flush()
    processor.on_end(_span())
    processor.on_end(_span())  # one too many
    assert processor.force_flush()
    assert [len(packed) for packed in sender.packed] == [3, 1]
    assert "1 span dropped in the meantime" in capsys.readouterr().err


FLOOD = """
import sys
from opentelemetry import trace
tracer = trace.get_tracer("app")
for number in range(5):
    tracer.start_span(str(number)).end()
    trace.get_tracer_provider().force_flush()
"""


def test_a_receiver_that_rejects_some_of_each_batch_is_one_line_for_each_reason(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FLOOD)

    def rejecting(why: bytes) -> bytes:
        partial = b"\x08\x01\x12" + bytes([len(why)]) + why
        body = b"\x0a" + bytes([len(partial)]) + partial
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    answers = [rejecting(why) for why in (b"old", b"old", b"old", b"odd", b"odd")]
    with scripted(answering(*answers)) as server:
        env = environment(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.port}")
        done = run([*OTEL_RUN, sys.executable, "app.py"], tmp_path, env=env)
    assert [line.rpartition("rejected ")[2] for line in done.stderr.splitlines()] == ["1 span: old", "1 span: odd"]
    assert len(server.connections) == 1


def test_a_receiver_that_is_started_anew_between_two_batches_gets_each_span_once(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FLOOD)

    def one_each(server: Scripted, opened: object) -> None:
        answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")(server, opened)  # type: ignore[arg-type]

    with scripted(one_each, one_each, patiently) as server:
        env = environment(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.port}")
        done = run([*OTEL_RUN, sys.executable, "app.py"], tmp_path, env=env)
    assert done.stderr == ""
    requests = [request for requests in server.connections for request in requests]
    # A connection may end just as it is used; what was sent on it then has been read, and nothing of an answer came.
    names = [span.name for request in requests for span in decode(request.partition(b"\r\n\r\n")[2])]
    assert list(dict.fromkeys(names)) == ["0", "1", "2", "3", "4"]
    assert len(server.connections) >= 3
