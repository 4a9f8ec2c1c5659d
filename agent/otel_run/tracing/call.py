"""The span around one call of a library: started before it, current during it, ended after it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_run.tracing import told_errors
from otel_run.tracing.entering import enter, leave, now
from otel_run.tracing.told_errors import error_type as error_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue

# Set while an HTTP client's span is open: the one below (urllib3 under requests) makes none.
# It is the key that contrib's instrumentors ask for.
HTTP = _SUPPRESS_HTTP_INSTRUMENTATION_KEY
# Set while an ORM's span is open: whatever driver is below, ours or contrib's, makes none.
EVERYTHING = _SUPPRESS_INSTRUMENTATION_KEY


def is_suppressed(key: str, around: Context | None = None) -> bool:
    """Tell whether a caller above has a span for this very call, or wants none at all.

    `around` is the current context, for whoever has it at hand.
    """
    if around is None:
        around = now()
    # Empty where nothing is above.
    return bool(around and (around.get(EVERYTHING) or around.get(key) or around.get("suppress_instrumentation")))


class Call:
    """One CLIENT span, current until `end`.

    With `suppress` instrumentors below it are silent, as long as the call, or in its place `silence`, is true.
    With `parent` that is the context around it, in place of the current one.
    With `entry` the call itself is in the context under that key, for instrumentors below that have a say in it.

    With `current=False` it is never the current one: for calls that run in pieces (generators that a driver
    resumes, a COPY with the program's code in the middle), where what is made current in one piece could not
    be taken back in another.
    """

    __slots__ = ("_is_open", "_token", "parent", "span")

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        attributes: Mapping[str, AttributeValue],
        suppress: str | None = None,
        current: bool = True,
        entry: str | None = None,
        parent: Context | None = None,
        silence: object = None,
    ) -> None:
        # All attributes that are known go in at the start: samplers see nothing else.
        # The context around the call: what a sibling of this span has for a parent.
        self.parent = around = now() if parent is None else parent
        self.span: Span = tracer.start_span(name, around, SpanKind.CLIENT, attributes)
        self._token = None
        self._is_open = True
        if current:
            entries: dict[str, object] = {_SPAN_KEY: self.span}
            if suppress is not None:
                entries[suppress] = self if silence is None else silence
            if entry is not None:
                entries[entry] = self
            # One copy, where set_value() would make one for each entry.
            self._token = enter(Context(around, **entries))

    def __bool__(self) -> bool:
        """Tell whether it goes on: what was started during the call, and has a copy of its context, may outlive it."""
        return self._is_open

    def leave(self) -> None:
        """Stop being current, and go on: what is left of the call runs in pieces, or not in our sight."""
        token, self._token = self._token, None
        if token is not None:
            leave(token)

    def restart(self) -> None:
        """Start the span now: what went before it, below this very call, has become a span of its own."""
        span: Any = self.span
        # The SDK's alone can be moved; another's is a little too long.
        if hasattr(span, "_start_time"):
            span._start_time = time.time_ns()

    def end(self, error: BaseException | None = None, message: str | None = None, at: int | None = None) -> None:
        """End the span, now or `at` (ns since the epoch). `error` marks it, with `message` as its masked text.

        A cancelled call is no error.

        The exception event has no stack trace: the text that ends one may hold the values that
        `message` was masked of, and the program's own handling of the error has it anyway.
        """
        span = self.span
        self._is_open = False
        if isinstance(error, GeneratorExit) and now().get(_SPAN_KEY) is not span:
            # A coroutine that was abandoned ends wherever it is collected: that context is not ours to restore.
            self._token = None
        self.leave()
        if error is not None and span.is_recording() and not is_cancellation(error):
            name = error_type(error)
            span.set_attribute("error.type", name)
            span.set_status(Status(StatusCode.ERROR, message or None))
            event = {"exception.type": name}
            if message:
                event["exception.message"] = message
            span.add_event("exception", event, at)
            told_errors.remember(span, error, f"{name}: {message}" if message else name, for_requests=False)
        span.end(at)


def is_cancellation(error: BaseException) -> bool:
    """Tell whether the caller gave up, rather than the call having failed."""
    if isinstance(error, GeneratorExit):
        return True
    # By name: importing asyncio or trio for this would cost a program without them 30 ms.
    for cls in type(error).__mro__:
        if cls.__name__ in ("CancelledError", "Cancelled", "GreenletExit"):
            if cls.__module__.split(".")[0] in ("asyncio", "trio", "greenlet"):
                return True
        elif cls.__name__ == "BaseExceptionGroup":
            # What a cancelled nursery of trio's raises; Python 3.10 has the class from a package.
            parts: tuple[BaseException, ...] = error.exceptions  # type: ignore[attr-defined]
            return all(map(is_cancellation, parts))
    return False
