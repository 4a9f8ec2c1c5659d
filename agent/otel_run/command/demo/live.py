"""`otel-run demo --serve`: orders of several kinds, and the page that shows their traces as they come.

The page has the main thread, which gets the signals, until one ends it. All else runs beside it, so no signal comes
between the start of a process and the `try` after it.
"""

from __future__ import annotations

import itertools
import signal
import threading
from typing import TYPE_CHECKING

from otel_run.command.demo import ending, servers
from otel_run.command.demo.scene import scene
from otel_run.command.view.serve import serve
from otel_run.view import notes

if TYPE_CHECKING:
    from types import FrameType

    from otel_run.command.demo.scene import Scene

_PAUSE = 2.0  # seconds between two orders


def run(opens_browser: bool) -> int:
    """Run until a signal comes; return the status."""
    orders = _Orders(servers.free_port())
    before = {number: signal.getsignal(number) for number in ending.ENDING}
    for number, handler in before.items():
        # As ending.py has it: what a shell has our children ignore must not reach them, and does nothing here.
        signal.signal(number, ending.do_nothing if handler is signal.SIG_IGN else _end)
    try:
        orders.start()
        status = serve([], 0, orders.port, opens_browser, notes.THRESHOLDS)
    except ending.Ended as ended:
        status = ended.status
    finally:
        for number in before:
            signal.signal(number, ending.do_nothing)
        orders.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    if orders.error is not None:
        raise orders.error
    return status


def _end(number: int, _: FrameType | None) -> None:
    # Once: a second Ctrl-C must not leave behind what the first one has begun to stop.
    for each in ending.ENDING:
        signal.signal(each, ending.do_nothing)
    raise ending.Ended(number)


class _Orders(threading.Thread):
    """The scene, and whoever sends orders into it."""

    def __init__(self, port: int) -> None:
        super().__init__(name="otel-run orders")
        self.port = port
        self.error: servers.Missing | servers.Failed | None = None
        self._is_over = threading.Event()

    def stop(self) -> None:
        """Stop it, and wait until nothing of it is left."""
        self._is_over.set()
        if self.ident is not None:
            self.join()

    def run(self) -> None:
        """Send one order after another."""
        try:
            with scene(f"http://{servers.HOST}:{self.port}", self._check) as running:
                for number in itertools.count():
                    self._check()
                    _send(running, number)
                    self._is_over.wait(_PAUSE)
        except ending.Ended:
            return
        except (servers.Missing, servers.Failed) as error:
            self.error = error
            # The page would stay, and stay empty.
            signal.pthread_kill(_main_thread(), signal.SIGTERM)

    def _check(self) -> None:
        if self._is_over.is_set():
            raise ending.Ended(signal.SIGTERM)


def _send(running: Scene, number: int) -> None:
    """Send the order whose turn it is."""
    kind = number % 4
    if kind == 0:
        running.send_slow_order()
    elif kind == 1:
        running.send(symbol="MSFT")  # the cache has it
    elif kind == 2:
        running.send(symbol="MSFT", accounts=[*range(1, 13)])  # one query for each account
    else:
        running.send(symbol="NONE")  # nobody knows it


def _main_thread() -> int:
    ident = threading.main_thread().ident
    assert ident is not None
    return ident
