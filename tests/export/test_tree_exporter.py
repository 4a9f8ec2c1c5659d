"""The spans of a process, as they end, become segments of traces; and what is shown never gets into anybody's way."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_run.export import tree_segments
from otel_run.export.tree_segments import GRACE, Arrival, Segment, Segments
from otel_run.export.tree_spans import still, to_view
from otel_run.export.tree_status import Status
from otel_run.export.tree_stream import Stream
from otel_run.tracing.started import Known
from otel_run.view.span import LANE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("app")
LATER = GRACE + 1


class Process:
    """What a process knows of its spans, as tracing/started.py does, here of spans of the SDK's; and its segments."""

    def __init__(self, mask: Callable[[ReadableSpan], ReadableSpan] = lambda span: span) -> None:
        self.known = Known()
        self.segments = Segments(self.known, mask)

    def begin(self, name: str, parent: Any = None, remote: bool = False) -> Any:
        around = None if parent is None else trace.set_span_in_context(_remote(parent) if remote else parent)
        span = TRACER.start_span(name, around, attributes={LANE: "thread 1"})
        self.known.open[span.get_span_context().span_id] = span
        return span

    def end(self, *spans: Any, at: float = 0.0) -> list[Segment]:
        given = []
        for span in spans:
            self.over(span)
            arrival = Arrival(span, self.known)
            given += list(self.segments.add([arrival], at))
        return given

    def over(self, span: Any) -> None:
        """End a span that is not read yet."""
        is_watched = span.get_span_context().span_id in self.known.open
        span.end()
        if is_watched:
            self.known.end(span)

    def read(self, span: Any, at: float = 0.0) -> None:
        assert list(self.segments.add([Arrival(span, self.known)], at)) == []

    def due(self, at: float = LATER) -> list[Segment]:
        return list(self.segments.due(at))


def _remote(span: Any) -> NonRecordingSpan:
    told = span.get_span_context()
    return NonRecordingSpan(SpanContext(told.trace_id, told.span_id, True, TraceFlags(1)))


@pytest.fixture
def process() -> Process:
    return Process()


def names(segment: Segment) -> list[str]:
    return sorted(f"{span.name}{' (open)' if span.is_open else ''}" for span in segment.spans)


def test_a_trace_is_due_a_moment_after_its_root_has_ended(process: Process) -> None:
    root = process.begin("root")
    child = process.begin("child", root)
    process.end(child)
    assert process.due() == []
    process.end(root, at=10.0)
    assert process.due(10.0 + GRACE / 2) == []
    (segment,) = process.due(10.0 + LATER)
    assert names(segment) == ["child", "root"]
    assert (segment.is_late, segment.is_incomplete) == (False, False)
    assert process.due(99.0) == []


def test_what_ends_right_after_its_root_is_with_it(process: Process) -> None:
    root = process.begin("root")
    beside = process.begin("beside", root)
    process.end(root)
    process.end(beside, at=GRACE / 2)
    assert [names(segment) for segment in process.due()] == [["beside", "root"]]


def test_what_goes_on_is_shown_as_open_and_later_by_itself(process: Process) -> None:
    root = process.begin("root")
    task = process.begin("task", root)
    call = process.begin("call", task)
    process.end(call)
    process.end(root)
    (segment,) = process.due()
    assert names(segment) == ["call", "root", "task (open)"]
    process.end(task, at=10.0)
    (segment,) = process.due(20.0)
    assert (names(segment), segment.is_late) == (["task"], True)
    assert segment.spans[0].parent_id == ""


def test_what_is_below_something_that_goes_on_waits_for_it(process: Process) -> None:
    root = process.begin("root")
    process.end(root)
    process.due()
    task = process.begin("task", root)
    call = process.begin("call", task)
    process.end(call)
    assert process.due() == []
    process.end(task)
    (segment,) = process.due()
    assert (names(segment), segment.is_late) == (["call", "task"], True)


def test_a_child_that_was_read_before_its_parent_has_come_is_none_of_its_own(process: Process) -> None:
    root = process.begin("root")
    child = process.begin("child", root)
    # It has ended, and is not in the queue yet.
    process.over(root)
    process.end(child)
    process.read(root, at=GRACE / 2)
    assert [names(segment) for segment in process.due()] == [["child", "root"]]


def test_a_child_that_is_read_long_after_its_parent_has_ended_waits_for_it(process: Process) -> None:
    root = process.begin("root")
    child = process.begin("child", root)
    process.over(child)
    process.over(root)
    process.read(child)
    assert process.due(10.0) == []
    process.read(root, at=10.0)
    assert [names(segment) for segment in process.due(20.0)] == [["child", "root"]]


def test_a_request_of_another_service_is_a_segment_and_no_orphan(process: Process) -> None:
    client = TRACER.start_span("somewhere")
    server = process.begin("request", client, remote=True)
    process.end(process.begin("query", server), server)
    (segment,) = process.due()
    assert names(segment) == ["query", "request"]
    assert [span.parent_id for span in segment.spans if span.name == "request"] == [""]


def test_two_requests_of_one_trace_do_not_wait_for_each_other(process: Process) -> None:
    client = TRACER.start_span("somewhere")
    first, second = process.begin("first", client, remote=True), process.begin("second", client, remote=True)
    process.end(process.begin("of second", second), process.begin("of first", first), first)
    assert [names(segment) for segment in process.due()] == [["first", "of first"]]
    process.end(second, at=10.0)
    (segment,) = process.due(20.0)
    assert (names(segment), segment.is_late) == (["of second", "second"], False)


def test_what_a_forked_child_does_for_its_parent_is_a_segment(process: Process) -> None:
    above = TRACER.start_span("in the parent process")
    process.known.elsewhere.add(above.get_span_context().span_id)
    process.end(process.begin("in the child", above))
    (segment,) = process.due()
    assert [(span.name, span.parent_id) for span in segment.spans] == [("in the child", "")]


def test_a_span_whose_parent_was_lost_is_shown_as_an_orphan(process: Process) -> None:
    lost = TRACER.start_span("lost")
    process.end(process.begin("orphan", lost))
    (segment,) = process.due()
    assert [(span.name, bool(span.parent_id)) for span in segment.spans] == [("orphan", True)]


def test_of_a_tracer_that_nobody_watches_a_trace_waits_for_its_root(process: Process) -> None:
    root = TRACER.start_span("root")
    child = TRACER.start_span("child", trace.set_span_in_context(root))
    process.end(child)
    assert process.due() == []
    process.end(root)
    assert [names(segment) for segment in process.due()] == [["child", "root"]]


def test_at_the_end_all_is_given_out_as_far_as_it_is_known(process: Process) -> None:
    root = process.begin("root")
    process.end(process.begin("child", root))
    over = process.begin("over")
    process.end(over)
    segments = {tuple(names(one)): one.is_incomplete for one in process.segments.rest()}
    assert segments == {("child", "root (open)"): True, ("over",): False}


def test_spans_are_kept_within_bounds(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_segments, "MOST_SPANS", 10)
    root = process.begin("root")
    given = process.end(*(process.begin("child", root) for _ in range(11)))
    assert [names(segment) for segment in given] == [["child"] * 11 + ["root (open)"]]
    assert given[0].is_incomplete
    process.end(root)
    (segment,) = process.due()
    assert names(segment) == ["root"]


def test_traces_are_kept_within_bounds_the_oldest_goes_first(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_segments, "MOST_TRACES", 3)
    given = []
    for number in range(5):
        root = process.begin(f"root {number}")
        given += process.end(process.begin(f"child {number}", root))
    assert [names(one) for one in given] == [["child 0", "root 0 (open)"], ["child 1", "root 1 (open)"]]


def test_a_trace_that_is_whole_is_not_called_incomplete_for_want_of_room(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_segments, "MOST_TRACES", 1)
    given = process.end(process.begin("one"), process.begin("two"))
    assert [(names(one), one.is_incomplete) for one in given] == [(["one"], False)]


def test_what_is_open_of_other_traces_is_not_masked_for_each_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_segments, "MOST_TRACES", 1)
    masked = []

    def mask(span: ReadableSpan) -> ReadableSpan:
        masked.append(span.name)
        return span

    process = Process(mask)
    roots = [process.begin("long") for _ in range(100)]
    first, second = (process.begin(name, root) for name, root in zip(("first", "second"), roots, strict=False))
    assert process.end(first) == []
    assert [names(segment) for segment in process.end(second)] == [["first", "long (open)"]]
    process.end(roots[1])
    assert [names(segment) for segment in process.due()] == [["long", "second"]]
    assert masked == ["long"]


def test_a_span_is_seen_as_it_is(process: Process) -> None:
    with TRACER.start_as_current_span("around") as around:
        told = around.get_span_context()
        link = trace.Link(told)
        span = TRACER.start_span("call", kind=trace.SpanKind.CLIENT, attributes={"a": [1, 2], "b": "x"}, links=[link])
        span.add_event("tried", {"n": 1}, 5)
        span.set_status(trace.StatusCode.ERROR, "it broke")
        span.end()
    seen = to_view(span)
    assert (seen.trace_id, seen.parent_id) == (f"{told.trace_id:032x}", f"{told.span_id:016x}")
    assert (seen.name, seen.kind, seen.status, seen.message) == ("call", 3, 2, "it broke")
    assert (seen.attributes, seen.scope, seen.is_open) == ({"a": [1, 2], "b": "x"}, "app", False)
    assert [(event.name, event.time, event.attributes) for event in seen.events] == [("tried", 5, {"n": 1})]
    assert seen.links == [(f"{told.trace_id:032x}", f"{told.span_id:016x}")]
    assert (seen.start, seen.end) == (span.start_time, span.end_time)


def test_an_open_span_can_be_looked_at_while_it_changes() -> None:
    span: Any = TRACER.start_span("open", attributes={"a": 1})
    now = still(span)
    span.set_attribute("b", 2)
    span.set_attribute("a", 3)
    assert to_view(now, 9).attributes == {"a": 1}
    assert (to_view(now, 9).end, to_view(now, 9).is_open) == (9, True)


# What goes on for long.


def aged(process: Process, name: str, seconds: float, parent: Any = None) -> Any:
    span = process.begin(name, parent)
    span._start_time = time.time_ns() - int(seconds * 1e9)
    return span


def test_a_root_that_goes_on_is_told_with_what_it_waits_for(process: Process) -> None:
    aged(process, "Call", 2.9, aged(process, "Order", 3.2))
    status = Status(process.known, lambda span: span)
    assert status.line(10.0, lambda: True) == "… Order 3.20s in Call (2.90s)"
    # Once, until ten seconds are over.
    assert status.line(20.0, lambda: True) == ""


def test_through_a_pipe_only_what_takes_ten_seconds_is_told(process: Process) -> None:
    root = aged(process, "Order", 9.0)
    status = Status(process.known, lambda span: span)
    assert status.line(10.0, lambda: False) == ""
    root._start_time -= 2 * 10**9
    assert status.line(20.0, lambda: False) == "… Order 11.0s"
    root._start_time -= 5 * 10**9
    assert status.line(30.0, lambda: False) == ""
    root._start_time -= 10 * 10**9
    assert status.line(40.0, lambda: False) == "… Order 26.0s"


def test_a_process_that_waits_for_nobody_may_be_asking_a_question(process: Process) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("otel_run.process")
    span: Any = tracer.start_span("script.py")
    span._start_time -= 60 * 10**9
    process.known.open[span.get_span_context().span_id] = span
    status = Status(process.known, lambda given: given)
    assert status.line(10.0, lambda: True) == ""
    aged(process, "SELECT", 3.0, span)
    assert status.line(20.0, lambda: True).startswith("… script.py 1m00s in SELECT (3.00s)")


# Writing.


class Other:
    """What stands for `sys.__stderr__`, at a descriptor of a test's own."""

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        self.descriptor = descriptor
        self.encoding = encoding

    def fileno(self) -> int:
        return self.descriptor


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Give a pipe whose writing end is stderr."""
    read, write = os.pipe()
    monkeypatch.setattr(sys, "__stderr__", Other(write))
    yield read, write
    for one in (read, write):
        try:
            os.close(one)
        except OSError:
            pass


def test_a_text_that_fits_into_a_pipe_is_written_in_one_piece(pipe: tuple[int, int]) -> None:
    text = "".join(f"{number} └──\n" for number in range(2_000))
    assert Stream().write(text, 1.0)
    assert os.read(pipe[0], 100_000).decode() == text


@pytest.mark.parametrize("blocks", [True, False])
def test_a_text_that_is_larger_than_a_pipe_is_written_as_it_is_read(pipe: tuple[int, int], blocks: bool) -> None:
    os.set_blocking(pipe[1], blocks)
    text = "".join(f"{number} └──\n" for number in range(50_000))
    found: list[bytes] = []

    def read() -> None:
        while sum(map(len, found)) < len(text.encode()):
            found.append(os.read(pipe[0], 10_000))

    reader = threading.Thread(target=read)
    reader.start()
    assert Stream().write(text, 30.0)
    reader.join()
    assert b"".join(found).decode() == text
    assert os.get_blocking(pipe[1]) is blocks


def test_nobody_is_waited_for_twice(pipe: tuple[int, int]) -> None:
    stream = Stream()
    assert not stream.write("x" * 1_000_000, 0.1)
    began = time.monotonic()
    assert not stream.write("more\n", 30.0)
    assert time.monotonic() - began < 15
    while fcntl.ioctl(pipe[0], termios.FIONREAD, bytes(4)) != bytes(4):
        os.read(pipe[0], 1 << 20)
    assert stream.write("again\n", 30.0)
    assert os.read(pipe[0], 100) == b"again\n"


def test_a_pipe_that_nobody_will_read_is_not_written_to(pipe: tuple[int, int]) -> None:
    stream = Stream()
    os.close(pipe[0])
    assert not stream.write("text\n", 1.0)


def test_what_an_encoding_lacks_is_told_in_ascii(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stderr__", Other(pipe[1], "ascii"))
    assert Stream().write("é\n", 1.0)
    assert os.read(pipe[0], 100) == b"\\xe9\n"


@pytest.mark.parametrize(
    ("mode", "is_taken"), [(os.O_APPEND, True), (0, False)], ids=["a log", "a file of the program's"]
)
def test_what_has_taken_the_place_of_stderr_is_written_to_if_it_is_a_log(
    pipe: tuple[int, int], mode: int, is_taken: bool, tmp_path: Any
) -> None:
    stream = Stream()
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_WRONLY | mode)
    os.dup2(other, pipe[1])
    os.close(other)
    assert stream.write("text\n", 1.0) is is_taken
    assert (tmp_path / "other").read_text() == ("text\n" if is_taken else "")


def test_a_connection_in_the_place_of_stderr_is_left_alone(pipe: tuple[int, int]) -> None:
    stream = Stream()
    read, write = os.pipe()
    os.dup2(write, pipe[1])
    os.close(write)
    assert not stream.write("text\n", 1.0)
    os.set_blocking(read, False)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    os.close(read)


def test_a_file_that_the_program_has_opened_under_the_number_of_stderr_is_left_alone(
    pipe: tuple[int, int], tmp_path: Any
) -> None:
    stream = Stream()
    # As `open` does, after `os.close(2)`.
    own = os.open(tmp_path / "own", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(own, pipe[1], inheritable=False)
    os.close(own)
    assert not stream.write("text\n", 1.0)
    assert (tmp_path / "own").read_text() == ""


def test_a_device_in_the_place_of_stderr_is_left_alone(pipe: tuple[int, int]) -> None:
    stream = Stream()
    device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(device, pipe[1])
    os.close(device)
    assert not stream.write("text\n", 1.0)


def test_without_a_stderr_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stderr__", None)
    stream = Stream()
    assert (stream.write("text\n", 1.0), stream.is_terminal(), stream.columns()) == (False, False, None)


def test_a_stderr_without_a_descriptor_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", replaced)
    assert not Stream().write("text\n", 1.0)
    assert replaced.getvalue() == ""


def test_a_terminal_is_written_to_and_tells_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 57, 0, 0))
    monkeypatch.setattr(sys, "__stderr__", Other(slave))
    stream = Stream()
    assert (stream.is_terminal(), stream.columns()) == (True, 57)
    assert stream.write("├── one\n└── two\n", 1.0)
    assert os.read(master, 1000).decode() == "├── one\r\n└── two\r\n"
    for one in (master, slave):
        os.close(one)


def test_what_a_span_of_another_kind_tells_is_taken(process: Process) -> None:
    span: Any = ReadableSpan(
        "bare", TRACER.start_span("one").get_span_context(), attributes={"a": (1,)}, start_time=1, end_time=2
    )
    assert (to_view(span).attributes, to_view(span).duration) == ({"a": [1]}, 1)
