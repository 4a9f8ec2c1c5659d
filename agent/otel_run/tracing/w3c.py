"""W3C Trace Context: reading `traceparent` and `tracestate`, to the letter.

Source: https://www.w3.org/TR/trace-context-2/, "Processing Model" and the header grammars. What is malformed is as
if it had not been sent; the program's request goes on, as a trace of its own.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.propagators import textmap
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.span import DEFAULT_TRACE_STATE

if TYPE_CHECKING:
    from collections.abc import Iterable

# Of a version that is not known yet, what follows the flags is somebody else's. It and the space after it are
# alternatives: one after the other, spaces in front of a comma would take the square of their number.
_TRACEPARENT = re.compile(
    r"[ \t]*(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
    r"(?:(?P<more>-)[^,]*|[ \t]*)"
)
_MOST_MEMBERS = 32
# What is longer would cost the request: with its name, gunicorn takes 8190 in one header.
_MOST_CHARACTERS = 8000
# Level 2's. Level 1's are among them.
_KEY = re.compile(r"[a-z0-9][a-z0-9_\-*/@]{0,255}")
_VALUE = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


def parse(traceparent: str, tracestate: str | None) -> SpanContext | None:
    """Return the caller's span, or None if `traceparent` is malformed.

    Each is the value of one header; several headers are joined by commas, of which a traceparent has none.
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if more and version == "00":
        return None
    state = parse_state(tracestate) if tracestate else DEFAULT_TRACE_STATE
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, _flags(flags), state)


@lru_cache(maxsize=256)
def _flags(digits: str) -> TraceFlags:
    return TraceFlags(int(digits, 16))


def parse_state(tracestate: str) -> TraceState:
    """Return what `tracestate` holds, in its order; nothing of it if any of it is malformed, twice or too much."""
    return _parse_state(tracestate) if len(tracestate) <= _MOST_CHARACTERS else TraceState()


@lru_cache(maxsize=128)
def _parse_state(tracestate: str) -> TraceState:
    members: dict[str, str] = {}
    for member in tracestate.split(","):
        stripped = member.strip(" \t")
        if not stripped:
            continue
        key, equals, value = stripped.partition("=")
        if not equals or key in members or not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            return TraceState()
        members[key] = value
    state = TraceState()
    if len(members) <= _MOST_MEMBERS:
        # Its constructor would drop keys of Level 2, and log each of them.
        state._dict = members
    return state


class TraceContext(TraceContextTextMapPropagator):
    """The API's propagator, with this reading of the headers in place of its own."""

    def extract(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        getter: textmap.Getter[textmap.CarrierT] = textmap.default_getter,
    ) -> Context:
        """Return the context with the caller's span in it, or as it was."""
        around = Context() if context is None else context
        told = getter.get(carrier, "traceparent")
        parent = parse(_joined(told), _joined(getter.get(carrier, "tracestate"))) if told else None
        return around if parent is None else set_span_in_context(NonRecordingSpan(parent), around)


def _joined(values: Iterable[str] | None) -> str:
    return ",".join(values or ())
