"""wsgiref, of the standard library: the application that a handler is told to run.

Django's `runserver` is built on it, and so is whatever runs as CGI, and the metrics' own server of prometheus_client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import wsgi
from otel_run.instrumentors.http_application import ServerInstrumentor, WatchedApplication
from otel_run.patching.wrap import Around

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Contained, Patch


# Packages that serve an application of their own beside the program, which is asked every few seconds, for ever.
_SERVING_THEMSELVES = ("prometheus_client",)


class WsgirefInstrumentor(ServerInstrumentor):
    """Patches the handler of requests, whichever server has made it."""

    library = "wsgiref"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patch."""
        from wsgiref.handlers import BaseHandler

        watch = wsgi.watching(self, tracer)
        return [Around("instrumentor wsgiref", BaseHandler, "run", _handing_on(watch), takes="application")]


def _handing_on(
    watch: Callable[[Any], WatchedApplication],
) -> Callable[[Callable[..., Any], Contained], Callable[..., Any]]:
    def make(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
        def watch_if_it_is_the_programs(application: Any) -> Any:
            package = str(getattr(application, "__module__", "")).partition(".")[0]
            return application if package in _SERVING_THEMSELVES else watch(application)

        def run(self: Any, application: Any) -> Any:
            return original(self, contained(watch_if_it_is_the_programs, application) or application)

        return run

    return make
