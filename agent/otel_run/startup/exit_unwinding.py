"""Following a SystemExit on Python 3.12 and later: sys.monitoring tells of each frame that an exception leaves.

What leaves the outermost frame ends the program; so it is known what it is, whoever has caught or replaced what on the
way. Being told costs something, so we are only from when somebody has asked for the end, until so much else was raised
that it was not meant.

Of `raise SystemExit(main())` nothing of ours is called. So we are told of the calls in just those functions of the
program that name the class, of each once. What a library raises by hand is not seen, and such a status is not known.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_run.boundary import Fuse
from otel_run.startup.exit_status import is_excepthook, is_typed, leads_into_shell, status_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType, FrameType

_IDS = (4, 3)  # of those that no tool has been promised
_NAMES = {"SystemExit", "exit"}
# Frames left by other exceptions, after which what was asked for is taken for caught.
_MOST_OTHERS = 100

_watch: _Watch | None = None
_status: int | None = None


def watch(outermost: FrameType, original_exit: object) -> None:
    """Follow what is raised in the program that runs in `outermost`, by hand in its main module and its callers."""
    global _watch
    if _watch is None and sys.version_info >= (3, 12):
        tool = next((tool for tool in _IDS if sys.monitoring.get_tool(tool) is None), None)
        if tool is None:
            return
        _watch = _Watch(tool, outermost, original_exit)
    if _watch is not None:
        _watch.add(_codes(outermost))


def release() -> None:
    """Follow no more: from now on a callback would find its module taken apart."""
    global _watch
    if _watch is not None:
        _watch.stop()
        _watch = None


def follow(_error: SystemExit) -> None:
    """See what becomes of it."""
    if _watch is not None:
        _watch.expect()


def obeyed() -> int | None:
    """Return the status of the one that has left the outermost frame."""
    return _status


def held() -> int | None:
    """Return what `obeyed` does: it was seen, whoever holds it."""
    return _status


def _codes(outermost: FrameType) -> Iterator[CodeType]:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            yield from _within(frame.f_code)
        else:
            yield frame.f_code
        frame = frame.f_back
    yield from _within(outermost.f_code)  # watched from another thread
    if outermost.f_code.co_name != "<module>":
        yield outermost.f_globals["_run_code"].__code__  # which will execute the main module


def _within(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if type(constant) is type(code):
            yield from _within(constant)


def _is_frozen(code: CodeType) -> bool:
    """Tell whether all interpreters of the process share it, which Python's instrumentation is not made for."""
    return code.co_filename.startswith("<frozen ")


if sys.version_info >= (3, 12):
    _EVENTS = sys.monitoring.events

    class _Watch:
        """What sys.monitoring tells of."""

        def __init__(self, tool: int, outermost: FrameType, original_exit: object) -> None:
            self._tool = tool
            self._outermost: FrameType | None = outermost
            self._original_exit = original_exit
            self._fuse = Fuse("exit code", self.stop)
            self._is_expecting = False
            self._others = 0
            sys.monitoring.use_tool_id(tool, "otel-run exit code")
            sys.monitoring.register_callback(tool, _EVENTS.CALL, self._called)
            sys.monitoring.register_callback(tool, _EVENTS.PY_UNWIND, self._unwound)

        def add(self, codes: Iterable[CodeType]) -> None:
            """Be told of what these call, if they may be about to raise one by hand, or to run the main module."""
            for code in codes:
                if code.co_name != "_run_code" and (_NAMES.isdisjoint(code.co_names) or _is_frozen(code)):
                    continue
                sys.monitoring.set_local_events(self._tool, code, _EVENTS.CALL)

        def expect(self) -> None:
            """Be told where exceptions get, for a while."""
            self._others = 0
            if not self._is_expecting and self._outermost is not None:
                self._is_expecting = True
                sys.monitoring.set_events(self._tool, _EVENTS.PY_UNWIND)

        def _called(self, code: CodeType, _offset: int, called: object, first: object) -> Any:
            # Not by isinstance, which asks proxies of the program's what they stand for.
            if called is self._original_exit or (type(called) is type and issubclass(called, SystemExit)):
                self._fuse.contained(self.expect)
                return None
            if called is exec and type(first) is type(code):
                self._fuse.contained(self.add, _within(first))
            return sys.monitoring.DISABLE

        def _unwound(self, code: CodeType, _offset: int, error: BaseException) -> None:
            if issubclass(type(error), SystemExit):
                frame = sys._getframe(1)
                if frame is self._outermost or (frame.f_back is None and (is_typed(code) or is_excepthook(code))):
                    self._fuse.contained(_obey, error)
                return
            self._others += 1
            if self._others >= _MOST_OTHERS:
                self._is_expecting = False
                sys.monitoring.set_events(self._tool, _EVENTS.NO_EVENTS)

        def stop(self) -> None:
            """Be told of nothing, and give the id back."""
            if self._outermost is None:
                return
            self._outermost = None
            sys.monitoring.set_events(self._tool, _EVENTS.NO_EVENTS)
            for event in (_EVENTS.CALL, _EVENTS.PY_UNWIND):
                sys.monitoring.register_callback(self._tool, event, None)
            sys.monitoring.free_tool_id(self._tool)


def _obey(error: SystemExit) -> None:
    global _status
    if not leads_into_shell():
        _status = status_of(error.code)
