"""waitress: the application that its server was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_run.instrumentors import wsgi
from otel_run.instrumentors.http_application import ServerInstrumentor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Patch


class WaitressInstrumentor(ServerInstrumentor):
    """Patches the server, whichever socket it listens on."""

    library = "waitress"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patch."""
        from waitress.server import BaseWSGIServer

        return [self.after(BaseWSGIServer, "__init__", "application", wsgi.watching(self, tracer))]
