"""The application that a server was given: watched from where the server keeps it.

For servers there is no class of theirs that all requests pass through in a shape we know; what all of them have is
the application, and they call it as its gateway says.
"""

from __future__ import annotations

import operator
from functools import wraps
from typing import TYPE_CHECKING, Any

from otel_run.boundary import Fuse
from otel_run.instrumentors.http_layer import LayerInstrumentor
from otel_run.patching.wrap import Patch
from otel_run.tracing.entering import enter, leave, now

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.patching.wrap import Finish


class WatchedApplication:
    """Called in an application's place, and in all else the same; a gateway's own has `__call__`.

    That calls `observed`, the gateway's, with the application in front of the arguments.
    """

    __slots__ = ("__weakref__", "__wrapped__", "_observed")

    def __init__(self, application: Any, observed: Callable[..., Any]) -> None:
        # All else that is set is the application's.
        object.__setattr__(self, "__wrapped__", application)
        object.__setattr__(self, "_observed", observed)

    # What a program asks of `server.app` goes on to what it has put there.

    @property  # type: ignore[misc] # it is not set
    def __class__(self) -> Any:
        """The application's."""
        return self.__wrapped__.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    def __eq__(self, other: object) -> bool:
        return bool(self.__wrapped__ == other)

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


def _call(application: Callable[..., Any], *args: Any) -> Any:
    __traceback_hide__ = True
    return application(*args)


# Without a frame of its own since Python 3.11.
call: Callable[..., Any] = getattr(operator, "call", _call)


def replace(holder: object, attribute: str, watch: Callable[[Any], Any]) -> None:
    """Put `watch` of the application in its place, once, where there is one."""
    application = getattr(holder, attribute, None)
    if application is not None and not isinstance(application, WatchedApplication):
        setattr(holder, attribute, watch(application))


class ServerInstrumentor(LayerInstrumentor):
    """A server's patches: where it has got its application, `watched` takes its place."""

    outermost = True

    def fuse(self) -> Fuse:
        """Return what contains our errors in requests, and ends it all where there are too many."""
        return Fuse(f"instrumentor {self.library}", self._switch_off)

    def after(self, owner: object, method: str, attribute: str, watch: Callable[[Any], Any]) -> Patch:
        """Return the patch that replaces `self.attribute` by `watch` of it, once `owner.method` has set it."""

        def begin(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish:
            def finish(_result: Any, error: BaseException | None) -> None:
                if error is None:
                    replace(args[0], attribute, watch)

            return finish

        return Patch(f"instrumentor {self.library}", owner, method, begin)


def carried(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, to be called by a thread that has no context, in the one that is current now."""
    around = now()

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        token = enter(around)
        try:
            return function(*args, **kwargs)
        finally:
            leave(token)

    return call
