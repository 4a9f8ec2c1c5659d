"""requests: a CLIENT span for each request that an adapter sends.

`Session.send` would be the usual place, but it does not see the wire: for a redirect it calls itself, so
that the second request would be made inside the span of the first, and a digest login sends its second
request by the adapter, past the session. `HTTPAdapter.send` is called once for each request, whoever
overrides or mocks the session. It returns with the headers; the body is read later, if at all.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from otel_run import settings
from otel_run.instrumentors.http import Answer, HttpClient
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Patch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.http import Finish

UNIT = "instrumentor requests"

# We hold every class that we patch; a program that makes its adapter's class anew for each request must not grow.
MOST_SENDERS = 64

# urllib3 keeps the version as http.client does.
_VERSIONS = {9: "0.9", 10: "1.0", 11: "1.1", 20: "2", 30: "3"}


class RequestsInstrumentor(Instrumentor):
    """Observes `HTTPAdapter.send`, and the adapters of others when a session first uses one."""

    library = "requests"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patches of the adapter and of the place where a session chooses one."""
        from requests import adapters, sessions

        client = HttpClient(tracer, settings.current().requests_excluded_urls, _read)

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
            request = args[1] if len(args) > 1 else kwargs.get("request")
            method, url = getattr(request, "method", None), getattr(request, "url", None)
            if not isinstance(method, str) or not isinstance(url, str):
                return None  # not a prepared request: requests will say so
            return client.begin(method, url, getattr(request, "headers", None))

        looked_at: weakref.WeakSet[type] = weakref.WeakSet()
        senders: set[type] = {adapters.HTTPAdapter}

        def look_at(adapter: Any, _error: BaseException | None) -> None:
            if adapter is None or type(adapter) in looked_at:
                return
            looked_at.add(type(adapter))
            sender = _sender(type(adapter))
            if sender is None or sender in senders or len(senders) >= MOST_SENDERS:
                return
            senders.add(sender)
            patch = Patch(UNIT, sender, "send", begin)
            patch.apply()
            self._applied.append(patch)

        def begin_choice(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish:
            return look_at

        return [
            Patch(UNIT, adapters.HTTPAdapter, "send", begin),
            # Asked for every request, so that a session made, or an adapter mounted, before us is seen too.
            Patch(UNIT, sessions.Session, "get_adapter", begin_choice),
        ]


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
    status = getattr(response, "status_code", None)
    version = _VERSIONS.get(getattr(getattr(response, "raw", None), "version", None) or 0)
    return Answer(status if isinstance(status, int) else None, version, getattr(response, "headers", {}))
