"""The live page's server: one page, and the stream of what it shows, for whoever knows the token.

Another program's user on this machine, or a web page that made its name lead to 127.0.0.1, learns nothing: without the
token, or under another Host, each answer is the same 403. A browser is started with an address that works once: all
users see with which words a program was started.
"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

from otel_run.command.loopback import HOST, Handler, Refused, Server, is_ours
from otel_run.view import page

if TYPE_CHECKING:
    from otel_run.command.view.feed import Feed

HEARTBEAT = 5.0  # seconds; a page that is gone is noticed by it
_MOST_STREAMS = 64
# The page has a stricter one of its own; this one holds what a page can't say itself.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class PageServer(Server):
    """Serves the page at `url`."""

    def __init__(self, port: int, feed: Feed, title: str) -> None:
        """Listen on the port, 0 for a free one; raise OSError if it is taken."""
        self.token = secrets.token_urlsafe(24)
        self.feed = feed
        self.page = page.page([], title, {"events": "events"}).encode()
        self.streams = threading.BoundedSemaphore(_MOST_STREAMS)
        self._code = ""
        self._redeeming = threading.Lock()
        super().__init__(port, _Page)
        self.url = f"http://{HOST}:{self.port}/{self.token}/"

    def url_for_once(self) -> str:
        """Return an address that leads to the page the first time."""
        self._code = secrets.token_urlsafe(24)
        return f"http://{HOST}:{self.port}/{self._code}"

    def redeem(self, code: str) -> bool:
        """Tell whether that is the code of `url_for_once`, which it is once."""
        with self._redeeming:
            is_right = self._code != "" and _are_same(code, self._code)
            if is_right:
                self._code = ""
            return is_right


def _are_same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode("utf-8", "replace"), other.encode())


class _Page(Handler):
    server: PageServer

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        """Answer with the page, or the stream."""
        try:
            if self._is_for_us() and self.server.redeem(self.path[1:]):
                self._send_on()
            elif (place := self._place()) == "":
                self._send_page()
            elif place == "events":
                self._stream()
            else:
                raise Refused(404, "there is nothing here")
        except Refused as refused:
            self.refuse(refused)

    def _place(self) -> str:
        """Return what follows the token; raise Refused without it."""
        _, token, *rest = [*self.path.partition("?")[0].split("/"), ""]
        if not (_are_same(token, self.server.token) and self._is_for_us()):
            raise Refused(403, "no")
        # Without the slash at its end, the page would look for its stream elsewhere; the last one was added above.
        return "/".join(rest[:-1]) if len(rest) > 1 else "?"

    def _is_for_us(self) -> bool:
        return is_ours(self.headers.get("Host", ""))

    def _send_on(self) -> None:
        self.send_response(303)
        self.send_header("Location", f"/{self.server.token}/")
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.linger()

    def _send_page(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self.server.page)))
        self.end_headers()
        self.wfile.write(self.server.page)
        self.linger()

    def _stream(self) -> None:
        if not self.server.streams.acquire(blocking=False):
            raise Refused(503, "too many pages are open")
        try:
            self._send_events()
        finally:
            self.server.streams.release()

    def _send_events(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"retry: 1000\nevent: hello\ndata: {}\n\n")
        seen = self._seen()
        feed = self.server.feed
        while not feed.has_ended():
            found = feed.after(seen, HEARTBEAT)
            if found is None:
                self.wfile.write(b": still here\n\n")
                continue
            seen, state = found
            self.wfile.write(b"id: %d\nevent: trace\ndata: %s\n\n" % (seen, state))

    def _seen(self) -> int:
        """Return the number up to which the page knows all: the browser's own if it came back by itself."""
        asked = self.path.partition("?")[2].removeprefix("after=")
        given = self.headers.get("Last-Event-ID", asked)
        return int(given) if given.isascii() and given.isdigit() and len(given) < 20 else 0

    def end_headers(self) -> None:
        """Add what keeps others out."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _refuse_method(self) -> None:
        try:
            self._place()
            self.refuse(Refused(405, "there is nothing to send"))
        except Refused as refused:
            self.refuse(refused)

    do_POST = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse_method  # noqa: N815 - http.server's names
