"""os: `posix_spawn` and `spawn*` start a child whose environment tells it of the trace.

`os.popen` is subprocess's. `os.system` hands our own environment on in C and can't be told anything, and `os.exec*`
is no child but the same process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.instrumentors.argument_block import is_nearly_full
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Around
from otel_run.tracing import carrier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Contained, Patch
    from otel_run.tracing.carrier import Change

_UNIT = "instrumentor os"
_POSIX_SPAWN = ("posix_spawn", "posix_spawnp")


class OsInstrumentor(Instrumentor):
    """Patches both kinds of `posix_spawn`, and what all kinds of `spawn` call."""

    library = "os"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:  # noqa: ARG002 - it makes no span
        """Return the patches; no system has all of them."""
        import os

        for name in _POSIX_SPAWN:
            if hasattr(os, name):
                yield Around(_UNIT, os, name, _around_posix_spawn)
        if hasattr(os, "_spawnvef"):
            yield Around(_UNIT, os, "_spawnvef", _around_spawn, takes="file args env func")

    def _instrument(self, **kwargs: Any) -> None:
        super()._instrument(**kwargs)
        _have_the_same_in_posix()

    def _uninstrument(self, **kwargs: Any) -> None:
        super()._uninstrument(**kwargs)
        _have_the_same_in_posix()


def _have_the_same_in_posix() -> None:
    """Put `os`' functions where they come from: by these names they are pickled."""
    import os
    import posix

    for name in _POSIX_SPAWN:
        if hasattr(posix, name):
            setattr(posix, name, getattr(os, name))


def _around_posix_spawn(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def tell(args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        change = carrier.change()
        if change is None or len(args) != 3:
            return None
        environment = _changed(change, args[1], args[2])
        return None if environment is None else (*args[:2], environment)

    def posix_spawn(*args: Any, **kwargs: Any) -> Any:
        return original(*(contained(tell, args) or args), **kwargs)

    return posix_spawn


def _around_spawn(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def tell(args: Any, env: Any, func: Callable[..., Any]) -> tuple[Any, Callable[..., Any]] | None:
        change = carrier.change()
        if change is None:
            return None
        if env is None:
            return None, _telling_itself(change, func)
        environment = _changed(change, args, env)
        return None if environment is None else (environment, func)

    def _spawnvef(mode: int, file: Any, args: Any, env: Any, func: Callable[..., Any]) -> Any:
        return original(mode, file, args, *(contained(tell, args, env, func) or (env, func)))

    return _spawnvef


def _telling_itself(change: Change, func: Callable[..., Any]) -> Callable[..., Any]:
    """Return `func` for the child that has been forked: its environment is no longer ours."""
    import os

    def execute(file: Any, args: Any) -> Any:
        for gone in change.replaced:
            os.unsetenv(gone)
        for name, value in change.added.items():
            # Past `os.environ`, in which a program may have put something else by now.
            os.putenv(name, value)
        return func(file, args)

    return execute


def _changed(change: Change, argv: Any, env: Any) -> dict[Any, Any] | None:
    """Return what a child gets in place of `env`; None where the program's call is to do as it does without us."""
    # None is for posix_spawn, since Python 3.13.
    if env is not None and not (hasattr(env, "keys") and hasattr(env, "__getitem__")):
        return None
    try:
        environment = change.in_mapping(env if env is None else dict(env))
        if environment is None or is_nearly_full(argv, environment.keys(), environment.values()):
            return None
    except (TypeError, ValueError):
        return None
    return environment
