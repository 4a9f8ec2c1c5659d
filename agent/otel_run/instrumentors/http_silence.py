"""What keeps the instrumentors below a request quiet about it: urllib3's under requests, one client under another.

They ask the context, and whoever copies that (a task, a thread) may use it long after the request has ended, for
requests of its own. And a transport or an upload may ask another server for something meanwhile, which is on the
wire too. So what stands in the context is a `RequestSilence`: true while the request lasts, and about it alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context

from otel_run.tracing.call import EVERYTHING, HTTP, is_suppressed
from otel_run.tracing.entering import enter, leave, now

if TYPE_CHECKING:
    from otel_run.instrumentors.http_chain import Chain


class RequestSilence:
    """True until `end`."""

    __slots__ = ("_chain", "_method", "_request", "_url")

    def __init__(self, method: str, url: str, request: object = None, chain: Chain | None = None) -> None:
        self._method = method
        self._url: str | None = url
        self._request = request
        self._chain = chain

    def __bool__(self) -> bool:
        return self._url is not None

    def end(self) -> None:
        """Be silent no more, and keep nothing: the context that holds us may live on."""
        self._url = self._request = self._chain = None

    def is_about(self, method: str, url: str, request: object) -> bool:
        """Tell whether a request below is this one, handed on: the same object, one derived from it, or its equal."""
        if self._url is None:
            return False
        if request is not None and (
            request is self._request or (self._chain is not None and self._chain.holds(request))
        ):
            return True
        return method == self._method and url.rstrip("/") == self._url.rstrip("/")


def is_silenced(around: Context, method: str, url: str, request: object) -> bool:
    """Tell whether a request in `around`, where some are suppressed, has a span already, or nobody wants any."""
    above = around.get(HTTP)
    # Another's key, such as contrib's `True`, tells no more than that.
    return (
        is_suppressed(EVERYTHING, around)
        or not isinstance(above, RequestSilence)
        or above.is_about(method, url, request)
    )


class Excluded:
    """A request that the user wants no span of, and so none of what is below; its headers stay as they are."""

    has_attempts = False

    def __init__(self, around: Context, method: str, url: str, request: object) -> None:
        self._silence = RequestSilence(method, url, request)
        self._token = enter(Context(around, **{HTTP: self._silence}))

    def finish(self, _response: Any, _error: BaseException | None) -> None:
        """Restore the context, unless a coroutine that was abandoned ends in somebody else's."""
        if now().get(HTTP) is self._silence:
            leave(self._token)
        self._silence.end()
