"""The span around one call of a library: started before it, current during it, ended after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue

# Set while an HTTP client's span is open: the one below (urllib3 under requests) makes none.
# It is the key that contrib's instrumentors ask for.
HTTP = _SUPPRESS_HTTP_INSTRUMENTATION_KEY
# Set while an ORM's span is open: whatever driver is below, ours or contrib's, makes none.
EVERYTHING = _SUPPRESS_INSTRUMENTATION_KEY


def is_suppressed(key: str) -> bool:
    """Tell whether a caller above has a span for this very call, or wants none at all."""
    current = context.get_current()
    return bool(current.get(EVERYTHING) or current.get(key) or current.get("suppress_instrumentation"))


class Call:
    """One CLIENT span, current until `end`. `suppress` silences instrumentors below it.

    With `current=False` it is never the current one: for calls that run in pieces (generators that a driver
    resumes, a COPY with the program's code in the middle), where what is made current in one piece could not
    be taken back in another.
    """

    __slots__ = ("_token", "parent", "span")

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        attributes: Mapping[str, AttributeValue],
        suppress: str | None = None,
        current: bool = True,
    ) -> None:
        # All attributes that are known go in at the start: samplers see nothing else.
        # The context around the call: what a sibling of this span has for a parent.
        self.parent = context.get_current()
        self.span: Span = tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        self._token = None
        if current:
            inner = set_span_in_context(self.span, self.parent)
            if suppress is not None:
                inner = context.set_value(suppress, True, inner)
            self._token = context.attach(inner)

    def leave(self) -> None:
        """Stop being current, and go on: what is left of the call runs in pieces, or not in our sight."""
        token, self._token = self._token, None
        if token is not None:
            context.detach(token)

    def end(self, error: BaseException | None = None, message: str | None = None) -> None:
        """End the span. `error` marks it, with `message` as its masked text; a cancelled call is no error.

        The exception event has no stack trace: the text that ends one may hold the values that
        `message` was masked of, and the program's own handling of the error has it anyway.
        """
        self.leave()
        span = self.span
        if error is not None and span.is_recording() and not is_cancellation(error):
            name = error_type(error)
            span.set_attribute("error.type", name)
            span.set_status(Status(StatusCode.ERROR, message or None))
            event = {"exception.type": name}
            if message:
                event["exception.message"] = message
            span.add_event("exception", event)
        span.end()


def error_type(error: BaseException) -> str:
    """Return the qualified class name, without the module for builtins."""
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def is_cancellation(error: BaseException) -> bool:
    """Tell whether the caller gave up, rather than the call having failed."""
    # By name: importing asyncio or trio for this would cost a program without them 30 ms.
    return isinstance(error, GeneratorExit) or any(
        cls.__name__ in ("CancelledError", "Cancelled") and cls.__module__.split(".")[0] in ("asyncio", "trio")
        for cls in type(error).__mro__
    )
