"""The same program on the SDK's provider and on ours, and all that can be seen of it, compared.

A program is a function of a `Side`. Whatever it notes there, what processors and exporters get, what is logged and
raised has to be equal on both. Two things are not: where in OpenTelemetry's code or ours an exception has passed,
and how often the same complaint about attributes is repeated.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from opentelemetry.sdk.util import ns_to_iso_str
from opentelemetry.trace import Link, SpanContext, Status, TraceState

from otel_run import settings
from otel_run.tracing.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RESOURCE = Resource({"service.name": "twins"})
_SETTINGS, _ = settings.read({}, lambda _group: [])
# It repeats itself with each value; ours may say each thing once.
_OF_ATTRIBUTES = "opentelemetry.attributes"
_INSIDE = re.compile(r'  File "[^"]*/(?:opentelemetry|otel_run|contextlib\.py)[^\n]*\n(?:    [^\n]*\n)*')
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


class Counted(IdGenerator):
    """Ids that are the same on both sides."""

    def __init__(self, is_random: bool = True) -> None:
        self._last = 0
        self._is_random = is_random

    def generate_span_id(self) -> int:
        self._last += 1
        return self._last

    def generate_trace_id(self) -> int:
        self._last += 1
        return self._last << 64

    def is_trace_id_random(self) -> bool:
        return self._is_random


class Recording(sdk.SpanProcessor):
    """A processor of somebody's: it notes what it is called with, and does `also` then."""

    def __init__(self, side: Side, name: str = "", **also: Callable[..., None]) -> None:
        self._side, self._name, self._also = side, name, also

    def _note(self, event: str, span: Any, **more: object) -> None:
        self._side.note(f"{self._name}{event}", span, **more)
        self._also.get(event, lambda _span: None)(span)

    def on_start(self, span: sdk.Span, parent_context: Any = None) -> None:
        self._note("on_start", span, parent_context=None if parent_context is None else dict(parent_context))

    def _on_ending(self, span: sdk.Span) -> None:
        self._note("on_ending", span)

    def on_end(self, span: sdk.ReadableSpan) -> None:
        self._note("on_end", span, exactly=type(span) is sdk.ReadableSpan)

    def shutdown(self) -> None:
        self._side.note(f"{self._name}shutdown", None)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        self._side.note(f"{self._name}force_flush", timeout_millis)
        return self._name != "slow "


class Side:
    """One of the two providers, and the account of what happened there."""

    def __init__(self, provider: sdk.TracerProvider) -> None:
        self.provider = provider
        self.account: list[Any] = []
        self.exporter = InMemorySpanExporter()
        self._began = time.time_ns()
        provider.add_span_processor(Recording(self))
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer: Any = provider.get_tracer("somebody", "1.0")

    def note(self, what: str, value: object, **more: object) -> None:
        """Enter something into the account, as it is now."""
        self.account.append((what, self.shown(value), self.shown(more)))

    def try_(self, what: str, call: Callable[[], object]) -> Any:
        """Call, note the outcome, and return the result."""
        result = None
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - what is raised is the result
            self.note(f"{what} raised", f"{type(error).__name__}: {self._neutral(str(error))}")
        else:
            self.note(what, result)
        return result

    def _neutral(self, text: str) -> str:
        """Return a text without what may differ: addresses, and the names of classes."""
        text = _ADDRESS.sub("", text).replace("_Span(", "Span(").replace("TracerProvider.", "Provider.")
        return text.replace("SpanAttributes", "BoundedAttributes").replace("'Unsampled'", "'NonRecordingSpan'")

    def time(self, given: int | None) -> object:
        """Return a time; "now" for one that nobody has chosen."""
        is_now = given is not None and self._began <= given <= time.time_ns()
        return "now" if is_now else given

    def shown(self, value: Any) -> Any:
        """Return something comparable for `value`, with its type, and those of its parts."""
        if isinstance(value, sdk.ReadableSpan):
            return self._span(value)
        if isinstance(value, SpanContext):
            state = (type(value.trace_state).__name__, list(value.trace_state.items()))
            flags = (type(value.trace_flags).__name__, int(value.trace_flags))
            return ("context", value.trace_id, value.span_id, value.is_remote, flags, state, value.is_valid)
        if isinstance(value, Status):
            return ("status", value.status_code, value.description, value.is_ok)
        if isinstance(value, sdk.Event):
            return ("event", value.name, self.time(value.timestamp), self._attributes(value))
        if isinstance(value, Link):
            return ("link", self.shown(value.context), self._attributes(value))
        if isinstance(value, TraceState | Mapping):
            return (self._kind(value), [(self.shown(key), self.shown(part)) for key, part in value.items()])
        if isinstance(value, list | tuple):
            return (self._kind(value), [self.shown(part) for part in value])
        if isinstance(value, str):
            return (type(value).__name__, self._neutral(_INSIDE.sub("", value)))
        return (self._kind(value), self._neutral(repr(value)))

    def _kind(self, value: object) -> str:
        found = type(value)
        # A lean subclass is as good.
        return next(cls.__name__ for cls in found.__mro__ if not cls.__module__.startswith("otel_run"))

    def _attributes(self, owner: Any) -> object:
        text = repr(owner.attributes)
        # A stack has been compared by then, and is hard to take to pieces in a text in a text.
        return (self.shown(owner.attributes), "Traceback" in text or text, owner.dropped_attributes)

    def _span(self, span: sdk.ReadableSpan) -> object:
        """Return all that a span tells about itself, in each of its ways."""
        scope = span.instrumentation_scope
        assert scope is not None
        return {
            "name": (type(span.name).__name__, span.name),
            "contexts": [self.shown(span.context), self.shown(span.get_span_context()), self.shown(span.parent)],
            "kind": self.shown(span.kind),
            "times": (self.time(span.start_time), self.time(span.end_time)),
            "attributes": (type(span.attributes).__name__, self._attributes(span)),
            "events": (self.shown(span.events), span.dropped_events),
            "links": (self.shown(span.links), span.dropped_links),
            "status": self.shown(span.status),
            "resource": span.resource is self.provider.resource or span.resource,
            "scope": (scope.name, scope.version, scope.schema_url, self.shown(scope.attributes)),
            "json": self._json(span),
            "can end": hasattr(span, "end") and self.shown(span.is_recording()),  # type: ignore[attr-defined]
        }

    def _json(self, span: sdk.ReadableSpan) -> object:
        try:
            text = span.to_json()
        except (TypeError, ValueError, OverflowError) as error:
            return f"{type(error).__name__}: {error}"
        for found in (span.start_time, span.end_time, *(event.timestamp for event in span.events)):
            if found and self.time(found) == "now":
                text = text.replace(ns_to_iso_str(found), "now")
        return _INSIDE.sub("", text.replace("\\n", "\n").replace('\\"', '"'))


class _Logged(logging.Handler):
    """Keeps what is logged, in order, except for complaints about attributes: those by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str, str]] = []
        self.of_attributes: set[tuple[str, str]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == _OF_ATTRIBUTES:
            self.of_attributes.add((record.levelname, str(record.msg)))
        else:
            self.lines.append((record.name, record.levelname, _ADDRESS.sub("", record.getMessage())))


@contextlib.contextmanager
def logged() -> Iterator[_Logged]:
    """Keep what OpenTelemetry's loggers and ours say, from everybody else too."""
    # Else two silences would be compared: a test before may have left it so.
    assert logging.root.manager.disable < logging.WARNING
    handler = _Logged()
    loggers = [logging.getLogger(name) for name in ("opentelemetry", "otel_run")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield handler
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True


def sides(
    limits: sdk.SpanLimits | None = None,
    sampler: Any = DEFAULT_ON,
    random: bool = True,
    processor: Callable[[], Any] | None = None,
) -> list[Side]:
    """Return both sides, theirs first, with equal settings."""
    limits = limits or sdk.SpanLimits()
    # A sampler that keeps state is given as a function that makes one.
    make = sampler if callable(sampler) else lambda: sampler
    theirs = sdk.TracerProvider(make(), RESOURCE, False, processor and processor(), Counted(random), limits)
    ours = Provider(_SETTINGS, RESOURCE, make())
    # Settings cannot say "unlimited", nor bring a generator that counts.
    ours.id_generator, ours._span_limits = Counted(random), limits
    if processor is not None:
        ours._active_span_processor = processor()
    return [Side(theirs), Side(ours)]


def compare(program: Callable[[Side], Any], quiet: str = "", **options: Any) -> None:
    """Run `program` on both sides; all that it notes, and all that is seen besides, has to be equal.

    What the SDK says through the logger `quiet` need not be said by ours.
    """
    accounts = []
    for side in sides(**options):
        with logged() as log:
            try:
                program(side)
            except BaseException as error:
                if isinstance(error, AssertionError | KeyboardInterrupt):
                    raise
                side.note("left with", f"{type(error).__name__}: {side._neutral(str(error))}")
        for span in side.exporter.get_finished_spans():
            side.note("exported", span)
        lines = [line for line in log.lines if line[0] != quiet]
        accounts.append([*side.account, ("logged", lines), ("logged of attributes", log.of_attributes)])
    theirs, ours = accounts
    for number, (their_entry, our_entry) in enumerate(zip(theirs, ours, strict=False)):
        assert our_entry == their_entry, _told(number, their_entry, our_entry)
    assert len(ours) == len(theirs), f"only on one side: {[*theirs[len(ours) :], *ours[len(theirs) :]]}"


def _told(number: int, theirs: tuple[Any, ...], ours: tuple[Any, ...]) -> str:
    lines = [f"entry {number}: theirs {theirs[0]!r}, ours {ours[0]!r}"]
    for their_part, our_part in zip(theirs[1:], ours[1:], strict=True):
        if isinstance(their_part, dict) and isinstance(our_part, dict):
            pairs = [(their_part[key], our_part[key]) for key in their_part]
        else:
            pairs = [(their_part, our_part)]
        lines += [f"theirs {their}\nours   {our}" for their, our in pairs if their != our]
    return "\n".join(lines)
