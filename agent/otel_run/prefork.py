"""What uWSGI tells of a process: whether it is one that will be forked, in C, and who ends what it has begun.

It loads the program before it forks its workers, and does so past Python: a thread that runs in this moment leaves its
child with the interpreter's lock, or that of the imports, held by nobody, and the child waits for ever. So no thread of
ours runs before it has forked.
Source: uWSGI, core/utils.c and plugins/python/python_plugin.c (`uwsgi_python_master_fixup`).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def gives_turns() -> bool:
    """Tell whether threads get their turn: uWSGI before 2.0.27 gives none to any, unless it is told to.

    It knows best: several options and kinds of workers need threads, and since then all have them.
    Source: uWSGI, "Things to know": "By default the Python plugin does not initialize the GIL".
    """
    return bool(getattr(_server(), "has_threads", True))


def is_to_fork() -> bool:
    """Tell whether this process has yet to become a worker, or to make them: it is neither that nor any other kind."""
    server = _server()
    if server is None or not hasattr(server, "worker_id"):
        return False
    # Where there is no spooler, uWSGI has no such function.
    is_spooler = getattr(server, "i_am_the_spooler", bool)
    return not (server.worker_id() or server.mule_id() or is_spooler())


def is_heir() -> bool:
    """Tell whether this worker ends what its master began: no Python runs in that once it has forked the first."""
    server = _server()
    return hasattr(server, "opt") and is_first(server)


def is_first(server: Any) -> bool:
    """Tell whether this is the first worker, for the first time."""
    return server.worker_id() == 1 and not (server.masterpid() and server.workers()[0]["respawn_count"])


def _server() -> Any:
    return sys.modules.get("uwsgi")
