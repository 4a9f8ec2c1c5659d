"""The body of a WSGI response (PEP 3333) on its way to the server, which ends the request's span.

Whatever the server may do with the application's body it can do with ours; what it knows by its kind (a list, a file
for `sendfile`) it gets as it is.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any

from otel_run.tracing.entering import enter, leave, now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.context import Context

    from otel_run.instrumentors.http_request import Passing, Request
    from otel_run.patching.wrap import Contained


def is_for_sendfile(body: Any, environ: dict[str, Any]) -> bool:
    """Tell whether the server would send it by other means than iterating, by which it knows it."""
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return False
    return isinstance(body, wrapper) if isinstance(wrapper, type) else hasattr(body, "read")


def end_with_close(request: Passing, body: Any, contained: Contained) -> bool:
    """End the span when the server closes `body`; return False if that can't be seen."""
    close = getattr(body, "close", None)
    own = getattr(body, "__dict__", None)
    if close is None or own is None:
        return False
    own["close"] = _Closing(request, close, own, contained)
    return True


class _Closing:
    """What closes a body that is handed to the server as it is, and ends the span."""

    def __init__(self, request: Passing, close: Any, own: dict[str, Any], contained: Contained) -> None:
        self.__wrapped__ = close
        self._own = own
        self._before = own.get("close")
        self._request = request
        self._contained = contained

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Close it."""
        # This holds the body that holds it, which would both wait for the garbage collector.
        if self._own.get("close") is self:
            del self._own["close"]
            if self._before is not None:
                self._own["close"] = self._before
        token = enter(self._request.context)
        try:
            return self.__wrapped__(*args, **kwargs)
        finally:
            leave(token)
            self._contained(self._request.end)

    def __del__(self) -> None:
        # Nobody has closed it, such as middleware that puts another body in its place.
        if self._request.is_open:
            self._contained(self._request.end)


class Pieces:
    """A body on its way to the server, of a request that is not recorded: its pieces are made in the right context."""

    # Not set in __init__, as this is made for nearly every request.
    _iterator: Iterator[bytes] | None = None

    def __init__(self, request: Passing, theirs: Any, left: Context) -> None:
        # The context holds it weakly, and a framework that is only called for a piece asks there whose layer it is.
        self._request = request
        self._theirs = theirs
        # What the application, or a piece, has left current is so for the next: a generator may yield within a span.
        self._context = left

    def __iter__(self) -> Pieces:
        if self._theirs is None:
            # Raises TypeError, here as without us: granian answers otherwise than if a piece can't be had.
            next(self)
        return self

    def __next__(self) -> bytes:
        __traceback_hide__ = True
        token = enter(self._context)
        try:
            iterator = self._iterator
            if iterator is None:
                iterator = self._iterator = iter(self._theirs)
            return next(iterator)
        finally:
            self._context = now()
            leave(token)

    def close(self) -> None:
        """Close theirs, as the server would have done."""
        close = getattr(self._theirs, "close", None)
        if close is not None:
            token = enter(self._context)
            try:
                close()
            finally:
                leave(token)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._theirs, name)


class Body(Pieces):
    """A body on its way to the server, whose end is that of the request's span."""

    _request: Request
    _is_sent = False
    # When the last piece was handed over, in ns since the epoch.
    _at: int | None = None

    def __init__(self, request: Request, theirs: Any, contained: Contained, left: Context) -> None:
        self._theirs = theirs
        self._is_closed_later = hasattr(theirs, "close")
        self._context = left
        self._request = request
        self._contained = contained

    def __next__(self) -> bytes:
        __traceback_hide__ = True
        token = enter(self._context)
        try:
            iterator = self._iterator
            if iterator is None:
                iterator = self._iterator = iter(self._theirs)
            piece = next(iterator)
            # Servers send status and headers with the first piece that is not empty.
            if piece:
                self._is_sent = True
            return piece
        except StopIteration:
            request = self._request
            if request.headers is None:
                request.answer_silence()
            if self._is_closed_later:
                # What is done there is still the request's.
                self._at = time_ns()
            else:
                self._contained(request.end)
            raise
        except BaseException as error:
            self._contained(self._end_early, error)
            raise
        finally:
            self._context = now()
            leave(token)

    def _end_early(self, error: BaseException) -> None:
        if not self._is_sent:
            self._request.take_back()
        self._request.end(error)

    def close(self) -> None:
        """Close theirs, and end the span."""
        close = getattr(self._theirs, "close", None)
        try:
            if close is not None:
                token = enter(self._context)
                try:
                    close()
                finally:
                    leave(token)
        except BaseException as error:
            self._contained(self._request.end, error)
            raise
        request = self._request
        if self._is_sent and request.headers is None:
            request.answer_silence()
        self._contained(request.end)

    def __del__(self) -> None:
        # Nobody has closed it: a client of the tests, or a server that died.
        if self._request.is_open:
            self._contained(self._request.end, None, self._at)


class Sized:
    """A body of which the server may ask the number of pieces, as with one of them some tell its length."""

    def __init__(self, pieces: Pieces, theirs: Any) -> None:
        self._pieces = pieces
        self._theirs = theirs
        self._is_begun = False

    def __len__(self) -> int:
        return len(self._theirs)

    def __iter__(self) -> Iterator[bytes]:
        # gevent.pywsgi adds up the lengths of all pieces, beside its loop over them.
        if self._is_begun:
            return iter(self._theirs)
        self._is_begun = True
        return self._pieces

    def close(self) -> None:
        """Close theirs."""
        self._pieces.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._theirs, name)
