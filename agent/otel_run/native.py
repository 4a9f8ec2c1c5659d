"""The interpreter's own threads and locks, taken when the agent starts, before anybody puts others in their place.

gevent and eventlet replace them by greenlets. Our thread is none: waiting in a greenlet's lock it would block the
hub that the program runs on. The program never sees it, so what the program has replaced is not meant for it.
"""

from __future__ import annotations

import _thread
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _original(name: str) -> Any:
    # Somebody was faster: a .pth file, or the sitecustomize that ours runs first.
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None:
        return gevent.get_original("_thread", name)
    if eventlet is not None:
        return getattr(eventlet.original("_thread"), name)
    return getattr(_thread, name)


def greenlets_sleep() -> Callable[[float], object] | None:
    """Return the sleep in which the program's other greenlets go on, where they have taken the place of threads.

    None also for the hub, which may not wait.
    """
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched("time"):
        package: Any = sys.modules["gevent"]
        hub = package.get_hub()
    elif eventlet is not None and eventlet.is_monkey_patched("time"):
        package = sys.modules["eventlet"]
        hub = package.hubs.get_hub().greenlet
    else:
        return None
    sleep: Callable[[float], object] = package.sleep
    return None if package.getcurrent() is hub else sleep


allocate_lock: Any = _original("allocate_lock")
start_new_thread: Any = _original("start_new_thread")
get_native_id: Any = _original("get_native_id")
RLock: Any = _original("RLock")
# eventlet has a `read` of its own.
read: Any = getattr(sys.modules.get("posix"), "read", os.read)


def has_room(descriptor: int, seconds: float = 0) -> bool:
    """Tell whether something can be written there without waiting, now or within `seconds`; true if nobody knows.

    False also for a pipe that nobody reads any more: a program that is to die of that does so by its own writing.
    """
    # Not above: hardly anybody has anything to write.
    import select

    poll = _poll(select)
    if poll is None:
        return True
    poll.register(descriptor, select.POLLOUT)
    found = poll.poll(seconds * 1000)
    return bool(found) and not any(events & (select.POLLERR | select.POLLNVAL) for _, events in found)


def _poll(select: Any) -> Any:
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if eventlet is not None:
        select = eventlet.original("select")
    try:
        return select.poll() if gevent is None else gevent.get_original("select", "poll")()
    except AttributeError:  # Windows
        return None


def wait(seconds: float) -> None:
    """Let time pass; `time.sleep` may be gevent's."""
    never = allocate_lock()
    never.acquire()
    never.acquire(timeout=seconds)
