"""A supported library is imported: the provider is built, and that one instrumentor is loaded and applied."""

from __future__ import annotations

import sys

from otel_run import native, report, settings
from otel_run.boundary import contained, without_exit
from otel_run.patching import candidates
from otel_run.startup import lifetime, stepping_aside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_run.patching.candidates import Candidate
    from otel_run.patching.on_import import Finder

# Two threads may import two libraries at once. Waiting is bounded: the other thread may itself be
# waiting for an import that this one is in the middle of.
_lock = native.RLock()
_PATIENCE = 2.0  # seconds

# Instrumentors of others that are not applied, by their distribution.
_DECLINED = {
    # It would be in every process: the SDK imports psutil by itself.
    "opentelemetry-instrumentation-system-metrics": "it makes metrics, and only spans leave",
}
# Instrumentors of others that would harm the program they are in, by their distribution, and the options with
# which they do not. Contrib's for logging puts a handler on the root logger: with one there, logging neither
# configures itself nor has its last resort, and the program's own lines vanish. Trace ids on records hurt nobody.
_OPTIONS: dict[str, dict[str, Any]] = {
    "opentelemetry-instrumentation-logging": {"inject_trace_context": True, "enable_log_auto_instrumentation": False},
}
# With this it would tell the program's console of a handler of the SDK's, which there is not.
_HIDDEN = ("OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED",)

_state = "asleep"
_ambient: list[Candidate] = []
_finder: Finder | None = None


def watch_candidates(finder: Finder) -> None:
    """Find the candidates and wait for the modules of each."""
    global _finder
    _finder = finder
    disabled = settings.current().disabled_instrumentations
    found = candidates.find()
    for candidate in found:
        for other in candidate.instead_of:
            report.note(candidate.name, "chosen", f"{candidate.distribution}, not {other.distribution}")
        if "*" in disabled or candidate.name.lower() in disabled:
            report.note(candidate.name, "disabled", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS")
        elif candidate.distribution in _DECLINED:
            report.note(candidate.name, "declined", _DECLINED[candidate.distribution])
        elif candidate.is_absent:
            report.note(candidate.name, "absent", f"{' or '.join(candidate.libraries)} is not installed")
        elif candidate.is_ambient:
            _ambient.append(candidate)
        else:
            _wait_for(finder, candidate)
    stepping_aside.watch(finder, [candidate for candidate in found if candidate.is_ours])


def _wait_for(finder: Finder, candidate: Candidate) -> None:
    def imported() -> None:
        wake()
        if _state == "broken":
            return
        contained(f"instrumentor {candidate.name}", without_exit, _apply, candidate)

    for module in candidate.modules:
        finder.wait_for(module, imported)


def wake() -> None:
    """Build the provider and all that hangs on it, once; if that fails, we stay out of the program."""
    global _state
    if _state in ("awake", "broken"):
        # What can only be done in the main thread, if the first library was imported in another.
        contained("endings", lifetime.guard)
        return
    held = _lock.acquire(timeout=_PATIENCE)
    try:
        if _state == "asleep":
            _state = "waking"
            from otel_run.export import thread

            with thread.gate:
                _state = contained("tracing", without_exit, _build) or "broken"
            for candidate in _ambient if _state == "awake" else ():
                contained(f"instrumentor {candidate.name}", without_exit, _apply_ambient, candidate)
    finally:
        if held:
            _lock.release()


def is_awake() -> bool:
    """Tell whether spans can be made."""
    return _state == "awake"


def _build() -> str:
    found = settings.current()
    # The SDK raises while it is imported on values that we have already named and replaced, and looks
    # for propagators, which we install ourselves, with a scan of everything that is installed.
    with settings.Hidden(*found.unusable, "OTEL_PROPAGATORS"):
        from otel_run.startup import assembly

        assembly.assemble(found)
    return "awake"


def _apply_ambient(candidate: Candidate) -> None:
    assert _finder is not None
    if candidate.modules:
        _wait_for(_finder, candidate)
    else:
        _apply(candidate)


def _apply(candidate: Candidate) -> None:
    """Have one instrumentor patch its library; again, if the library was executed again."""
    from otel_run.patching.wrap import DoesNotFit

    try:
        _instrument(candidate)
    except (DoesNotFit, ImportError, AttributeError) as reason:
        why = f"this {_trigger(candidate)} is another shape: {reason}"
        if not _is_the_library(candidate):
            # redis.py in the program's own folder, say, which is no mistake of anybody's.
            report.note(f"instrumentor {candidate.name}", "refused", why)
        elif candidate.is_ours:
            report.warn(f"instrumentor {candidate.name}", "refused", why)
        else:
            raise


def _instrument(candidate: Candidate) -> None:
    if stepping_aside.is_aside(candidate):
        return
    instrumentor = candidates.load(candidate.value)()
    if instrumentor.is_instrumented_by_opentelemetry:
        if len(candidate.modules) > 1:
            return  # the second of its modules was imported, nothing was reloaded
        if not stepping_aside.is_from_startup(instrumentor):
            return  # the program applied it
        instrumentor.uninstrument()
    try:
        # A version limit of somebody else's is theirs to set; ours have none.
        with settings.Hidden(*_HIDDEN):
            options = _OPTIONS.get(candidate.distribution, {})
            stepping_aside.apply(
                instrumentor, skip_dep_check=candidate.is_ours, raise_exception_on_conflict=True, **options
            )
    except _conflict_errors(candidate) as refusal:
        conflict: Any = refusal.conflict
        # What it is for is not there at all: its package brings instrumentors for more than one library.
        is_absent = not (conflict.found or getattr(conflict, "found_any", None))
        (report.note if is_absent else report.warn)(f"instrumentor {candidate.name}", "refused", str(conflict))
    else:
        report.note(candidate.name, "patched", f"{candidate.distribution}, on import of {_trigger(candidate)}")


def _conflict_errors(candidate: Candidate) -> tuple[type[Any], ...]:
    # Asked for only when something was raised: the module imports a parser of requirements, for 20 ms.
    if candidate.is_ours:
        return ()
    from opentelemetry.instrumentation.dependencies import DependencyConflictError

    return (DependencyConflictError,)


def _is_the_library(candidate: Candidate) -> bool:
    """Tell whether the module that was imported is the installed library, and not one of the same name."""
    if not (candidate.libraries or candidate.is_ours):
        return True  # the standard library's, or nobody's in particular
    origin = getattr(getattr(sys.modules.get(_trigger(candidate)), "__spec__", None), "origin", None) or ""
    wanted = candidate.libraries or [candidate.name]
    return any(origin.startswith(found.place) for found in candidates.distributions() if found.name in wanted)


def _trigger(candidate: Candidate) -> str:
    return next((module for module in candidate.modules if module in sys.modules), "anything")
