"""`otel-run send`: what waits in a spool folder, or in a file of OTLP JSON of anybody's, goes to a receiver."""

from __future__ import annotations

import os
import sys
import zlib
from typing import TYPE_CHECKING

from otel_run import settings
from otel_run.command import fail
from otel_run.command.flags import Usage, checked
from otel_run.command.view.sources import lines
from otel_run.export import spool_file
from otel_run.export.otlp_from_json import to_protobuf
from otel_run.export.otlp_json import count_spans, to_json
from otel_run.export.spool_drain import Drained, drain
from otel_run.patching import candidates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_run.export.sender import Outcome, Sender

HELP = """\
Usage: otel-run send [--endpoint URL] DIR|FILE...

Sends spans that wait in files to an OTLP receiver. OTEL_EXPORTER_OTLP_ENDPOINT, _PROTOCOL, _HEADERS, _TIMEOUT,
_COMPRESSION and _CERTIFICATE say where and how; --endpoint wins over the first.

DIR   a spool folder (OTEL_RUN_SPOOL_DIR), of any services. What is delivered is removed from its files; a file whose
      process still writes is left to it. Lines that can't be read are removed and counted.
FILE  OTLP JSON lines, as OTEL_TRACES_EXPORTER=file or a collector's file exporter writes them, also packed (*.gz).
      The file is left as it is, unless it is one of a spool, by its name (SERVICE.PID.RANDOM.jsonl).

Ends with status 0 if all is delivered, 1 if something is not, 2 for a mistake on the command line."""

_NAMED = 20  # lines of a file that can't be read
_PATIENCE = 3600.0  # seconds; the setting for the timeout is what counts
_AWAY = "is a collector there? --endpoint or OTEL_EXPORTER_OTLP_ENDPOINT says where"


def main(arguments: list[str]) -> int:
    """Send; return the status."""
    if arguments and arguments[0] in ("--help", "-h"):
        print(HELP)
        return 0
    endpoint, places = _read(arguments)
    errand = Errand(_sender(endpoint))
    try:
        for path in _files(places):
            errand.send(path)
    except KeyboardInterrupt:
        return 130
    finally:
        print(errand.summary(), flush=True)
    return 1 if errand.has_failed else 0


class Errand:
    """What is sent in one run of the command, and what went wrong."""

    def __init__(self, sender: Sender) -> None:
        self.has_failed = False
        self._sender = sender
        self._spans = 0
        self._files = 0
        self._is_away = False

    def send(self, path: str) -> None:
        """Send what is in a file, unless the receiver has turned out to be away."""
        if self._is_away:
            return
        before = self._spans
        try:
            if spool_file.service_of(os.path.basename(path)):
                self._send_spooled(path)
            else:
                self._send_lines(path)
        except (OSError, EOFError, zlib.error) as error:
            self._tell(f"{path} can't be read: {getattr(error, 'strerror', None) or error}")
        self._files += self._spans > before

    def summary(self) -> str:
        """Return one line."""
        return f"{_count(self._spans, 'span')} in {_count(self._files, 'file')} sent to {self._sender.destination}"

    def _send_spooled(self, path: str) -> None:
        file = spool_file.take(path)
        if file is None:
            if os.path.lexists(path):
                self._tell(f"{path} is left alone: its process still writes it", "it sends it itself, or send it later")
            return
        drained = Drained()
        try:
            drain(file, self._deliver, lambda: True, drained, keeps_refused=True)
        finally:
            self._spans += drained.spans
            if drained.is_whole:
                file.remove()
            else:
                file.close()
        if drained.unreadable:
            self._tell(f"{path}: {_count(drained.unreadable, 'span')} could not be read; removed")
        if drained.outcome is not None:
            self._tell_outcome(path, drained.outcome)

    def _send_lines(self, path: str) -> None:
        unreadable = 0
        for number, (_, line) in enumerate(lines(path), 1):
            if not line.strip():
                continue
            try:
                record = to_protobuf(line)
                # Others write blanks between name and value.
                spans = sum(map(count_spans, to_json(record)))
            except ValueError as error:
                unreadable += 1
                if unreadable <= _NAMED:
                    hint = 'a line of OTLP JSON begins with {"resourceSpans":'
                    self._tell(f"{path}, line {number} can't be read: {error}", hint)
                continue
            outcome = self._deliver(record)
            if outcome.delivered:
                self._spans += spans
                continue
            self._tell_outcome(f"{path}, line {number}", outcome)
            if outcome.retry:
                return
        if unreadable > _NAMED:
            self._tell(f"{path}: {_count(unreadable - _NAMED, 'line')} more can't be read")

    def _deliver(self, record: bytes) -> Outcome:
        outcome = self._sender.send_record(record, _PATIENCE)
        self.has_failed |= outcome.rejected > 0
        return outcome

    def _tell_outcome(self, what: str, outcome: Outcome) -> None:
        self._is_away = outcome.retry
        if outcome.retry:
            self._tell(f"{self._sender.destination}: {outcome.reason}; {what} and what follows is left", _AWAY)
        else:
            self._tell(f"{what} is refused, and left: {outcome.reason}", f"the receiver's log, and {outcome.hint}")

    def _tell(self, message: str, hint: str = "") -> None:
        self.has_failed = True
        fail(message, 1, hint)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _read(arguments: list[str]) -> tuple[str, list[str]]:
    """Return the endpoint, empty if none is given, and folders and files; raise Usage."""
    endpoint, places = "", []
    rest = list(arguments)
    while rest:
        given = rest.pop(0)
        flag, equals, value = given.partition("=")
        if given == "--":
            places += rest
            break
        if flag == "--endpoint":
            if not equals and not rest:
                raise Usage("--endpoint needs a value: --endpoint URL")
            endpoint = checked(flag, "OTEL_EXPORTER_OTLP_ENDPOINT", value if equals else rest.pop(0))
        elif given.startswith("-") and given != "-":
            raise Usage(f"send has no flag {flag}; allowed: --endpoint URL", "otel-run send --help")
        else:
            places.append(given)
    if not places:
        raise Usage("there is nothing to send", "otel-run send DIR, or otel-run send --help")
    for place in places:
        if not os.path.exists(place):
            raise Usage(f"there is no folder or file {place!r}")
    return endpoint, places


def _files(places: list[str]) -> Iterator[str]:
    """Yield named files, and of folders the files of a spool, the oldest first."""
    for place in places:
        if not os.path.isdir(place):
            yield place
            continue
        try:
            found = spool_file.look(os.path.abspath(place))
        except OSError as error:
            raise Usage(f"{place} can't be read: {error.strerror}", status=1) from None
        if found and not any(file.service for file in found):
            what = f"{place} is no spool folder: no file in it is called SERVICE.PID.RANDOM.jsonl"
            raise Usage(what, f"otel-run send {os.path.join(place, '*.jsonl')} sends all the same", status=1)
        for file in found:
            if file.service:
                yield os.path.join(place, os.path.basename(file.path))


def _sender(endpoint: str) -> Sender:
    """Return the sender of the settings, with another endpoint if one is given."""
    environment = dict(os.environ)  # noqa: TID251 - to read the settings from, as the flag changes them
    if endpoint:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        environment.pop("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", None)
    found, problems = settings.read(environment, candidates.names)
    for problem in problems:
        sys.stderr.write(f"otel-run: {problem.line()}\n")
    try:
        if found.otlp_protocol != "grpc":
            from otel_run.export.otlp import HttpSender

            return HttpSender(found)
        from otel_run.export import otlp_grpc

        return otlp_grpc.build(found, candidates.load(otlp_grpc.EXPORTER))
    except (OSError, ValueError, ImportError) as error:
        raise Usage(f"the exporter can't be set up: {error}", status=1) from None
