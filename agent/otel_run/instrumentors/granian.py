"""granian: the application, where it is made what Rust calls.

An application of granian's own interface, RSGI, is called by Rust with objects of Rust's, and is not traced.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import asgi, wsgi
from otel_run.instrumentors.http_application import ServerInstrumentor
from otel_run.patching.wrap import Around

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Contained, Patch


class GranianInstrumentor(ServerInstrumentor):
    """Patches what wraps applications, before the servers of processes, threads and programs import it."""

    library = "granian"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patches."""
        # The package is being imported, and does not have its modules for attributes yet.
        for module, gateway in (("granian.asgi", asgi), ("granian.wsgi", wsgi)):
            make = _giving(gateway.watching(self, tracer))
            yield Around("instrumentor granian", import_module(module), "_callback_wrapper", make, takes="scope_opts")


def _giving(watch: Callable[[Any], Any]) -> Callable[[Callable[..., Any], Contained], Callable[..., Any]]:
    def make(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
        def wrap(callback: Any, *args: Any, **kwargs: Any) -> Any:
            return original(contained(watch, callback) or callback, *args, **kwargs)

        return wrap

    return make
