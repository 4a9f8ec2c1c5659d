"""`otel-run view --serve`: the page in a browser, live: what files hold and get, and what is sent over OTLP/HTTP."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import threading
import time
import webbrowser
from typing import TYPE_CHECKING

from otel_run.boundary import contained, tell_errors_to
from otel_run.command import fail
from otel_run.command.demo import ending
from otel_run.command.flags import Usage
from otel_run.command.loopback import serving
from otel_run.command.receiving import receive
from otel_run.command.view.arriving import Arriving
from otel_run.command.view.feed import Feed
from otel_run.command.view.follow import Following
from otel_run.command.view.live_page import PageServer
from otel_run.command.view.sources import STDIN
from otel_run.view import story, tree
from otel_run.view.document import document
from otel_run.view.reading import read_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_run.command.receiving import Receiver
    from otel_run.view.span import Span

_LOOK = 0.25  # seconds between two looks at the files
_AT_ONCE = 2_000  # spans of files that are taken in at once
TITLE = "otel-run: traces"


def serve(files: Sequence[str], port: int, otlp_port: int, opens_browser: bool, thresholds: Mapping[str, int]) -> int:
    """Show traces until a signal comes; return the status, 128 + its number as a shell has it.

    `files` (and folders) are read and followed. Ports of 0 are free ones. A port of OTLP that is taken is replaced.
    """
    arriving, feed = Arriving(), Feed()
    try:
        with ending.on_signals() as check, contextlib.ExitStack() as stack:
            server = _page_server(port, feed)
            stack.enter_context(serving(server))
            receiver = stack.enter_context(_receiver(otlp_port, arriving))
            stack.callback(feed.close)
            _begin(_tell, arriving, feed, thresholds)
            for together in _apart(files):
                _begin(_follow, together, arriving, feed)
            _say_where(server.url, receiver, files)
            if opens_browser:
                _open(server)
            while True:
                check()
                time.sleep(0.1)
    except ending.Ended as ended:
        return ended.status


def _apart(files: Sequence[str]) -> list[list[str]]:
    """Return what is followed together: stdin may keep us waiting, so it is alone."""
    growing = [file for file in files if file != STDIN]
    for file in growing:
        if not os.path.lexists(file):
            fail(f"{file} is not there yet; it is waited for", 0)
    return [together for together in (growing, [STDIN] * (STDIN in files)) if together]


def _begin(function: object, *arguments: object) -> None:
    # Daemons: a large trace that is being told must not hold up the end.
    threading.Thread(target=function, args=arguments, daemon=True).start()  # type: ignore[arg-type]


def _page_server(port: int, feed: Feed) -> PageServer:
    try:
        return PageServer(port, feed, TITLE)
    except OSError as error:
        why = "is taken" if error.errno == errno.EADDRINUSE else f"can't be had: {error.strerror}"
        raise Usage(f"port {port} {why}", "--serve without a number takes a free one", status=1) from None


@contextlib.contextmanager
def _receiver(port: int, arriving: Arriving) -> Iterator[Receiver]:
    with contextlib.ExitStack() as stack:
        try:
            receiver = stack.enter_context(receive(port, arriving.take))
        except OSError as error:
            receiver = stack.enter_context(receive(0, arriving.take))
            why = "is taken" if error.errno == errno.EADDRINUSE else f"can't be had ({error.strerror})"
            fail(
                f"port {port} {why}, so spans are received at {receiver.endpoint}",
                0,
                "a collector or another viewer has it; what programs send to it will not be shown here",
            )
        yield receiver


def _say_where(url: str, receiver: Receiver, files: Sequence[str]) -> None:
    followed = f"from {', '.join(files)}, and " if files else ""
    sys.stderr.write(
        f"otel-run: traces {followed}of programs that send them: "
        f"otel-run --endpoint {receiver.endpoint} python app.py\n"
        "otel-run: Ctrl-C ends it; the page is for who knows this address:\n"
    )
    with contextlib.suppress(OSError):
        print(url, flush=True)


def _open(server: PageServer) -> None:
    """Open a browser, if this is a terminal and there is one beside it."""
    if not (sys.stderr.isatty() and sys.stdin.isatty()):
        return
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    # Such run in the terminal itself: lynx, w3m.
    is_text = isinstance(browser, webbrowser.GenericBrowser) and not isinstance(browser, webbrowser.BackgroundBrowser)
    if not is_text:
        _begin(browser.open, server.url_for_once())


def _tell(arriving: Arriving, feed: Feed, thresholds: Mapping[str, int]) -> None:
    """Tell the pages of traces as they come."""
    tell_errors_to(lambda unit, error: print(_mistake(unit, error), file=sys.stderr))
    said_so = False
    while not feed.has_ended():
        spans = arriving.next(0.5)
        if arriving.forgotten and not said_so:
            said_so = True
            fail("there are more traces than are kept: the oldest make room", 0, "a page that is open keeps its own")
        if spans:
            before = time.monotonic()
            trace_id = spans[0].trace_id
            state = contained(f"trace {trace_id[:32]}", _document, spans, thresholds)
            if state is not None:
                feed.tell(trace_id, state, arriving.holds)
            arriving.took(trace_id, time.monotonic() - before)


def _mistake(unit: str, error: Exception) -> str:
    return f"otel-run: {unit!a} can't be shown: {type(error).__name__}: {str(error)[:200]!a}"


def _document(spans: list[Span], thresholds: Mapping[str, int]) -> bytes:
    (trace,) = tree.traces(spans)
    # ASCII: no line end of Unicode within a line of the stream.
    return json.dumps(document(story.tell(trace, thresholds)), allow_nan=False, separators=(",", ":")).encode()


def _follow(files: Sequence[str], arriving: Arriving, feed: Feed) -> None:
    """Take in what files hold and get."""
    following = Following(files)
    unreadable: set[str] = set()
    while not feed.has_ended():
        for spans in _new_spans(following, unreadable):
            arriving.take(spans)
            if feed.has_ended():
                return
        while following.troubles:
            path, trouble = following.troubles.pop()
            fail(f"{path} can't be followed: {trouble}", 0)
        time.sleep(_LOOK)


def _new_spans(following: Following, unreadable: set[str]) -> Iterator[list[Span]]:
    """Yield what is new, some at once; `unreadable` are the files of which it was said that they hold other things."""
    waiting: list[Span] = []
    for path, line in following.read():
        try:
            waiting.extend(read_line(line))
        except ValueError as error:
            if path not in unreadable:
                unreadable.add(path)
                fail(f"{path} has lines that can't be read, which are passed over: {error}", 0)
        if len(waiting) >= _AT_ONCE or path == STDIN:
            yield waiting
            waiting = []
    yield waiting
