"""`otel-run view FILE...`: traces out of files, as trees, lines of JSON, one web page, or live in a browser.

Stdout is data, and may be cut off by whoever reads it; all else is said on stderr.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from otel_run import settings
from otel_run.command import fail
from otel_run.command.flags import Usage
from otel_run.command.view import flags
from otel_run.command.view.selection import choose
from otel_run.command.view.sources import files, looks_like_one
from otel_run.command.view.store import Store

if TYPE_CHECKING:
    from otel_run.command.view.flags import Wish
    from otel_run.settings import Settings


def main(arguments: list[str]) -> int:
    """Show traces; return the status."""
    _stand_in_for_what_is_closed()
    wish = flags.read(arguments)
    if wish.serve is not None and not wish.is_help:
        return _serve(wish, _settings())
    _end_with_the_reader()
    try:
        if wish.is_help:
            print(flags.help_text(), flush=True)
            return 0
        return _show(wish, _settings())
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # All else that can't be read or written has been said by its name.
        return _fail_on_stdout(error)


def _settings() -> Settings:
    found, problems = settings.load(lambda _group: [])
    for problem in problems:
        # What else is wrong is no concern of who only looks.
        if problem.variable == "OTEL_RUN_SLOW":
            sys.stderr.write(f"otel-run: {problem.line()}\n")
    return found


def _stand_in_for_what_is_closed() -> None:
    """Have no file that we open get the number of a standard stream, which others write to."""
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is None:
        # It can't be written, as before.
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w")  # noqa: SIM115 - until the end
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the end


def _fail_on_stdout(error: OSError) -> int:
    # What is left in the buffer would fail once more, when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return fail(f"stdout can't be written: {error.strerror or error}", 1)


def _end_with_the_reader() -> None:
    """End like every other tool when `| head` has enough, and write what the stream can't encode as escapes."""
    import signal

    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _places(wish: Wish, found: Settings) -> list[str]:
    """Return what is to be read: what is named, or what `file` writes here."""
    if wish.places:
        return wish.places
    if os.path.lexists(found.trace_file):
        return [found.trace_file]
    raise Usage(
        f"there is nothing to view: no FILE is given, and there is no {found.trace_file}",
        "OTEL_TRACES_EXPORTER=file otel-run python app.py writes one; otel-run view --help",
    )


def _serve(wish: Wish, found: Settings) -> int:
    from otel_run.command.view.serve import serve

    assert wish.serve is not None
    return serve(wish.places, wish.serve, wish.otlp_port, wish.opens_browser, found.slow)


def _show(wish: Wish, found: Settings) -> int:
    from otel_run.command.view import output

    store, places = Store(wish.trace, wish.grep), _places(wish, found)
    _refuse_to_write_over(wish, places)
    status = _read(store, places)
    if store.unreadable:
        count, first = store.unreadable, store.first_unreadable
        fail(f"{count} line{'' if count == 1 else 's'} can't be read and passed over: {first}", 0)
    chosen = choose(store.seen, wish)
    if not chosen:
        hint = "otel-run view --help says what selects them" if store.seen or wish.selects else ""
        return fail("no trace matches" if hint else "there is no trace", 1, hint)
    output.show(wish, store, chosen, found.slow)
    if store.moved:
        fail(f"{store.moved} line{'' if store.moved == 1 else 's'} were not shown: their file was moved meanwhile", 0)
    return status


def _refuse_to_write_over(wish: Wish, places: list[str]) -> None:
    """Raise Usage if a file of traces would be lost: `--html traces.jsonl` is typed easily."""
    for flag, out, other in (("--html", wish.html, "page.html"), ("--chrome", wish.chrome, "trace.json")):
        if not os.path.isfile(out):
            continue
        if looks_like_one(out) or any(os.path.samefile(place, out) for place in places if os.path.exists(place)):
            raise Usage(f"{flag} would write over {out}, which holds traces", f"otel-run view {out} {flag} {other}")


def _read(store: Store, places: list[str]) -> int:
    """Read all files; return the status."""
    status = 0
    # Spans are many objects without a circle: looking for one again and again would take longer than reading.
    gc.disable()
    try:
        for path, error in files(places):
            trouble = error or store.read(path)
            if trouble:
                status = fail(f"{_called(path)} can't be read: {trouble}", 1)
    finally:
        gc.freeze()
        gc.enable()
    return status


def _called(path: str) -> str:
    return "stdin" if path == "-" else path
