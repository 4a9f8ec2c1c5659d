"""httpx: a CLIENT span for each request that a client hands to a transport.

`_send_single_request` runs once for each: redirects and the requests of an auth flow come through it one
by one, whatever the transport (mounted, custom, in-process), whenever the client was made, and also where
a subclass overrides `send`. Transports would be public, but each class of them would have to be patched,
and they wrap one another. It returns with the headers. `send` tells what belongs together, and whether the
library reads the body: it then does so with `Response.read` or `aread`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run import settings
from otel_run.instrumentors import http_chain
from otel_run.instrumentors.http import Answer, HttpClient
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Patch
from otel_run.tracing.entering import now
from otel_run.tracing.tracer import is_dropped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Finish

UNIT = "instrumentor httpx"

_VERSIONS = {b"HTTP/1.1": "1.1", b"HTTP/2": "2"}


class HttpxInstrumentor(Instrumentor):
    """Observes `Client` and `AsyncClient` where one request goes out."""

    library = "httpx"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patches of both clients."""
        import httpx

        client = HttpClient(tracer, settings.current().excluded_urls_of("httpx"), _read)

        def begin_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
            if is_dropped(tracer, now()):
                return None
            request = args[1] if len(args) > 1 else kwargs.get("request")
            return http_chain.begin(request, reads_body=not kwargs.get("stream", False))

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
            request = args[1] if len(args) > 1 else kwargs["request"]
            around = now()
            # Before the URL is made a text, which costs as much as all of this.
            if client.lets_pass(around, request.url, request.headers):
                return None
            method = request.method
            if isinstance(method, bytes):
                method = method.decode("ascii", "replace")
            exchange = client.begin(method, str(request.url), request.headers, request, around)
            return exchange.finish if exchange is not None else None

        both = (httpx.Client, httpx.AsyncClient)
        return [
            *(Patch(UNIT, cls, "send", begin_call, takes="request") for cls in both),
            *(Patch(UNIT, cls, "_build_redirect_request", _begin_redirect, takes="request response") for cls in both),
            *(Patch(UNIT, cls, "_send_single_request", begin, takes="request") for cls in both),
            *(Patch(UNIT, httpx.Response, name, _begin_body) for name in ("read", "aread")),
        ]


def _begin_redirect(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
    return http_chain.begin_derivation(args[1] if len(args) > 1 else kwargs.get("request"))


def _begin_body(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    chain = http_chain.current()
    exchange = chain.exchange if chain is not None else None
    return exchange.end_of_body if exchange is not None and exchange.awaited is args[0] else None


def _read(response: Any) -> Answer:
    # Not `response.http_version`: it answers HTTP/1.1 for a transport that does not say.
    extensions = response.extensions
    told = extensions.get("http_version", b"")
    known = _VERSIONS.get(told) if type(told) is bytes else None
    version = known or told.decode("ascii", "replace").removeprefix("HTTP/") or None
    return Answer(response.status_code, version, response.headers, _peer(extensions), response)


def _peer(extensions: Any) -> Any:
    tell = getattr(extensions.get("network_stream"), "get_extra_info", None)
    try:
        return tell("server_addr") if tell is not None else None
    except (OSError, AttributeError):
        return None  # closed, or not a socket
