"""Starlette and FastAPI: the route with its mounts, the exception that became a page, tasks after the response.

The request's span stands around the whole application, its middleware included, unless a server that we know has one
already. FastAPI is a Starlette, and an instrumentor of its own: it is excluded, and switched off, by its own name.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import asgi
from otel_run.instrumentors.http_layer import LayerInstrumentor
from otel_run.instrumentors.starlette_inside import Inside, begin_frontend, begin_included
from otel_run.patching.wrap import Around, Patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Contained

_CALL = "scope receive send"
_inside = Inside()


class _WithInside(LayerInstrumentor):
    """An instrumentor that needs what is patched inside of applications."""

    def _instrument(self, **kwargs: Any) -> None:
        _inside.enter(self.library, kwargs.get("tracer_provider"))
        done = False
        try:
            super()._instrument(**kwargs)
            done = True
        finally:
            if not done:
                _inside.leave(self.library)

    def _uninstrument(self, **kwargs: Any) -> None:
        super()._uninstrument(**kwargs)
        _inside.leave(self.library)


class StarletteInstrumentor(_WithInside):
    """Patches the application's entry."""

    library = "starlette"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patches."""
        from starlette.applications import Starlette

        make = asgi.around_method(self.layer(tracer), is_left=_is_of_fastapi)
        return [Around("instrumentor starlette", Starlette, "__call__", make, takes=_CALL)]


class FastapiInstrumentor(_WithInside):
    """Patches the application's entry, its routes as far as they are not Starlette's, and its own telemetry."""

    library = "fastapi"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patches."""
        # Not from `fastapi` itself, which is being imported.
        from fastapi import routing
        from fastapi.applications import FastAPI

        unit = "instrumentor fastapi"
        make = asgi.around_method(self.layer(tracer))
        patches: list[Patch] = [Around(unit, FastAPI, "__call__", make, takes=_CALL)]
        # Since 0.137 an included router is asked for its routes, which don't know the prefix it was included with.
        if "handle" in vars(routing.APIRoute):
            patches.append(Patch(unit, routing.APIRoute, "handle", begin_included, takes="scope"))
        if hasattr(routing, "_FrontendRoute"):
            patches.append(Patch(unit, routing._FrontendRoute, "handle", begin_frontend, takes="scope"))
        if _takes_telemetry(FastAPI.__init__):
            patches.append(Around(unit, FastAPI, "__init__", _without_spans_of_its_own))
        return patches


@lru_cache(maxsize=64)
def _is_of_fastapi(application: type) -> bool:
    return any(cls.__module__ == "fastapi.applications" for cls in application.__mro__)


def _takes_telemetry(init: Any) -> bool:
    while hasattr(init, "__wrapped__"):
        init = init.__wrapped__
    code = init.__code__
    return "telemetry" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _without_spans_of_its_own(original: Callable[..., None], contained: Contained) -> Callable[..., None]:
    """Return an `__init__` that makes an application without the spans that FastAPI has by itself since 0.142.

    They would be a second span for each request, with three more inside. What the program has asked for, and
    FastAPI's metrics and logs, stay.
    """

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **{**kwargs, **(contained(_telemetry, kwargs) or {})})

    return init


def _telemetry(kwargs: dict[str, Any]) -> dict[str, Any]:
    given = kwargs.get("telemetry") or {}
    if given.get("tracer_provider") is not None or "tracing" in given:
        return {}
    return {"telemetry": {**given, "tracing": False}}
