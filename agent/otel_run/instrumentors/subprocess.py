"""subprocess, and all that is built on it: the child's environment tells it of the trace.

`fork_exec` is where every way ends (`run`, `os.popen`, asyncio, the spawned children of multiprocessing), when the
program has been looked up on PATH and the audit hooks have been told, and without a Python function in the child.
No span is made: what the child does is the child's to tell.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import gevent_subprocess
from otel_run.instrumentors.argument_block import is_nearly_full
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Around
from otel_run.tracing import carrier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Contained, Patch

_UNIT = "instrumentor subprocess"
# Where in the arguments the environment stands, in all versions.
_ENVIRONMENT = 5
# Children that serve whoever comes after the one who happened to start them, and hand their environment on.
_KEEPER = re.compile(r"from [\w.]+\.(forkserver|resource_tracker) import main\b")


class SubprocessInstrumentor(Instrumentor):
    """Patches `fork_exec`, in the module that has it and in the one that has imported its name."""

    library = "subprocess"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:  # noqa: ARG002 - it makes no span
        """Return the patches."""
        import _posixsubprocess
        import subprocess

        yield Around(_UNIT, _posixsubprocess, "fork_exec", _telling)
        if hasattr(subprocess, "_fork_exec"):  # since Python 3.11
            yield Around(_UNIT, subprocess, "_fork_exec", _telling)
        gevent_subprocess.patch_when_imported()


def _telling(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def fork_exec(*args: Any) -> Any:
        return original(*(contained(_told, args) or args))

    return fork_exec


def _told(args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    # Asked first: telling may make the span of the process.
    change = None if _is_keeper(args[0]) else carrier.change()
    if change is None:
        return None
    entries = change.in_entries(args[_ENVIRONMENT])
    if entries is None or is_nearly_full(args[0], entries):
        return None
    return (*args[:_ENVIRONMENT], entries, *args[_ENVIRONMENT + 1 :])


def _is_keeper(argv: Iterable[Any]) -> bool:
    texts = (word.decode("utf-8", "replace") if isinstance(word, bytes) else word for word in argv)
    return any(isinstance(text, str) and _KEEPER.match(text) for text in texts)
