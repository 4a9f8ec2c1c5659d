"""requests: a CLIENT span for each request that an adapter sends, and for each that urllib3 sends again below it.

`Session.send` would be the usual place, but it does not see the wire: for a redirect it calls itself, so
that the second request would be made inside the span of the first, and a digest login sends its second
request by the adapter, past the session. `HTTPAdapter.send` is called once for each request, whoever
overrides or mocks the session. It returns with the headers. `Session.send` tells what belongs together, and
whether the library reads the body: it then does so with `HTTPResponse.stream` of urllib3.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from otel_run import settings
from otel_run.instrumentors import http_chain
from otel_run.instrumentors.http import Answer, HttpClient
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Patch
from otel_run.tracing.entering import now
from otel_run.tracing.tracer import is_dropped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Begin, Finish

UNIT = "instrumentor requests"

# We hold every class that we patch; a program that makes its adapter's class anew for each request must not grow.
MOST_SENDERS = 64

_NO_ADAPTERS: Mapping[str, object] = {}

# urllib3 keeps the version as http.client does.
_VERSIONS = {9: "0.9", 10: "1.0", 11: "1.1", 20: "2", 30: "3"}


class RequestsInstrumentor(Instrumentor):
    """Observes `HTTPAdapter.send`, and the adapters of others when a session first uses one."""

    library = "requests"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patches of the session, of the adapter, and of urllib3 below."""
        from requests import adapters, models, sessions
        from urllib3 import connectionpool, response

        client = HttpClient(tracer, settings.current().excluded_urls_of("requests"), _read)
        own = adapters.HTTPAdapter
        begin = _begin_by(client, own)
        looked_at: weakref.WeakSet[type] = weakref.WeakSet()
        senders: set[type] = {own}

        def look_at(kind: type) -> None:
            looked_at.add(kind)
            sender = _sender(kind)
            if sender is None or sender in senders or len(senders) >= MOST_SENDERS:
                return
            senders.add(sender)
            patch = Patch(UNIT, sender, "send", begin)
            patch.apply()
            self._applied.append(patch)

        def begin_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
            session = args[0]
            # At every call, so that a session made, or an adapter mounted, before us is seen too.
            for adapter in list(getattr(session, "adapters", _NO_ADAPTERS).values()):
                if type(adapter) is not own and type(adapter) not in looked_at:
                    look_at(type(adapter))
            if is_dropped(tracer, now()):
                return None
            streams = kwargs["stream"] if "stream" in kwargs else getattr(session, "stream", False)
            return http_chain.begin(args[1] if len(args) > 1 else kwargs.get("request"), reads_body=not streams)

        return [
            Patch(UNIT, sessions.Session, "send", begin_call, takes="request"),
            Patch(UNIT, models.PreparedRequest, "copy", _begin_copy),
            Patch(UNIT, own, "send", begin, takes="request"),
            Patch(UNIT, connectionpool.HTTPConnectionPool, "_make_request", _begin_attempt, takes="conn method url"),
            Patch(UNIT, response.HTTPResponse, "stream", _begin_body),
        ]


def _begin_by(client: HttpClient, own: type) -> Begin:
    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        request = args[1] if len(args) > 1 else kwargs.get("request")
        method, url = getattr(request, "method", None), getattr(request, "url", None)
        if not isinstance(method, str) or not isinstance(url, str):
            return None  # not a prepared request: requests will say so
        headers = getattr(request, "headers", None)
        around = now()
        if client.lets_pass(around, url, headers):
            return None
        # An adapter that is used without a session: what urllib3 sends again must find the first.
        # So must what a hook sends by one, in the middle of a call that it is no part of.
        close = http_chain.begin(request, reads_body=False)
        exchange = None
        try:
            exchange = client.begin(method, url, headers, request, around)
        finally:
            if exchange is None and close is not None:
                close(None, None)
        if exchange is None:
            return None
        # What an adapter of another kind asks urllib3 for may be something else than the request.
        exchange.has_attempts = isinstance(args[0], own)
        return exchange.finish if close is None else _both(exchange.finish, close)

    return begin


def _both(first: Finish, second: Finish) -> Finish:
    def finish(response: Any, error: BaseException | None) -> None:
        try:
            first(response, error)
        finally:
            second(response, error)

    return finish


def _begin_copy(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    # Redirects and digest logins send a copy of what was sent before.
    return http_chain.begin_derivation(args[0])


def _begin_attempt(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
    chain = http_chain.current()
    exchange = chain.exchange if chain is not None else None
    # None: urllib3 is used by somebody else, in the middle of a call of requests or without one.
    if exchange is None or not exchange.begin_attempt(kwargs.get("headers")):
        return None
    connection = args[1] if len(args) > 1 else kwargs.get("conn")

    def finish(response: Any, error: BaseException | None) -> None:
        exchange.end_attempt(response, error, _peer(connection, response) if exchange.is_recording else None)

    return finish


def _begin_body(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    chain = http_chain.current()
    exchange = chain.exchange if chain is not None else None
    return exchange.end_of_body if exchange is not None and exchange.awaited is args[0] else None


def _peer(connection: Any, response: Any) -> Any:
    sock = getattr(connection, "sock", None)
    if sock is None:
        # A server that closes after this response: the socket lives on in the file that is read from.
        raw = getattr(getattr(getattr(response, "_fp", response), "fp", None), "raw", None)
        sock = getattr(raw, "_sock", None)
    name = getattr(sock, "getpeername", None)
    try:
        return name() if name is not None else None
    except OSError:
        return None  # closed or reset


def _sender(cls: type) -> type | None:
    """Return the class whose `send` does the sending: the first that does not hand on to `super()`.

    An adapter that adds a timeout, retries or a cache before `HTTPAdapter.send` is left alone, since what
    it really sends is seen there; one that sends in its own way would be seen nowhere.
    """
    for owner in cls.__mro__:
        code = getattr(vars(owner).get("send"), "__code__", None)
        if code is not None and "super" not in code.co_names:
            return owner
    return None


def _read(response: Any) -> Answer:
    """Read a response of requests, or of urllib3 where that sends again."""
    status = getattr(response, "status_code", None)
    raw = getattr(response, "raw", None) if status is not None else response
    if status is None:
        status = getattr(response, "status", None)
    version = _VERSIONS.get(getattr(raw, "version", None) or 0)
    # A file of somebody's adapter is read where we can't see the end.
    body = raw if hasattr(raw, "stream") else None
    return Answer(status if isinstance(status, int) else None, version, getattr(response, "headers", {}), body=body)
