"""Where the interpreter takes a SystemExit for the end of the program, and what the system is told then."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType, FrameType

# The code with which the main thread begins: a script's, a statement's of a shell, or what runs a module.
OUTERMOST = ("<module>", "_run_module_as_main")


def root(frame: FrameType) -> FrameType:
    """Return the frame that nothing but the interpreter is below."""
    while frame.f_back is not None:
        frame = frame.f_back
    return frame


def code_of_excepthook() -> CodeType | None:
    """Return that of the hook for uncaught errors, whose own SystemExit is obeyed too; None if it is not Python's."""
    hook: Any = sys.excepthook
    hook = getattr(hook, "func", hook)  # of a partial
    if not hasattr(hook, "__code__"):
        hook = getattr(hook, "__func__", type(hook).__call__)
    code: CodeType | None = getattr(hook, "__code__", None)
    return code


def is_excepthook(code: CodeType) -> bool:
    """Tell whether it is that of the hook."""
    return code is code_of_excepthook()


def is_typed(code: CodeType) -> bool:
    """Tell whether it is that of a statement of Python's own shell; each has an outermost frame of its own."""
    return code.co_name == "<module>" and hasattr(sys, "ps1")


def leads_into_shell() -> bool:
    """Tell whether the script is run by `python -i`, which goes on with a shell whatever ends the script."""
    return bool(sys.flags.inspect) and not hasattr(sys, "ps1")


def status_of(code: object) -> int:
    """Return what the system is told. Source: CPython, Python/pythonrun.c, `_Py_HandleSystemExit`."""
    if code is None:
        return 0
    if not isinstance(code, int):
        return 1  # Python has printed it
    is_long = -sys.maxsize - 1 <= code <= sys.maxsize
    return int.__and__(code, 0xFF) if is_long else 0xFF
