"""What the odd WSGI application (odd_wsgi.py) is asked, on every server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servers.serving import Server

ASKED = [
    "one", "several", "length", "listed", "pieces", "written", "only_written", "twice", "twice_too_late",
    "twice_without_reason", "late", "empty", "empty_pieces", "none_there", "unchanged", "file", "memory_file", "closed",
    "closed_empty", "sized", "sized_two", "indexed", "fails_half_way", "fails_at_once", "fails_before", "fails_after",
    "fails_closing", "odd_status", "silent", "nothing", "surroundings", "start_itself", "asked", "validated",
    "validated_pieces",
]  # fmt: skip
HEADS = ["one", "pieces", "file", "closed", "fails_after"]

_CHANGING = re.compile(rb"^(Date|X-Request-Id): .*\r\n", re.MULTILINE | re.IGNORECASE)


def answers(server: Server) -> dict[str, bytes]:
    """Ask for everything, and return what came, without dates and without the port."""
    given = {f"GET /{name}": server.ask(f"/{name}") for name in ASKED}
    given.update((f"HEAD /{name}", server.ask(f"/{name}", "HEAD")) for name in HEADS)
    given["POST /echo"] = server.ask("/echo", "POST", b"some body")
    given["100"] = server.ask("/echo", "POST", b"continued", [("Expect", "100-continue")])
    given["?"] = server.ask("/one?a=%20b&c")
    return {
        what: _CHANGING.sub(b"", answer).replace(str(server.port).encode(), b"PORT") for what, answer in given.items()
    }
