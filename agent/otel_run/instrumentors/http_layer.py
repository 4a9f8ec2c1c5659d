"""An instrumentor that is one of the layers which requests pass through, and can be taken out of their way again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.instrumentors.http_server import HttpServer
from otel_run.patching.instrumentor import Instrumentor

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


class LayerInstrumentor(Instrumentor):
    """A framework's patches, or with `outermost` a server's."""

    outermost = False
    _server: HttpServer | None = None

    def layer(self, tracer: Tracer) -> HttpServer:
        """Return the layer, one for all gateways, to be switched off when the patches are undone."""
        if self._server is None:
            self._server = HttpServer(tracer, self.library, self.outermost)
        return self._server

    def _uninstrument(self, **kwargs: Any) -> None:
        self._switch_off()
        self._server = None
        super()._uninstrument(**kwargs)

    def _switch_off(self) -> None:
        # Somebody may have wrapped ours, or a server that runs holds it: it stays there, and lets all pass.
        if self._server is not None:
            self._server.is_on = False
