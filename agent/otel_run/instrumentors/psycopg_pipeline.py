"""What was sent in psycopg's pipeline mode and is not yet answered.

There `execute` but queues its statement. The answers come in the order of the statements, while the program
does something else: fetches, commits, leaves the block. So a span lasts until its own answer is taken from the
queue, and an error belongs to the statement whose answer it is, not to the call that happened to meet it.

Statements are told apart by counting: what is queued as the nth is answered as the nth.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from otel_run.instrumentors.notes import Notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.patching.wrap import Finish

    End = Callable[["BaseException | None"], None]


class Sent:
    """One statement's places in the queue, counted from 1; `last` is None while it is being queued."""

    __slots__ = ("end", "error", "first", "last")

    def __init__(self, first: int, end: End) -> None:
        self.first = first
        self.last: int | None = None
        self.end = end
        self.error: BaseException | None = None


class _Line:
    """The statements of one pipeline that wait for their answers, in order."""

    __slots__ = ("answered", "told", "waiting")

    def __init__(self) -> None:
        self.answered = 0
        self.waiting: deque[Sent] = deque()
        # The ids of the errors that were some statement's, since the last one was put in.
        self.told: set[int] = set()


class Pipelines:
    """The pipelines in which something waits that has a span."""

    def __init__(self) -> None:
        self._lines: Notes[_Line] = Notes()

    def put(self, pipeline: Any, end: End) -> Sent:
        """Note that a statement is about to be queued; `end(error)` is called when it is answered."""
        line = self._lines.get(pipeline)
        if line is None:
            line = self._lines[pipeline] = _Line()
        line.told.clear()
        sent = Sent(line.answered + len(pipeline.result_queue) + 1, end)
        line.waiting.append(sent)
        return sent

    def queued(self, pipeline: Any, sent: Sent, error: BaseException | None) -> None:
        """Note that the call that queued `sent` is over, which may have met the `error` of another statement."""
        line = self._lines.get(pipeline)
        if line is None or sent not in line.waiting:
            return
        last = line.answered + len(pipeline.result_queue)
        is_own = error is not None and id(error) not in line.told
        if is_own or last < sent.first:
            self._finish(pipeline, line, sent, error if is_own else None)
        elif line.answered >= last:
            self._finish(pipeline, line, sent, sent.error)
        else:
            sent.last = last

    def answer(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Watch the answer to what is the next in a pipeline being taken."""
        pipeline = args[0]
        line = self._lines.get(pipeline)
        if line is None:
            return None

        def finish(_result: Any, error: BaseException | None) -> None:
            line.answered += 1
            if error is not None:
                line.told.add(id(error))
            head = line.waiting[0] if line.waiting else None
            if head is None or head.first > line.answered:
                return
            if head.error is None:
                head.error = error
            if head.last is not None and head.last <= line.answered:
                self._finish(pipeline, line, head, head.error)

        return finish

    def leave(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Watch a pipeline being left; what has no answer by then gets none, for the connection is lost."""
        pipeline = args[0]
        line = self._lines.get(pipeline)
        if line is None or getattr(pipeline, "level", 1) > 1:
            return None
        ending = args[2] if len(args) > 2 else None

        def finish(_result: Any, error: BaseException | None) -> None:
            self._lines.pop(pipeline)
            why = ending if error is None else error
            for sent in line.waiting:
                sent.end(why if sent.error is None else sent.error)

        return finish

    def _finish(self, pipeline: Any, line: _Line, sent: Sent, error: BaseException | None) -> None:
        line.waiting.remove(sent)
        if not line.waiting:
            # The next one counts anew.
            self._lines.pop(pipeline)
        sent.end(error)
