"""Python starts: the boot steps in order, cheap enough for every interpreter of a container.

`start()` decides whether to be on, reads the settings and puts one finder in place. Everything that
costs something waits in `awakening` until a supported library, or `opentelemetry.trace`, is imported.
"""

from __future__ import annotations

import sys

from otel_run import boundary, native, report, settings  # noqa: F401 - native before anybody patches
from otel_run.patching import on_import
from otel_run.startup import lifetime, program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_run.settings import Settings

# Modules of the standard library that do work worth a span, and so wake the agent if somebody instruments
# them; nearly every program imports one or another of the rest.
_WAKING = ("sqlite3", "urllib.request", "wsgiref.handlers")

_finder: on_import.Finder | None = None


def start() -> bool:
    """Start the agent in this process, once; return False if it is switched off or has no business here."""
    global _finder
    if _finder is not None:
        return True
    found, problems = settings.load(_installed)
    if found.is_off():
        return False
    if program.is_tool(program.running(), found.skip_programs):
        report.note("program", "not traced", "it is a tool; OTEL_RUN_SKIP_PROGRAMS lists them")
        return False
    _speak_and_contain(found)
    for problem in settings.unsaid(problems):
        report.say(problem.line())
    _finder = on_import.Finder(_discover, _is_worth_discovering)
    sys.meta_path.insert(0, _finder)
    lifetime.watch()
    # The program may trace by itself, with no library of ours in sight.
    _finder.wait_for("opentelemetry.trace", _wake)
    # Its span begins with it, whether or not it does anything that we would wake for.
    has_span = found.process_span == "on" and not program.is_keeper() and program.is_main_interpreter()
    if has_span:
        _wake()
    if found.functions:
        boundary.contained("function tracing", _watch_functions, found)
    if any(_is_foreign(name) for name in list(sys.modules)):
        # A .pth file or the hidden sitecustomize has imported before us.
        _finder.discover()
    if has_span:
        # Last: until the program begins, a profiler waits for it, which would slow down all that we do.
        boundary.contained("process span", _start_process_span)
    return True


def _speak_and_contain(found: Settings) -> None:
    report.quiet = found.log_level in ("none", "off")
    report.debug = found.debug or found.log_level in ("debug", "trace")
    boundary.strict = found.strict
    boundary.tell_errors_to(report.tell_error)


def _installed(group: str) -> list[str]:
    from otel_run.patching import candidates

    return candidates.names(group)


def _is_foreign(name: str) -> bool:
    # Names with an underscore belong to installers: _virtualenv, _distutils_hack, __editable___finder.
    top = name.partition(".")[0]
    return top not in sys.stdlib_module_names and not top.startswith("_") and top not in ("otel_run", "sitecustomize")


def _is_worth_discovering(name: str) -> bool:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return name in _WAKING
    return top not in ("otel_run", "sitecustomize", "usercustomize")


def _discover() -> None:
    from otel_run.startup import awakening

    assert _finder is not None
    awakening.watch_candidates(_finder)


def _watch_functions(found: Settings) -> None:
    from otel_run.functions import unmatched, watching

    assert _finder is not None
    if any(pattern.module.partition(".")[0] in sys.stdlib_module_names for pattern in found.functions):
        # Not in the middle of that import, when half of what the agent itself needs may not be there.
        _wake()
    unmatched.say_at_exit(watching.watch(_finder, found.functions, _wake_for_functions, watching.trace_in_place))


def _start_process_span() -> None:
    from otel_run.tracing import process_span

    if process_span.of_process is not None:
        process_span.of_process.start()


def _wake_for_functions() -> bool:
    from otel_run.functions import replaced
    from otel_run.startup import awakening

    _wake()
    if awakening.is_awake():
        lifetime.at_end(replaced.release)
    return awakening.is_awake()


def _wake() -> None:
    from otel_run.startup import awakening

    assert _finder is not None
    _finder.discover()
    awakening.wake()
