"""Waiting for the modules that the patterns name, and having their functions traced when these have been imported.

The agent is woken by the first function that is found: a pattern that fits nothing costs the program nothing. One
function fails alone. What each pattern has meant is remembered for `unmatched`.
"""

from __future__ import annotations

import sys

from otel_run import report, settings
from otel_run.boundary import contained
from otel_run.functions import search

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FunctionType, ModuleType

    from otel_run.function_patterns import Pattern
    from otel_run.patching.on_import import Finder

    # What is called for each function: the pattern, the module's name, the function's, the function.
    Trace = Callable[[Pattern, str, str, FunctionType], object]

MAIN = "__main__"
# Theirs is the work of tracing.
_OUR_OWN = ("otel_run", "opentelemetry")
# What that work itself calls: each span would make others, without end.
_USED = frozenset(
    ("_collections_abc", "_py_abc", "_weakrefset", "abc", "contextvars", "enum", "threading", "types", "weakref")
)


class Watch:
    """The patterns of this process: what they have meant so far."""

    def __init__(self, patterns: Sequence[Pattern], wake: Callable[[], bool], trace: Trace) -> None:
        """`wake()` is called if there is something to `trace`, and tells whether that can be."""
        self.patterns = patterns
        # Those that have meant a function, and the modules that were searched.
        self.matched: set[Pattern] = set()
        self.searched: set[str] = set()
        self._wake = wake
        self._trace = trace

    def means(self, name: str) -> bool:
        """Tell whether functions of a module of this name may be meant; the script is watched by main_module.py."""
        if name == MAIN or name.partition(".")[0] in _OUR_OWN:
            return False
        return any(pattern.matches_module(name) for pattern in self.patterns)

    def imported(self, name: str) -> None:
        """Have those functions of a module traced, which has just been executed, that are meant."""
        module = sys.modules.get(name)
        if module is not None:
            self.apply(module, name)

    def apply(self, module: ModuleType, name: str) -> None:
        """Have those functions traced that patterns mean in `module` when they call it `name`."""
        self.searched.add(name)
        mine = [pattern for pattern in self.patterns if pattern.matches_module(name)]
        found = list(search.found(module, mine, self.matched))
        if found and self._wake():
            for pattern, qualname, function in found:
                contained(f"function {name}:{qualname}", self._trace_one, pattern, name, qualname, function)

    def _trace_one(self, pattern: Pattern, name: str, qualname: str, function: FunctionType) -> None:
        from otel_run.patching.wrap import DoesNotFit

        subject = f"function {name}:{qualname}"
        try:
            if function.__module__ in _USED:
                raise DoesNotFit("tracing itself uses it")
            self._trace(pattern, name, qualname, function)
        except DoesNotFit as reason:
            # Of a function that nobody has named nobody misses the spans.
            (report.warn if pattern.names_function else report.note)(subject, "not traced", str(reason))
        else:
            report.note(subject, "traced", f"OTEL_RUN_TRACE, {pattern}")


def watch(finder: Finder, patterns: Sequence[Pattern], wake: Callable[[], bool], trace: Trace) -> Watch:
    """Call `trace` for each function that `patterns` mean, when its module has been imported."""
    from otel_run.functions import main_module

    watched = Watch(patterns, wake, trace)
    main_module.watch(patterns, watched.apply)
    finder.wait_for_some(watched.means, watched.imported)
    return watched


def trace_in_place(pattern: Pattern, module: str, qualname: str, function: FunctionType) -> None:
    """Make a span of each call of `function` from now on, once however many names it has."""
    from opentelemetry.trace import get_tracer

    from otel_run import __version__
    from otel_run.functions import replaced, spans
    from otel_run.patching.instrumentor import SCHEMA_URL

    if replaced.is_traced(function):
        return
    tracer = get_tracer("otel_run.functions", __version__, schema_url=SCHEMA_URL)
    limit = settings.current().function_limit
    names = *search.identity(module, qualname, function), pattern.span_name
    replaced.trace(function, spans.FunctionSpans(tracer, function, *names, pattern.arguments, limit))
