"""One incoming request: its open span, and what the layers that it passes through tell of it until it ends.

Of one that nobody will see there is only what those below it need: the context, and what tells it from others.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import ref

from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_run.tracing import told_errors
from otel_run.tracing.call import error_type, is_cancellation
from otel_run.tracing.decided import IS_KEPT
from otel_run.tracing.entering import now

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.trace import Span

    from otel_run.instrumentors.http_arrival import Arrival
    from otel_run.instrumentors.http_headers import Attributes
    from otel_run.instrumentors.http_server import HttpServer

# The request that the program is working on, in the context.
REQUEST = "otel-run-request"


def current() -> Request | None:
    """Return the request whose handling this is, if its span is open and recorded."""
    found: Any = now().get(REQUEST)
    request: Any = None if found is None else found()
    return request if request is not None and request.is_open else None


def of(around: Context) -> Passing | None:
    """Return the request that a context belongs to, open or not, recorded or not."""
    found: Any = around.get(REQUEST)
    return None if found is None else found()


class Passing:
    """A request that is not recorded, since the sampler or the user wants none of it.

    `context` is what its handling runs in: `enter` it, and `leave` what that returned.
    """

    __slots__ = ("__weakref__", "_arrival", "context", "mark", "parent", "span")

    # Whether there is something to be told of it, and to be ended.
    is_open = False
    is_recording = False
    is_excluded = False

    def __init__(self, arrival: Arrival, span: Span, parent: Context) -> None:
        self._arrival = arrival
        # An arrival with the same is surely this.
        self.mark = arrival.mark
        self.span = span
        # The context around it, with the caller's span.
        self.parent = parent
        # Weakly: each would keep the other, and all that is the request's, until the garbage collector comes.
        self.context = Context(parent, **{_SPAN_KEY: span, REQUEST: ref(self)})

    def is_about(self, arrival: Arrival) -> bool:
        """Tell whether it is this request, its span open or not, that arrives at a layer further inside."""
        return arrival.mark is self.mark or arrival.is_like(self._arrival)

    def drop(self) -> None:
        """Do nothing: it is never seen."""

    def end(self, error: BaseException | None = None) -> None:
        """Do nothing: it has no end that anybody would see."""


class Excluded(Passing):
    """A request that the user wants none of, nor of what it calls."""

    __slots__ = ()

    is_excluded = True

    def __init__(self, arrival: Arrival, span: Span, parent: Context) -> None:
        super().__init__(arrival, span, Context(parent, **{IS_KEPT: False}))
        self.parent = parent


class Request(Passing):
    """The SERVER span of one request, from its arrival to its last byte.

    The span may end before its `context` is left, with the last byte, or after, with a body that is handed on piece
    by piece.
    """

    # Not set in __init__, since most of it is never said of a request that is not recorded.
    _route: str | None = None
    # Where applications are mounted inside, as it stands in the URL -> as a template.
    _roots: Mapping[str, str] = MappingProxyType({})
    # What the application has answered: a number, or the line of WSGI, which is read when the span ends.
    status: int | str | None = None
    # None until it has answered.
    headers: Iterable[tuple[str, str]] | None = None
    _error: BaseException | None = None
    _was_dropped = False
    is_open = True
    is_recording = True

    def __init__(self, layer: HttpServer, arrival: Arrival, span: Span, parent: Context, method: str) -> None:
        self._layer = layer
        self._method = method
        # As `Passing` has it, without a call.
        self._arrival = arrival
        self.mark = arrival.mark
        self.span = span
        self.parent = parent
        self.context = Context(parent, **{_SPAN_KEY: span, REQUEST: ref(self)})

    def drop(self) -> None:
        """Never end the span, so that it is never seen: a layer inside knows that nobody wants it."""
        self._was_dropped = True

    def mount(self, root: str, path: str, base: str = "") -> None:
        """Take that an application is mounted at `root` of this URL, by the template `path` of the one around it.

        `base` is where that one is itself, if it isn't mounted.
        """
        around = [at for at in self._roots if root.startswith(at + "/") or (root == at and not path)]
        self._roots = {**self._roots, root: (self._roots[max(around, key=len)] if around else base) + path}

    def set_route(self, route: str | None, root: str = "") -> None:
        """Take the route that a framework has found, a template below its `root`; the innermost counts."""
        if route:
            self._route = (self._roots.get(root, root) if root else "") + route

    def note(self, error: BaseException, instead: bool = False) -> None:
        """Take the exception that a framework is about to make a page of; it counts if that is a server error.

        The first one does, since a page's own mistakes are the consequence, but for one that comes `instead`.
        """
        # Later it would keep itself alive, by way of the frames that it has passed.
        if self.is_open and (self._error is None or instead):
            self._error = error

    def respond(self, status: int | str | None, headers: Any = ()) -> None:
        """Take what the application answers. What it says last, before the first byte, is what is sent.

        A text that does not begin with a number some servers send as it is.
        """
        self.status = status
        self.headers = headers

    def take_back(self) -> None:
        """Forget what the application has answered, and why: it raised before the first byte of that was sent."""
        self._error = None
        if self._layer.answers_instead:
            self.status = self.headers = None

    def respond_if_silent(self, status: int) -> None:
        """Take what the server answers in place of an application that has not answered."""
        if self.status is None:
            self.status = status

    def answer_silence(self) -> None:
        """Take what the server answers if the application has made a body, and never begun an answer."""
        if self.headers is None:
            self.status = self._layer.answer_to_silence

    def end(self, error: BaseException | None = None, at: int | None = None) -> None:
        """End the span, once, now or `at` (ns since the epoch). `error` has left the application, unhandled."""
        if not self.is_open:
            return
        self.is_open = False
        span = self.span
        try:
            # Not `is_recording`: the program may have ended it.
            if span.is_recording():
                self._tell(span, error, at)
        finally:
            # The exception's frames hold us.
            self.headers = self._error = None
            if not self._was_dropped:
                span.end(at)

    def _tell(self, span: Span, error: BaseException | None, at: int | None) -> None:
        failed = error is not None and not is_cancellation(error)
        if type(self.status) is not int:
            self.status = _number(self.status)
        if failed and self.status is None and isinstance(error, Exception):
            # What every server answers for an application that raised before it had answered.
            self.status = 500
        attributes: Attributes = {}
        layer, route = self._layer, self._route
        status: Any = self.status
        if route is not None:
            attributes["http.route"] = route
            span.update_name(f"{self._method} {route}")
        if status is not None:
            attributes["http.response.status_code"] = status
            if layer.has_old_names:
                attributes["http.status_code"] = status
            if self.headers is not None and layer.headers.of_responses:
                attributes.update(layer.headers.of_response(self.headers))
        if failed or (status is not None and status >= 500):
            # The first: a page's, or a server's, own mistakes are the consequence.
            original = self._error if self._error is not None else error if failed else None
            attributes["error.type"] = str(status) if original is None else error_type(original)
            # The conventions want no description where the status code says it.
            span.set_status(Status(StatusCode.ERROR))
            if original is not None:
                told_errors.tell_of_request(span, original, at)
        span.set_attributes(attributes)


def _number(status: object) -> int | None:
    """Return a status as a number; of WSGI's line, which has no other form, the beginning."""
    if isinstance(status, str):
        code = status[:3]
        return int(code) if code.isascii() and code.isdigit() else None
    return int(status) if isinstance(status, int) else None
