"""Status and exceptions, as the SDK sets, keeps and records them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from opentelemetry.trace import Status, StatusCode

from tracing.like_sdk import Side, compare

UNSET, OK, ERROR = StatusCode.UNSET, StatusCode.OK, StatusCode.ERROR
FORMS: dict[str, tuple[Any, ...]] = {
    "unset": (UNSET,), "ok": (OK,), "error": (ERROR,), "error with text": (ERROR, "text"), "empty": (ERROR, ""),
    "ok with text": (OK, "text"), "unset with text": (UNSET, "text"), "Status()": (Status(),),
    "Status ok": (Status(OK),),
    "Status error": (Status(ERROR, "inside"),), "both": (Status(ERROR, "inside"), "outside"),
    "ok and text": (Status(OK), "outside"), "no text": (Status(ERROR), None), "number": (ERROR, 5),
}  # fmt: skip


@pytest.mark.parametrize("last", FORMS)
@pytest.mark.parametrize("first", FORMS)
def test_two_statuses_in_any_order(first: str, last: str) -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        for form in (first, last, "error"):
            side.try_(form, lambda form=form: span.set_status(*FORMS[form]))  # type: ignore[misc]
            side.note("status", span.status)
        span.end()
        side.try_("late", lambda: span.set_status(*FORMS[last]))

    compare(program)


@pytest.mark.parametrize("status", [None, 1, "ERROR", object()], ids=lambda status: type(status).__name__)
def test_what_is_no_status(status: Any) -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        side.try_("alone", lambda: span.set_status(status))
        span.set_status(OK)
        side.try_("after ok", lambda: span.set_status(status, "text"))
        side.try_("by name", lambda: span.set_status(status=ERROR, description="named"))
        span.end()

    compare(program)


class Mute(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


class Outer:
    class Inner(ValueError):
        """Has a qualified name."""


def _raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        try:
            raise KeyError("context")
        except KeyError:
            raise error from cause
    except BaseException as found:  # noqa: BLE001 - what is raised is the result
        return found


def _errors() -> dict[str, BaseException]:
    nested = ValueError("last")
    nested.__cause__ = nested.__context__ = OSError(2, "missing")
    return {
        "never raised": ValueError("text"), "raised": _raised(ValueError("text")), "no text": ValueError(),
        "caused": _raised(ValueError("text"), TypeError("cause")), "inner": _raised(Outer.Inner("x")), "nested": nested,
        "base": _raised(KeyboardInterrupt()), "exit": SystemExit(3), "mute": Mute(), "lone": ValueError("\ud800"),
        "several": ValueError("a", 1), "key": KeyError("k"), "generator": GeneratorExit(), "syntax": SyntaxError("bad"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", _errors())
def test_an_exception_is_recorded(kind: str) -> None:
    error = _errors()[kind]

    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        side.try_("alone", lambda: span.record_exception(error))
        attributes = {"own": 1, "exception.type": "mine", "": 2, "exception.message": None}
        side.try_("more", lambda: span.record_exception(error, attributes, 7, True))
        side.try_("by name", lambda: span.record_exception(exception=error, escaped=True, timestamp=8, attributes={}))
        span.end()
        side.try_("late", lambda: span.record_exception(error))

    compare(program)


@pytest.mark.parametrize("error", [None, 5, "text", ValueError], ids=str)
def test_what_is_no_exception(error: Any) -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        side.try_("record", lambda: span.record_exception(error))
        span.end()

    compare(program)


def test_the_exception_itself_is_not_touched() -> None:
    def program(side: Side) -> None:
        error = _raised(ValueError("text"))
        before = (error.__traceback__, error.__context__, error.__cause__, error.args, dict(vars(error)))
        span = side.tracer.start_span("span")
        span.record_exception(error)
        span.set_status(Status(ERROR, str(error)))
        span.end()
        after = (error.__traceback__, error.__context__, error.__cause__, error.args, dict(vars(error)))
        side.note("untouched", all(a is b or a == b for a, b in zip(before, after, strict=True)))

    compare(program)


def test_every_order_of_three_statuses() -> None:
    forms = [(OK,), (ERROR, "text"), (UNSET,), (Status(ERROR, "inside"), "outside")]

    def program(side: Side) -> None:
        for order in itertools.product(forms, repeat=3):
            span = side.tracer.start_span("span")
            for form in order:
                span.set_status(*form)
            side.note(str(order), span.status)

    compare(program)
