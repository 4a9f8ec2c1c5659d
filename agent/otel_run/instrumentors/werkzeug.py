"""werkzeug: the application that its development server was given, which `flask run` runs too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_run.instrumentors import wsgi
from otel_run.instrumentors.http_application import ServerInstrumentor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Patch


class WerkzeugInstrumentor(ServerInstrumentor):
    """Patches the server: one thread, many, or many processes."""

    library = "werkzeug"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patch."""
        from werkzeug.serving import BaseWSGIServer

        return [self.after(BaseWSGIServer, "__init__", "app", wsgi.watching(self, tracer))]
