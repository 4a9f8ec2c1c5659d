"""Exceptions that a span has told already, so that the spans above, which the same exception passes, tell no event.

An exception is told once, where it was raised, whatever it passes then: functions, a request, the process. Nothing
may be left on it, and nothing may keep it alive. It is known by a weak reference. Python's own classes allow none, and
the garbage collector clears it before the last span may end that it takes with it. Then an exception is known by its
id and that of the innermost entry of its traceback, which stays when others come and go around it. Both come again as
soon as an exception is gone. But that was told before a span began which the next one leaves; what was kept since then,
and raised again there, has got a longer traceback.
"""

from __future__ import annotations

from time import time_ns
from traceback import TracebackException, walk_tb
from typing import TYPE_CHECKING, NamedTuple
from weakref import ref

if TYPE_CHECKING:
    from types import CodeType

    from opentelemetry.trace import Span

# Those that are on their way at the same time; whoever asks does so soon after.
MOST = 256
_OURS = __file__.rpartition("tracing")[0]


class Told(NamedTuple):
    """What was told of an exception, and how to know it again."""

    trace_id: int
    reference: ref[BaseException] | None
    origin: Origin | None
    # How many entries its traceback had.
    length: int
    # When, in ns since the epoch.
    at: int
    # What a span says of it as its status, a library's masked; None if that is not kept.
    description: str | None
    # Whether a request need not tell it either, which it does after a library, since that tells no stack trace.
    for_requests: bool


class Origin(NamedTuple):
    """Where an exception was raised."""

    # The id of the traceback's entry, since that itself keeps frames alive.
    entry: int
    code: CodeType
    instruction: int


_told: dict[int, Told] = {}


def remember(span: Span, error: BaseException, description: str | None, for_requests: bool) -> None:
    """Keep in mind that the trace of `span` has an event about `error`, which has got as far as it is now."""
    # Both are steps that no thread can interrupt.
    _told.pop(id(error), None)
    if len(_told) >= MOST:
        for oldest in list(_told)[: MOST // 2]:
            _told.pop(oldest, None)
    trace_id = span.get_span_context().trace_id
    origin, length = _origin_of(error)
    _told[id(error)] = Told(trace_id, _reference_to(error), origin, length, time_ns(), description, for_requests)


def find(span: Span, error: BaseException) -> Told | None:
    """Return what the trace of `span` has an event about, if that is this very exception, further on its way."""
    told = _told.get(id(error))
    if told is None or told.trace_id != span.get_span_context().trace_id:
        return None
    if told.reference is not None and told.reference() is error:
        return told
    origin, length = _origin_of(error)
    if origin is None or origin != told.origin:
        return None
    return told if told.at >= getattr(span, "start_time", 0) or length > told.length else None


def _origin_of(error: BaseException) -> tuple[Origin | None, int]:
    """Return where `error` was raised, and how many entries its traceback has."""
    entry = error.__traceback__
    if entry is None:
        return None, 0
    length = 1
    while entry.tb_next is not None:
        entry = entry.tb_next
        length += 1
    return Origin(id(entry), entry.tb_frame.f_code, entry.tb_lasti), length


def _reference_to(error: BaseException) -> ref[BaseException] | None:
    try:
        return ref(error)
    except TypeError:
        return None


def tell_of_request(span: Span, error: BaseException, at: int | None = None) -> None:
    """Add an event about `error` to the span of a request, at `at` (ns since the epoch), unless a function has one."""
    told = find(span, error)
    if told is None or not told.for_requests:
        span.add_event("exception", describe(error), at)
        remember(span, error, None, for_requests=True)


def error_type(error: BaseException) -> str:
    """Return the qualified class name, without the module for builtins."""
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def describe(error: BaseException) -> dict[str, str]:
    """Return the attributes of an exception event (semantic conventions, "Exceptions"), without frames of ours."""
    # Which is, unlike the exception itself, sure to have a text.
    told = TracebackException(type(error), error, error.__traceback__)
    _leave_out_ours(told, error)
    return {
        "exception.type": error_type(error),
        "exception.message": str(told),
        "exception.stacktrace": "".join(told.format()),
    }


def in_short(error: BaseException) -> str:
    """Return what the status of a span says of `error`.

    The type is written in full: by that the gate knows the messages of databases, which quote values.
    """
    return f"{error_type(error)}: {TracebackException(type(error), error, None, compact=True)}"


def _leave_out_ours(told: TracebackException, error: BaseException) -> None:
    pending: list[tuple[TracebackException | None, BaseException | None]] = [(told, error)]
    seen: set[int] = set()
    while pending:
        one, of = pending.pop()
        if one is None or of is None or id(one) in seen:
            continue
        seen.add(id(one))
        codes: list[CodeType | None] = [frame.f_code for frame, _ in walk_tb(of.__traceback__)]
        # Fewer under a sys.tracebacklimit.
        if len(codes) == len(one.stack):
            kept = zip(one.stack, codes, [*codes, None][1:], strict=True)
            one.stack[:] = [line for line, code, inside in kept if not _is_ours(code, inside)]
        pending += (one.__cause__, of.__cause__), (one.__context__, of.__context__)
        # Of an exception group; Python 3.10 has the class from a package.
        pending += zip(getattr(one, "exceptions", None) or (), getattr(of, "exceptions", None) or (), strict=False)


def _is_ours(code: CodeType | None, inside: CodeType | None) -> bool:
    return code is not None and (code.co_filename.startswith(_OURS) or _is_template(code, inside))


def _is_template(code: CodeType, inside: CodeType | None) -> bool:
    """Tell whether `code` stands in for `inside`, which it calls: it is another, and looks the same from outside."""
    return (
        inside is not None
        and code is not inside
        and code.co_firstlineno == inside.co_firstlineno
        and code.co_name == inside.co_name
        and code.co_filename == inside.co_filename
    )
