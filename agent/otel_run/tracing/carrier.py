"""What a child process is told of the current trace: `TRACEPARENT`, `TRACESTATE`, `BAGGAGE`.

Always in W3C's format, whichever propagators requests use: of all formats it is the one with names for these
variables. They go into the copy of the environment that the child gets, and never into our own, which all threads
and all children share. Without a current span that of the process is told. Where it has none there is nothing to
tell, and nothing is touched.

Source: OpenTelemetry specification, "Environment Variables as Context Propagation Carriers".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_run import settings
from otel_run.tracing import process_span, w3c, w3c_baggage
from otel_run.tracing.entering import now
from otel_run.tracing.propagation import told_as_header

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

TRACEPARENT, TRACESTATE, BAGGAGE = "TRACEPARENT", "TRACESTATE", "BAGGAGE"
# What goes into an argument block together with the program's own variables must not be what makes it too long.
_MOST_CHARACTERS = 8192

_baggage = w3c_baggage.Baggage()


def told() -> dict[str, str] | None:
    """Return what a child is told here, by the names of its variables; None if there is nothing to tell."""
    around = now()
    return told_by(around) or told_by(process_span.for_child(around))


def told_by(around: Context | None) -> dict[str, str] | None:
    """Return what a context tells; None if it has no span."""
    span: Any = around.get(_SPAN_KEY) if around else None
    if span is None:
        return None
    context = span.get_span_context()
    if not context.is_valid:
        return None
    found = {TRACEPARENT: told_as_header(context), TRACESTATE: context.trace_state.to_header()}
    headers: dict[str, str] = {}
    _baggage.inject(headers, around)
    found[BAGGAGE] = headers.get("baggage", "")
    return {name: value for name, value in found.items() if value and len(value) <= _MOST_CHARACTERS}


def begin_after(told: Mapping[str, str]) -> None:
    """Let whoever has told this be the caller of this process."""
    caller = w3c.parse(told.get(TRACEPARENT, ""), told.get(TRACESTATE))
    process = process_span.of_process
    if caller is not None and process is not None:
        process.begin_after(caller)


def context_of(told: Mapping[str, str]) -> Context:
    """Return the context that `told` tells of, an empty one if it can't be read."""
    parent = w3c.parse(told.get(TRACEPARENT, ""), told.get(TRACESTATE))
    around = Context() if parent is None else Context({_SPAN_KEY: NonRecordingSpan(parent)})
    return w3c_baggage.with_baggage(told.get(BAGGAGE), around)


class Change:
    """What has to be different in the environment of a child."""

    __slots__ = ("added", "replaced")

    def __init__(self, told: dict[str, str], replaced: Sequence[str]) -> None:
        # The variables to set, and those that are to be gone before: of another trace, they would mislead.
        self.added = told
        self.replaced = frozenset(map(os.fsencode, replaced))

    def in_entries(self, entries: Sequence[bytes] | None) -> list[bytes] | None:
        """Return `NAME=value` for the child; `entries` are what the program gives it, None for what we have.

        None is returned if the program tells the child of a trace by itself. What it has merely copied from our own
        environment is nobody's wish for this child.
        """
        own: frozenset[bytes] = frozenset()
        if entries is None:
            entries = [name + b"=" + value for name, value in inherited().items()]
        else:
            own = self._own(dict(entry.partition(b"=")[::2] for entry in entries))
        if b"TRACEPARENT" in own:
            return None
        kept = [entry for entry in entries if entry.partition(b"=")[0] not in self.replaced - own]
        return kept + [os.fsencode(f"{name}={value}") for name, value in self._added_beside(own)]

    def in_mapping(self, given: Mapping[Any, Any] | None) -> dict[Any, Any] | None:
        """Do the same for a mapping, of str or of bytes, which is copied."""
        own: frozenset[bytes] = frozenset()
        if given is None:
            given = inherited()
        else:
            own = self._own({os.fsencode(name): os.fsencode(value) for name, value in given.items()})
        if b"TRACEPARENT" in own:
            return None
        changed = {name: given[name] for name in given if os.fsencode(name) not in self.replaced - own}
        return changed | dict(self._added_beside(own))

    def _own(self, given: Mapping[bytes, bytes]) -> frozenset[bytes]:
        """Return the names of what the program itself says; a state without its parent says nothing."""
        there = (self.replaced - {b"TRACESTATE"}) & given.keys()
        ours = inherited() if there else {}
        return frozenset(name for name in there if given[name] != ours.get(name))

    def _added_beside(self, own: Collection[bytes]) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.added.items() if os.fsencode(name) not in own]


def change() -> Change | None:
    """Return what children that are started now get, or None if their environment is to be left alone."""
    found = settings.current()
    if not found.child_context or "none" in found.propagators:
        return None
    telling = told()
    if telling is None:
        return None
    if "baggage" in found.propagators:
        return Change(telling, (TRACEPARENT, TRACESTATE, BAGGAGE))
    telling.pop(BAGGAGE, None)
    return Change(telling, (TRACEPARENT, TRACESTATE))


def inherited() -> dict[bytes, bytes]:
    """Return the environment that this process has for its children, in its order.

    What `os` shows is the interpreter's copy: it lacks what a library in C, or `os.putenv`, has set since, and a
    program's tests put others in its place. The interpreter makes that copy when it makes the module `posix`, so
    another such module has a fresh one; that takes a tenth of a millisecond, a tenth of starting a process.
    """
    import _imp
    import posix
    from importlib.machinery import BuiltinImporter

    read = getattr(posix, "_create_environ", None)  # since Python 3.14
    if read is None:
        spec = BuiltinImporter.find_spec("posix")
        assert spec is not None
        module = _imp.create_builtin(spec)
        _imp.exec_builtin(module)
        read = module.environ.copy
    found: dict[bytes, bytes] = read()
    return found
