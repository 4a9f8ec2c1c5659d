"""httpx: a CLIENT span for each request that a client hands to a transport.

`_send_single_request` runs once for each: redirects and the requests of an auth flow come through it one
by one, whatever the transport (mounted, custom, in-process), whenever the client was made, and also where
a subclass overrides `send`. Transports would be public, but each class of them would have to be patched,
and they wrap one another. It returns with the headers; the body is read later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run import settings
from otel_run.instrumentors.http import Answer, HttpClient
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Patch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.http import Finish

UNIT = "instrumentor httpx"


class HttpxInstrumentor(Instrumentor):
    """Observes `Client` and `AsyncClient` where one request goes out."""

    library = "httpx"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patches of both clients."""
        import httpx

        client = HttpClient(tracer, settings.current().httpx_excluded_urls, _read)

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
            request = args[1] if len(args) > 1 else kwargs["request"]
            return client.begin(request.method, str(request.url), request.headers)

        return [
            Patch(UNIT, httpx.Client, "_send_single_request", begin),
            Patch(UNIT, httpx.AsyncClient, "_send_single_request", begin),
        ]


def _read(response: Any) -> Answer:
    # Not `response.http_version`: it answers HTTP/1.1 for a transport that does not say.
    version = response.extensions.get("http_version", b"").decode("ascii", "replace").removeprefix("HTTP/")
    return Answer(response.status_code, version or None, response.headers)
