"""uWSGI's workers: how the server ends one, and whether it gives threads their turn.

A worker that is told to end runs Python's exit handlers, as other processes do, with two differences. Told once more,
it leaves in the middle of them, and the master tells all workers when it ends itself, also those that are about to end
because they have served their number of requests; so a signal waits until the flush is over. And where
--skip-atexit-teardown is given, `uwsgi.atexit` is all that it calls.

A worker that is ended in the middle of a request, or with --skip-atexit, runs nothing at all.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

from otel_run import forks, prefork, report
from otel_run.startup import lifetime

if TYPE_CHECKING:
    from collections.abc import Callable

_TOLD_BY = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name))

_is_watched = False


def watch() -> None:
    """See to the end of this process, and of its workers, if it is uWSGI."""
    global _is_watched
    server = sys.modules.get("uwsgi")
    if not hasattr(server, "opt"):
        return
    if not _is_watched:
        _is_watched = True
        lifetime.call_by(_with_signals_waiting)
        _tell_of_threads(server)
        # By then the program has set its own.
        forks.in_child(watch)
    if "skip-atexit-teardown" in vars(server)["opt"]:
        _chain(server)


def _with_signals_waiting(end: Callable[[], None]) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD_BY)
    try:
        end()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _chain(server: Any) -> None:
    theirs = vars(server).get("atexit")
    if not isinstance(theirs, _End):
        server.atexit = _End(theirs)


class _End:
    """What uWSGI calls: what the program wants to be called, if anything, and our end."""

    def __init__(self, theirs: Callable[[], object] | None) -> None:
        self._theirs = theirs

    def __call__(self) -> None:
        try:
            if self._theirs is not None:
                self._theirs()
        finally:
            lifetime.end(for_good=True)


def _tell_of_threads(server: Any) -> None:
    """Say once for the server, in the master or in the first of its workers, why requests wait for spans."""
    if prefork.gives_turns():
        return
    # With --lazy-apps each worker gets here by itself, and again when another takes its place.
    if server.worker_id() and not prefork.is_first(server):
        return
    why = "uWSGI gives threads no turn here, so that spans are sent between two requests, which takes their time"
    report.warn("uwsgi", "no thread", f"{why}. hint: --enable-threads")
