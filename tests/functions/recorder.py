"""An observer that writes down what it is told, and pairs of functions of which it is told one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.functions import replaced

if TYPE_CHECKING:
    from collections.abc import Callable


class Recorder:
    """Writes down what it is told; with `fails` raises there."""

    def __init__(self, *arguments: str, begins: bool = True, fails: str = "") -> None:
        self.arguments = arguments
        self.told: list[Any] = []
        self.begins = begins
        self._fails = fails
        # What is current, as a context would have it.
        self.current = 0

    def begin(self, values: tuple[Any, ...] | None) -> Any:
        self._tell("begin", *(values or ()))
        self.current += self.begins
        return "begun" if self.begins else None

    def begin_apart(self, values: tuple[Any, ...] | None) -> Any:
        self._tell("begin_apart", *(values or ()))
        return "begun" if self.begins else None

    def resume(self, begun: Any) -> None:
        assert begun == "begun"
        self._tell("resume")
        self.current += 1

    def pause(self, begun: Any) -> None:
        assert begun == "begun"
        self._tell("pause")
        self.current -= 1

    def end(self, begun: Any, error: BaseException | None) -> None:
        assert begun == "begun"
        # Not the error itself: whatever it holds must be able to go.
        self._tell("end", *([] if error is None else [type(error).__name__]))
        self.current -= 1

    def _tell(self, what: str, *values: Any) -> None:
        self.told.append((what, *values) if values else what)
        if what == self._fails:
            raise ValueError("a mistake of ours")


def pair(make: Callable[[], Any], *arguments: str, begins: bool = True) -> tuple[Any, Any, Recorder]:
    """Return a function as it is, the same one traced, and what is told of that."""
    recorder = Recorder(*arguments, begins=begins)
    bare, traced = make(), make()
    replaced.trace(traced, recorder)
    return bare, traced, recorder
