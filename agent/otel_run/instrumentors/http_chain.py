"""One call of a program and all the requests that it becomes: redirects, logins and retries of the library.

Whoever calls `Session.send` asks for one thing; more than one request may go out for it, and each after the first
is a resend. Told by the request objects: what a library derives from a request that it was given (a copy, a
redirect) continues the chain, while a token that an authentication fetches meanwhile is another matter.

A chain is kept in a context variable, so that threads, greenlets and tasks each see their own, and only while the
call runs: it ends with the outermost call, however that ends, and takes with it a span that is still open.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from typing import Any

    from otel_run.instrumentors.http_exchange import Exchange

    Finish = Callable[[Any, "BaseException | None"], None]

_current: ContextVar[Chain | None] = ContextVar("otel_run.http_chain", default=None)


def current() -> Chain | None:
    """Return the chain of the call that runs here, if one does."""
    chain = _current.get()
    # A task that was begun during a call keeps a copy of the context for as long as it likes.
    return chain if chain is not None and chain.is_open else None


class Chain:
    """The requests of one call, and the exchange that is open."""

    __slots__ = ("_derived", "_request", "_token", "exchange", "is_open", "reads_body", "sent")

    def __init__(self, request: object, reads_body: bool) -> None:
        """Begin with `request`. `reads_body`: the library itself reads the bodies before it returns."""
        self.is_open = True
        self.reads_body = reads_body
        self.sent = 0  # how many of its requests have gone over the wire
        self.exchange: Exchange | None = None
        self._request: object = request
        self._derived: list[object] | None = None
        self._token: Token[Chain | None] | None = _current.set(self)

    def holds(self, request: object) -> bool:
        """Tell whether `request` is one that this call has become."""
        if request is self._request:
            return True
        return self._derived is not None and any(one is request for one in self._derived)

    def adopt(self, derived: object, _error: BaseException | None = None) -> None:
        """Take in a request that was derived from one of ours."""
        if derived is not None:
            self._derived = [*(self._derived or ()), derived]

    def close(self, _result: object, error: BaseException | None) -> None:
        """End the chain with its call, and the span of a body that nobody has read."""
        try:
            if self.exchange is not None:
                self.exchange.settle(error)
        finally:
            # Whoever copied the context (a task of the program) may keep us; the token would keep the chain before.
            self.is_open = False
            self._request = self._derived = self.exchange = None
            token, self._token = self._token, None
            try:
                if token is not None:
                    _current.reset(token)
            except ValueError:
                pass  # a coroutine that was abandoned is closed in the context of whoever collects it


def begin(request: object, reads_body: bool) -> Finish | None:
    """Open a chain for `request`; None if it belongs to the one that is open, as a redirect does."""
    chain = _current.get()
    if chain is not None and chain.is_open and chain.holds(request):
        return None
    return Chain(request, reads_body).close


def begin_derivation(request: object) -> Finish | None:
    """Observe how another request is made from `request`."""
    chain = current()
    return chain.adopt if chain is not None and chain.holds(request) else None
