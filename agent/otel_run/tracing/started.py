"""What begins: in which lane each span does, and which spans are open. For those who show traces from within.

A lane is where one thing is done at a time: an asyncio task, a greenlet, a job of a pool, else a thread. Only the
process itself can know it, and without it nobody can say which of several things a task has waited for.
The lane is kept in a context variable, which is copied wherever work is handed on (`asyncio.to_thread`, anyio's
threads). So what is found there counts only if thread and task are those that it was made for.

Nothing of this happens before `watch`: a span asks for no more than whether there is somebody to tell.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from _thread import get_ident
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from otel_run import forks
from otel_run.boundary import contained

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_run.tracing.span import Span

# As view/span.py has it.
LANE = "otelrun.lane"
_UNIT = "lanes"
# A program may start spans that it never ends. What is above counts as if it had ended.
MOST_OPEN = 10_000


class Known:
    """The spans of this process, and those that it knows from before it was forked."""

    __slots__ = ("elsewhere", "open", "outlasting")

    def __init__(self) -> None:
        # id of each that was begun in this process and has not ended -> the span, the oldest first.
        self.open: dict[int, Span] = {}
        # Ids of those that a parent process had begun, and ends.
        self.elsewhere: set[int] = set()
        # Ids of those that have ended when their parent was over already, the oldest first. Noted as they end: whoever
        # reads them does so later, when most parents are over.
        self.outlasting: dict[int, None] = {}

    def end(self, span: ReadableSpan) -> None:
        """Note that it has ended."""
        opened, context, parent = self.open, span._context, span._parent
        if context is None:
            return
        opened.pop(context.span_id, None)
        if parent is not None and parent.span_id not in opened:
            _make_room(self.outlasting)
            self.outlasting[context.span_id] = None

    def begin_child(self) -> None:
        """Begin anew in a forked child."""
        self.elsewhere.update(self.open)
        self.open.clear()
        self.outlasting.clear()


def _make_room(found: dict[int, Any]) -> None:
    if len(found) >= MOST_OPEN:
        with suppress(RuntimeError, StopIteration):  # other threads add and take away, too
            found.pop(next(iter(found)), None)


known = Known()
is_watching = False

_numbers = itertools.count(1)


class _Lane:
    """A lane, and what it belongs to. Not an id of that: a task's is used again when it is gone."""

    __slots__ = ("name", "owner", "thread")

    def __init__(self, name: str, thread: int, owner: Callable[[], object]) -> None:
        self.name = name
        self.thread = thread
        self.owner = owner


_current: ContextVar[_Lane | None] = ContextVar("otel-run-lane", default=None)


def watch() -> None:
    """Be told of each span that begins or ends, from now on."""
    global is_watching
    if not is_watching:
        # Not above: who only asks whether to begin a job needs no SDK.
        from otel_run.tracing import span as spans

        is_watching = True
        forks.in_child(known.begin_child)
        spans.begun, spans.ended = _begin, _end


def begin_job() -> None:
    """Note that this thread begins a job that has nothing to do with the one before: it is another lane."""
    _current.set(None)


def lane() -> str:
    """Return the name of the lane that this is called in."""
    kind, owner = _owner()
    found = _current.get()
    thread = get_ident()
    if found is None or found.thread != thread or found.owner() is not owner:
        found = _Lane(f"{kind} {next(_numbers)}", thread, _nobody if owner is None else weakref.ref(owner))
        _current.set(found)
    return found.name


def _owner() -> tuple[str, object]:
    """Return what runs in this thread, of several that take turns; None if it is the thread itself."""
    # Whoever has not imported them has no task.
    asyncio: Any = sys.modules.get("asyncio.tasks")
    if asyncio is not None:
        loop = asyncio.events._get_running_loop()
        task = None if loop is None else asyncio.current_task(loop)
        if task is not None:
            return "task", task
    greenlet: Any = sys.modules.get("greenlet")
    if greenlet is not None:
        current = greenlet.getcurrent()
        if current.parent is not None:
            return "greenlet", current
    return "thread", None


def _nobody() -> None:
    return None


def _begin(span: Span) -> None:
    contained(_UNIT, _note_begin, span)


def _end(span: Span) -> None:
    contained(_UNIT, _note_end, span)


def _note_begin(span: Span) -> None:
    vars(span)["_lane"] = lane()
    _make_room(known.open)
    known.open[span._context.span_id] = span


def _note_end(span: Span) -> None:
    known.end(span)
    name = vars(span).get("_lane")
    kept = span._attributes
    # Told last, and only where there is room: nothing of the program's has to go for it, nor is it ever cut.
    if name is not None and (kept.maxlen is None or len(kept) < kept.maxlen):
        kept._dict[LANE] = name
