"""What is made of the traces that were chosen: trees on stdout, lines of JSON, a table, or a file.

One trace after another, so that a file larger than the memory can be shown too.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING

from otel_run.command import stdout
from otel_run.command.flags import Usage
from otel_run.view import story, tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from otel_run.command.view.flags import Wish
    from otel_run.command.view.store import Store
    from otel_run.view.draw import Style
    from otel_run.view.story import Story
    from otel_run.view.tree import Trace


def show(wish: Wish, store: Store, chosen: list[str], thresholds: Mapping[str, int]) -> None:
    """Write all that is asked for; raises Usage for a file that can't be written."""

    def traces() -> Iterator[Trace]:
        for trace in chosen:
            yield from tree.traces(store.spans_of(trace))

    def stories() -> Iterator[Story]:
        for trace in traces():
            yield story.tell(trace, thresholds)

    style = stdout.style(wish.color, wish.width, wish.bars)
    if wish.html:
        _write_file(wish.html, _page(stories(), wish, len(chosen)))
    if wish.chrome:
        from otel_run.view.perfetto import to_perfetto

        _write_file(wish.chrome, to_perfetto(list(traces())))
    if wish.json:
        _write_json(stories())
    elif wish.summary:
        stdout.write_lines(_table(stories(), style))
    elif not (wish.html or wish.chrome):
        stdout.write_lines(_trees(stories(), style, has_header=len(chosen) > 1))


def _trees(stories: Iterable[Story], style: Style, has_header: bool) -> Iterator[str]:
    from otel_run.view import draw

    for number, told in enumerate(stories):
        if number:
            yield ""
        yield from draw.lines(told, style, has_header)


def _table(stories: Iterable[Story], style: Style) -> Iterator[str]:
    from otel_run.view.table import table
    from otel_run.view.totals import Totals

    totals = Totals()
    for told in stories:
        totals.add(told)
    return table(totals.rows(), style)


def _write_json(stories: Iterable[Story]) -> None:
    from otel_run.view.document import document

    for told in stories:
        sys.stdout.write(json.dumps(document(told), separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _page(stories: Iterable[Story], wish: Wish, traces: int) -> Iterator[str]:
    from otel_run.view.document import document
    from otel_run.view.page import page

    order = "newest" if wish.slowest is None else "slowest"
    yield page((document(told) for told in stories), _title(wish, traces), order=order)


def _title(wish: Wish, traces: int) -> str:
    where = ", ".join("stdin" if place == "-" else os.path.basename(os.path.abspath(place)) for place in wish.places)
    return f"{where or 'otel-run'}: {_count(traces)}"


def _count(traces: int) -> str:
    return f"{traces} trace{'' if traces == 1 else 's'}"


def _write_file(path: str, pieces: Iterable[str]) -> None:
    """Write for the user's eyes alone: traces hold data. A file that is there is replaced when the new one is whole."""
    if path == "-":
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        sys.stdout.writelines(pieces)
        sys.stdout.flush()
        return
    # A pipe or a device is no file that could be replaced.
    is_special = os.path.exists(path) and not os.path.isfile(path)
    fresh = path if is_special else f"{path}.{os.getpid()}.part"
    flags = os.O_WRONLY if is_special else os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(fresh, flags, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
                file.writelines(pieces)
            if not is_special:
                os.replace(fresh, path)
        except BaseException:
            if not is_special:
                with contextlib.suppress(OSError):
                    os.unlink(fresh)
            raise
    except OSError as error:
        raise Usage(f"{path} can't be written: {error.strerror or error}", status=1) from None
    sys.stderr.write(f"otel-run: written to {path}\n")
