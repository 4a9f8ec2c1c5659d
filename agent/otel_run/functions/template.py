"""The code that stands in for a traced function's own: this file is about making it, for each kind and signature.

A template is compiled once for each shape, with names and constants that `fill` replaces by those of a function. Its
own variables get names that no program can write, so they collide with none. What it uses beside them is put among
its constants, since the function's globals are the program's.

All of it stands on the function's first line: a debugger or coverage is shown no line of ours.
"""

from __future__ import annotations

import ast
import dis
import sys
from functools import lru_cache
from types import CodeType
from typing import Any

from otel_run.functions.template_text import ASYNC_GENERATOR, COROUTINE, GENERATOR, Shape, text

# Flags of a code object (inspect.CO_*).
_OPTIMIZED, _VARARGS, _VARKEYWORDS = 0x01, 0x04, 0x08
_KINDS = GENERATOR | COROUTINE | ASYNC_GENERATOR

# From then on the arguments of a call by `*` are not kept by the caller's frame.
_CALL_LETS_GO = sys.version_info >= (3, 12)

_BUILTIN = (BaseException, Exception, RecursionError, StopIteration, StopAsyncIteration)
_ALWAYS_THERE: dict[str, object] = {cls.__name__: cls for cls in _BUILTIN}
_CONSTANTS = {"SEAT", "LIVE", *_ALWAYS_THERE}


def is_function(code: CodeType) -> bool:
    """Tell whether it is the code of a function, not that of a module or class that somebody made one of."""
    return bool(code.co_flags & _OPTIMIZED)


def is_apart(code: CodeType) -> bool:
    """Tell whether it runs in pieces, with the consumer's code in between."""
    return bool(code.co_flags & (GENERATOR | ASYNC_GENERATOR))


def parameters(code: CodeType) -> tuple[str, ...]:
    """Return the names of all parameters, in the order in which a code object has them."""
    flags = code.co_flags
    rest = bool(flags & _VARARGS) + bool(flags & _VARKEYWORDS)
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + rest]


def fill(code: CodeType, told: tuple[str, ...], seat: object, live: object) -> CodeType:
    """Return the template for a function of this `code`, which calls `seat.original` in its place and tells `seat`."""
    names = parameters(code)
    shape = Shape(
        code.co_flags & _KINDS,
        code.co_posonlyargcount,
        code.co_argcount,
        code.co_kwonlyargcount,
        bool(code.co_flags & _VARARGS),
        bool(code.co_flags & _VARKEYWORDS),
        len(code.co_freevars),
        tuple(map(names.index, told)) or None,
        _CALL_LETS_GO and not code.co_flags & _KINDS and _lets_go(code, names),
    )
    compiled = _compiled(shape)
    doc = code.co_consts[0] if code.co_consts and isinstance(code.co_consts[0], str) else None
    constants = {_mark(name): value for name, value in _ALWAYS_THERE.items()}
    constants |= {"DOC": doc, _mark("SEAT"): seat, _mark("LIVE"): live}
    constants |= {f"p{at}": name for at, name in enumerate(names)}
    ours = compiled.co_varnames[len(names) :]
    changes: dict[str, Any] = {
        "co_flags": code.co_flags,
        "co_consts": tuple(_filled(constant, constants) for constant in compiled.co_consts),
        "co_varnames": (*names, *(f".{name}" for name in ours)),
        "co_freevars": code.co_freevars,
        "co_filename": code.co_filename,
        "co_name": code.co_name,
        "co_firstlineno": code.co_firstlineno,
    }
    if sys.version_info >= (3, 11):
        changes["co_qualname"] = code.co_qualname
    return compiled.replace(**changes)


def _filled(constant: object, constants: dict[str, Any]) -> object:
    if isinstance(constant, tuple):  # the names of keyword arguments
        return tuple(_filled(part, constants) for part in constant)
    return constants.get(constant, constant) if isinstance(constant, str) else constant


def _lets_go(code: CodeType, names: tuple[str, ...]) -> bool:
    """Tell whether a parameter is deleted or bound to something else."""
    for instruction in dis.get_instructions(code):
        if instruction.opname.startswith(("STORE_FAST", "DELETE_FAST", "STORE_DEREF", "DELETE_DEREF")):
            bound = instruction.argval
            # Two in one, from 3.13 on.
            if not set(names).isdisjoint(bound if isinstance(bound, tuple) else (bound,)):
                return True
    return False


@lru_cache(maxsize=256)
def _compiled(shape: Shape) -> CodeType:
    tree = _Constants().visit(ast.parse(text(shape)))
    for node in ast.walk(tree):
        if isinstance(node, (ast.expr, ast.stmt, ast.excepthandler, ast.arg, ast.keyword)):
            node.lineno = node.end_lineno = 1
            node.col_offset = node.end_col_offset = 0
    # Docstrings are our first constant whatever `-O` the program runs with.
    module = compile(tree, "<otel-run>", "exec", dont_inherit=True, optimize=0)
    return _code_in(_code_in(module, "enclosing"), "template")


def _code_in(code: CodeType, name: str) -> CodeType:
    return next(found for found in code.co_consts if isinstance(found, CodeType) and found.co_name == name)


def _mark(name: str) -> str:
    return f"otel_run.{name}"


class _Constants(ast.NodeTransformer):
    """Makes constants of the names that `fill` knows."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in _CONSTANTS:
            return node
        marked = ast.Constant(_mark(node.id))
        # The compiler warns of a plain constant that is called; of the two branches it compiles one.
        return ast.IfExp(ast.Constant(True), marked, ast.Constant(None))
