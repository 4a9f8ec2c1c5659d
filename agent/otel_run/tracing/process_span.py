"""The span that stands for the process: the parent of what would have none, so that a script's calls are one trace.

It is never the *current* span: a tracer asks for it where a span has no parent, so that threads, greenlets and tasks
need not be told of it, and a server's requests never have it. It is made when it is first needed, and over with the
first request that the process serves, at an age, or after a number of spans: what has no parent then is a root again,
with a link. Bounds are looked at when somebody asks; no clock of ours ticks for them.

A forked child goes on with its parent's, which it never ends, under bounds of its own.
"""

from __future__ import annotations

import sys
from threading import RLock
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.baggage import _BAGGAGE_KEY
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_run.boundary import contained
from otel_run.tracing.decided import IS_KEPT
from otel_run.tracing.entering import now
from otel_run.tracing.span import Unsampled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_run.tracing.decided import Rule

_UNIT = "process span"
# In the context that the span itself is made in.
_OF_PROCESS = "otel-run-of-process"
# Nobody's children: they show that the process works for others. Compared one by one: an enum's hash is Python's.
SERVER, CONSUMER = SpanKind.SERVER, SpanKind.CONSUMER


class Links(tuple[Link, ...]):
    """Links that are known to be as they must be."""

    __slots__ = ()


class Bounds:
    """How old it may be, in ns, and how many spans it may have directly below it."""

    __slots__ = ("age", "spans")

    def __init__(self, age: int = sys.maxsize, spans: int = sys.maxsize) -> None:
        self.age = age
        self.spans = spans


class ProcessSpan:
    """The process's span: not made yet, open, or over."""

    def __init__(
        self,
        make: Callable[[Context], Any],
        caller: SpanContext | None,
        baggage: Mapping[str, object],
        bounds: Bounds | None,
        new_lock: Callable[[], Any] = RLock,
    ) -> None:
        """`make(around)` starts it. The `caller` of the process is its parent. Without `bounds` it ends at the end."""
        self._make = make
        self._new_lock = new_lock
        self._lock = new_lock()
        self._caller = caller
        self._baggage = dict(baggage)
        self._bounds = bounds
        self._born = 0
        self._count = 0
        self._is_over = False
        # Of a parent that this process was forked from.
        self._is_inherited = False
        # Of a parent that does nothing more: how that ends is not known here.
        self._is_heir = False
        # What is to be ended, taken out by whoever does it.
        self._unended: list[Any] = []
        self._span: Any = None
        # What is current for its children.
        self._around = Context()
        # Of what comes after it.
        self.links: Links | None = None

    @property
    def is_made(self) -> bool:
        """Tell whether there is or was a span."""
        return self._span is not None

    def _context_of_caller(self) -> Context:
        """Return the context that the span is made in."""
        entries: dict[str, object] = {_OF_PROCESS: True}
        if self._caller is not None:
            entries[_SPAN_KEY] = NonRecordingSpan(self._caller)
        if self._baggage:
            entries[_BAGGAGE_KEY] = dict(self._baggage)
        return Context(entries)

    @property
    def open_span(self) -> Any:
        """The span, if there is one that is not over."""
        return None if self._is_over else self._span

    def begin_after(self, caller: SpanContext) -> None:
        """Take `caller`, who has started this process, for its caller, if the span is not made yet."""
        if self._span is None:
            self._caller = caller

    def start(self) -> Any:
        """Make the span, once, and return it; None if that failed."""
        with self._lock:
            if self._span is None and not self._is_over:
                made = contained(_UNIT, self._make, self._context_of_caller())
                if made is None:
                    self._is_over = True
                else:
                    self._begin(made)
            return self._span

    def _begin(self, made: Any) -> None:
        global baggage, trace_id, of_process
        entries: dict[str, object] = {_SPAN_KEY: made}
        if self._baggage:
            entries[_BAGGAGE_KEY] = self._baggage
            baggage, trace_id = self._baggage, made.get_span_context().trace_id
        self._around = Context(entries)
        self._born = getattr(made, "start_time", None) or time_ns()
        self._unended.append(made)
        self._span = made
        if self._is_over:
            # A request has come meanwhile, in another thread, and nobody was to ask any more.
            of_process = self
            self.end("server")

    def serve(self) -> None:
        """Note that the process works for others: what it did before was its start."""
        if not self._is_over and self._bounds is not None:
            self.end("server")

    def above(self, around: Context, is_chosen: bool = False, counts: bool = True) -> Context | None:
        """Return the context in which a span without a parent in `around` gets one; None if it stays a root.

        `is_chosen` tells that the program has handed `around` over itself: an empty one, where another is current,
        is a wish for a root. With `counts` false it is only asked, and a span that is made asks again.
        """
        if self._is_over or (around and (IS_KEPT in around or _OF_PROCESS in around)):
            return None
        if is_chosen:
            current: Any = now().get(_SPAN_KEY)
            if current is not None and current.get_span_context().is_valid:
                return None
        span = self._span
        if span is None:
            span = self.start()
            if span is None or self._is_over:
                return None
        elif self._is_beyond_bounds():
            return None
        if counts:
            self._count += 1
        return Context({**self._around, **around, _SPAN_KEY: span}) if around else self._around

    def _is_beyond_bounds(self) -> bool:
        bounds = self._bounds
        if bounds is None:
            return False
        if self._count >= bounds.spans:
            self.end("spans")
        elif time_ns() - self._born > bounds.age:
            self.end("age")
        return self._is_over

    def drops(self, around: Context, rule: Rule) -> Unsampled | bool:
        """Tell whether it is known that nothing is kept that has no parent in `around`, by the sampler's rule.

        The span itself is returned if it is what drops it.
        """
        if self._span is None and not self._is_over:
            caller = self._caller
            is_dropped = rule.bound == 0 if caller is None or not rule.follows else not caller.trace_flags.sampled
            # Who only asks makes no span; what drops all is made, so that its bounds come.
            if not is_dropped or caller is None:
                return is_dropped
        inside = self.above(around, counts=False)
        if inside is None:
            return rule.bound == 0
        span: Any = inside[_SPAN_KEY]
        if not rule.drops_below or type(span) is not Unsampled:
            return False
        self._count += 1
        return span

    def end(self, why: str = "", finish: Callable[[Any], None] | None = None) -> None:
        """End it, now; `why` if that is not the end of the process, else `finish(span)` tells how that ends."""
        global baggage, of_process
        self._is_over = True
        baggage = None
        try:
            span = self._unended.pop()
        except IndexError:
            if self._span is None and of_process is self:
                of_process = None  # nobody needs to ask any more
            return  # another thread does, or there is none
        told = span.get_span_context()
        if told.trace_flags.sampled:
            self.links = Links((Link(told),))
        if not self._is_inherited:
            contained(_UNIT, self._finish, span, why, finish)

    def _finish(self, span: Any, why: str, finish: Callable[[Any], None] | None) -> None:
        try:
            if span.is_recording():
                if why:
                    span.set_attribute("otelrun.process.ended_by", why)
                elif finish is not None and not self._is_heir:
                    contained(_UNIT, finish, span)
        finally:
            span.end()

    def begin_child(self, is_heir: bool = False) -> None:
        """Go on in a forked child; an heir ends the span in its parent's place."""
        self._lock = self._new_lock()  # whoever had it is not in this process
        if is_heir:
            self._is_heir = True
            return
        self._count = 0
        span = self._span
        if span is None or self._is_inherited:
            return
        self._is_inherited = True
        if type(span) is not Unsampled:
            # Not the span itself: whoever has it could change it, and it would never end here.
            span = NonRecordingSpan(span.get_span_context())
        self._span = span
        self._around = Context({**self._around, _SPAN_KEY: span})
        if self._unended:
            self._unended = [span]


# The one of this process, if it has any.
of_process: ProcessSpan | None = None
# What the caller of the process has told for all that work for it, while the span is open, and the trace of that.
baggage: dict[str, object] | None = None
trace_id = 0


def for_child(around: Context) -> Context | None:
    """Return what a child is told that is started without a current span."""
    return None if of_process is None else of_process.above(around)


def with_baggage(around: Context) -> Context:
    """Return `around` with the baggage of the process added, if its span is one of the trace of the process."""
    if baggage is None:
        return around
    span: Any = around.get(_SPAN_KEY)
    if span is None or span.get_span_context().trace_id != trace_id:
        return around
    own = around.get(_BAGGAGE_KEY)
    return Context(around, **{_BAGGAGE_KEY: {**baggage, **(own if isinstance(own, dict) else {})}})
