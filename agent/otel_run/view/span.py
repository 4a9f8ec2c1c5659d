"""A span as a viewer has it, whether it came out of a file, over the wire or from this very process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# OTLP's numbers (opentelemetry/proto/trace/v1/trace.proto, Span.SpanKind and Status.StatusCode).
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
OK, ERROR = 1, 2

# The attribute that says in which thread, job or asyncio task a span has begun: in each, one thing is done at a time.
LANE = "otelrun.lane"


@dataclass(slots=True, eq=False)
class Event:
    """Something that happened within a span, such as an exception; `time` in ns since the epoch."""

    name: str
    time: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Span:
    """One piece of work. Ids in lower-case hex, times in ns since the epoch; `kind` and `status` as OTLP has them.

    Values of attributes are str, bool, int, float, bytes, None, or lists and dicts of these.
    """

    trace_id: str
    id: str
    # Empty for a root.
    parent_id: str
    name: str
    start: int
    # Of one that has not ended yet (`is_open`), the time at which it was looked at.
    end: int
    kind: int = INTERNAL
    attributes: Mapping[str, Any] = field(default_factory=dict)
    status: int = 0
    # What the status says of an error.
    message: str = ""
    events: Sequence[Event] = ()
    # (trace id, span id) of each.
    links: Sequence[tuple[str, str]] = ()
    # The instrumentor that made it.
    scope: str = ""
    # service.name, and what tells processes apart (service.instance.id, else host and pid).
    service: str = ""
    process: str = ""
    # Attributes, events and links that limits have dropped.
    dropped: int = 0
    is_open: bool = False

    @property
    def duration(self) -> int:
        """How long it took, in ns; never negative, although the wall clock may be set back."""
        return max(0, self.end - self.start)

    @property
    def lane(self) -> str:
        """Where it has begun, unique within its process; empty if that is not known."""
        lane = self.attributes.get(LANE)
        return lane if isinstance(lane, str) else ""

    @property
    def is_failed(self) -> bool:
        """Whether it says so itself."""
        return self.status == ERROR
