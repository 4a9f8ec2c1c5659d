"""Functions of the script itself: `__main__` is executed without an import, so no finder tells when they are there.

Python 3.12's sys.monitoring does. From the start of the interpreter until the script begins we are told of each code
that starts, once; then of each call that stands at the top level of the script, once, and of nothing else. So what
`def main()` has made is seen right before `main()` is called. When the top level has ended, or all is found that was
to be found, the tool's id is given back. What is found is traced in place: no event stays on anybody's code.
"""

from __future__ import annotations

import os
import sys

from otel_run import report, settings
from otel_run.boundary import Fuse
from otel_run.functions.main_names import NewNames, names_of, wanted
from otel_run.patching import on_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType, ModuleType
    from typing import Any

    from otel_run.function_patterns import Pattern

    Apply = Callable[[ModuleType, str], None]

MAIN = "__main__"
_UNIT = "function tracing of the script"
_HINT = "put the functions into a module of their own, and import it"
_NEEDED = "its functions can be traced from Python 3.12 on (by sys.monitoring)"

# The ids that PEP 669 gives to nobody in particular: 0 is for debuggers, 1 coverage, 2 profilers, 5 optimizers.
_IDS = (4, 3)
# Programs that run a script as the main module in their own place.
_RUNNERS = frozenset(("cProfile", "coverage", "debugpy", "pdb", "profile", "trace"))
# What the main program of a worker imports, which comes by -c. Its `prepare` runs the script again, as `__mp_main__`.
_WORKERS = frozenset(("multiprocessing.spawn", "multiprocessing.forkserver"))
_PREPARING = "multiprocessing.spawn"

# Why the script is not watched, although Python could.
_trouble = ""
# Its path, if it is a file.
_path = ""


def is_possible() -> bool:
    """Tell whether this Python tells of what the script does."""
    return sys.version_info >= (3, 12)


def watch(patterns: Sequence[Pattern], apply: Apply) -> None:
    """Call `apply(part, name)` with what the script's top level has just defined, each time a pattern may mean it.

    A part is a module that holds that alone. The name is the one by which patterns mean the script, `app` or
    `__main__`: where they have both, each part comes under both.
    """
    global _path
    _path = sys.argv[0] if sys.argv else ""
    if not is_possible():
        _refuse([pattern for pattern in patterns if is_refused(pattern)])
    elif patterns and not _is_console():
        _Script(patterns, apply).wait()


def is_refused(pattern: Pattern) -> bool:
    """Tell whether it can mean nothing but the script, and this Python is too old for that: said at the start."""
    return not is_possible() and pattern.matches_module(MAIN)


def means_script(pattern: Pattern) -> bool:
    """Tell whether a pattern names the script of this process, as `__main__` or as the module that it would be."""
    # Python has taken `__file__` away from it when the process ends.
    known = {"__spec__": getattr(sys.modules.get(MAIN), "__spec__", None), "__file__": _path}
    is_imported = pattern.module != MAIN and pattern.module in sys.modules
    return pattern.module in names_of(known) and not is_imported


def explains(pattern: Pattern) -> str:
    """Return why the script was not searched for a pattern that means it; empty if it was, or if it means another."""
    if not means_script(pattern):
        return ""
    return _trouble if is_possible() else f"{pattern.module} is the script itself; {_needed()}. hint: {_HINT}"


def _needed() -> str:
    return f"{_NEEDED}, and this is {sys.version_info.major}.{sys.version_info.minor}"


def _refuse(patterns: list[Pattern]) -> None:
    if not patterns:
        return
    given = ",".join(pattern.text for pattern in patterns)
    problem = settings.Problem("OTEL_RUN_TRACE:__main__", given, "", "none")
    # In a tree of processes one says it.
    said = report.warn if settings.unsaid([problem]) else report.note
    said(f'OTEL_RUN_TRACE="{given}"', "ignored", f"__main__ is the script itself; {_needed()}. hint: {_HINT}")


def _is_console() -> bool:
    """Tell whether somebody types the program, a line at a time."""
    return sys.argv[:1] in ([""], ["-"]) and (bool(sys.flags.interactive) or os.isatty(0))


class _Script:
    """The script, from before it starts until its top level has ended."""

    def __init__(self, patterns: Sequence[Pattern], apply: Apply) -> None:
        self._patterns = patterns
        self._apply = apply
        self._fuse = Fuse(_UNIT, self._give_up)
        self._monitoring: Any = vars(sys)["monitoring"]
        self._events = self._monitoring.events
        self._tool: int | None = None
        # The one code whose calls, or whose end, are watched.
        self._code: CodeType | None = None
        self._new: NewNames

    def wait(self) -> None:
        """Wait for the script to start."""
        global _trouble
        self._tool = next((tool for tool in _IDS if self._monitoring.get_tool(tool) is None), None)
        if self._tool is None:
            _trouble = f"the ids {' and '.join(map(str, _IDS))} of sys.monitoring are taken by other tools"
            report.note(_UNIT, "refused", _trouble)
            return
        self._monitoring.use_tool_id(self._tool, "otel-run")
        self._tell(self._events.PY_START, self._code_starts)
        self._monitoring.set_events(self._tool, self._events.PY_START)

    def _told(self, function: Callable[..., object], *args: object) -> object:
        try:
            return self._fuse.contained(function, *args)
        except BaseException as error:
            # Ctrl-C, say: it belongs to the line that the program is in, and shows that alone.
            if not isinstance(error, Exception):
                error.__traceback__ = None
            raise

    def _tell(self, event: int, function: Callable[..., object]) -> None:
        self._monitoring.register_callback(self._tool, event, lambda *args: self._told(function, *args))

    def _code_starts(self, code: CodeType, _offset: int) -> object:
        if code.co_name == "<module>":
            self._module_starts(code, _globals_of(code))
        return None if self._tool is None else self._monitoring.DISABLE

    def _module_starts(self, code: CodeType, entries: dict[str, Any]) -> None:
        # Not: the globals of `sys.modules["__main__"]`. Profilers run a script with globals of their own.
        if entries.get("__name__") != MAIN or _is_runner(code, entries):
            return
        self._monitoring.set_events(self._tool, 0)
        names = names_of(entries)
        if code.co_filename == "<string>" and not _WORKERS.isdisjoint(code.co_names):
            self._wait_in_worker()
        elif wanted(self._patterns, names):
            self._new = NewNames(entries, self._patterns)
            self._new.take()  # what every module has before it begins
            self._code = code
            self._tell(self._events.CALL, self._calls)
            self._tell(self._events.PY_RETURN, self._ended)
            # Not the event LINE, for which the interpreter reads its table of lines from the beginning, each time.
            self._monitoring.set_local_events(self._tool, code, self._events.CALL | self._events.PY_RETURN)
        else:
            self._stop()

    def _calls(self, _code: CodeType, _offset: int, _function: object, _argument: object) -> object:
        if self._new.is_any():
            self._hand_over(self._new.take())
            if self._new.is_complete():
                self._stop()
        # Not behind `_stop`: there is no tool any more whose event it could be.
        return None if self._tool is None else self._monitoring.DISABLE

    def _ended(self, _code: CodeType, _offset: int, _result: object) -> None:
        self._stop()
        self._hand_over(self._new.take_changed())

    def _hand_over(self, found: list[str]) -> None:
        for part, name in self._new.parts(found):
            self._apply(part, name)

    def _wait_in_worker(self) -> None:
        finder = on_import.in_place()
        if finder is None:
            self._stop()
        else:
            finder.wait_for(_PREPARING, self._watch_preparing)

    def _watch_preparing(self) -> None:
        code = getattr(getattr(sys.modules[_PREPARING], "prepare", None), "__code__", None)
        if code is None or self._tool is None:
            self._stop()
            return
        self._code = code
        self._tell(self._events.PY_RETURN, self._prepared)
        self._monitoring.set_local_events(self._tool, code, self._events.PY_RETURN)

    def _prepared(self, _code: CodeType, _offset: int, _result: object) -> None:
        self._stop()
        # There is none if the parent is no script, or if this process was forked from one that has run it.
        main = sys.modules.get("__mp_main__")
        if main is not None:
            self._new = NewNames(vars(main), self._patterns)
            self._hand_over(self._new.take_changed())

    def _give_up(self) -> None:
        self._stop()
        report.warn(_UNIT, "switched off", f"it failed {Fuse.MOST} times")

    def _stop(self) -> None:
        tool, self._tool = self._tool, None
        if tool is None:
            return
        monitoring, events = self._monitoring, self._events
        monitoring.set_events(tool, 0)
        if self._code is not None:
            monitoring.set_local_events(tool, self._code, 0)
        for event in (events.PY_START, events.CALL, events.PY_RETURN):
            monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)


def _globals_of(code: CodeType) -> dict[str, Any]:
    """Return the globals of the code that has just started, which is the innermost that is not ours."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame.f_globals if frame is not None else {}


def _is_runner(code: CodeType, entries: dict[str, Any]) -> bool:
    """Tell whether this will run another main module in its own place: a debugger, a profiler."""
    file = str(entries.get("__file__") or "")
    if file and code.co_filename == "<string>":
        return True  # pdb's own line: exec(compile(...))
    name = names_of(entries)[0].partition(".")[0] if entries.get("__spec__") else os.path.basename(file)
    return name in _RUNNERS
