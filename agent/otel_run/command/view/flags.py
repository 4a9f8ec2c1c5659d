"""The flags of `otel-run view`: a table, as for the command itself, and what may stand beside what."""

from __future__ import annotations

from otel_run.command.flags import Usage
from otel_run.grammar import did_you_mean

# flag -> (the field that it sets, how its value is called, what it does)
VALUE_FLAGS = {
    "--slowest": ("slowest", "N", "the N slowest of these, the slowest first"),
    "--last": ("last", "N", "the N that began last"),
    "--trace": ("trace", "ID", "that one; the first digits of its id are enough"),
    "--grep": ("grep", "TEXT", "those with TEXT in a name or an attribute's value, in upper or lower case"),
    "--html": ("html", "OUT", "one web page that needs nothing else; - is stdout"),
    "--chrome": ("chrome", "OUT", "a file for ui.perfetto.dev or about:tracing; - is stdout"),
    "--width": ("width", "N", "the width in columns; else the terminal's, and nothing is cut in a pipe or file"),
    "--otlp-port": ("otlp_port", "N", "where --serve receives OTLP/HTTP; 4318 if not given"),
}
PLAIN_FLAGS = {
    "--errors": ("errors", True, "those in which something failed"),
    "--json": ("json", True, "a line of JSON for each trace, with what the tree says"),
    "--summary": ("summary", True, "a table of all kinds of traces, with their times and errors"),
    "--bars": ("bars", True, "a column with the place of each span in its trace"),
    "--color": ("color", True, "in colour, also in a pipe"),
    "--no-color": ("color", False, "without colour"),
    "--no-browser": ("opens_browser", False, "with --serve: open no browser"),
    "--help": ("is_help", True, "print this text"),
}
_SERVE = ("--serve [PORT]", "live in a browser; also what is sent to it by OTLP/HTTP")
_SELECTING = ("--errors", "--trace", "--grep", "--last", "--slowest")
_GROUPS = {
    "Which traces (all if none of these is given; each narrows down what the one above has left)": _SELECTING,
    "As what (a tree if none of these is given)": ("--json", "--summary", "--html", "--chrome", "--serve"),
    "How": ("--width", "--bars", "--color", "--no-color", "--otlp-port", "--no-browser", "--help"),
}
_OF_SERVE = ("--serve", "--otlp-port", "--no-browser")


class Wish:
    """What the command line asks for."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.slowest: int | None = None
        self.last: int | None = None
        self.trace = ""
        self.grep = ""
        self.errors = False
        self.json = False
        self.summary = False
        self.html = ""
        self.chrome = ""
        self.serve: int | None = None
        self.otlp_port = 4318
        self.opens_browser = True
        self.width: int | None = None
        self.bars = False
        self.color: bool | None = None
        self.is_help = False

    @property
    def selects(self) -> bool:
        """Whether it is not about all traces."""
        return bool(self.trace or self.grep or self.errors)


def read(arguments: list[str]) -> Wish:
    """Read the command line; raise Usage."""
    wish = Wish()
    given: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        flag = {"-h": "--help"}.get(flag, flag)
        if word == "--":
            wish.places += rest
            break
        if flag in VALUE_FLAGS:
            if not equals and not rest:
                raise Usage(f"{flag} needs a value: {flag} {VALUE_FLAGS[flag][1]}")
            _take(wish, flag, value if equals else rest.pop(0))
        elif flag == "--serve":
            wish.serve = _port(flag, value if equals else rest.pop(0) if rest and rest[0].isdecimal() else "0")
        elif flag in PLAIN_FLAGS and not equals:
            setattr(wish, *PLAIN_FLAGS[flag][:2])
        elif word.startswith("-") and word != "-":
            raise _unknown(flag)
        else:
            wish.places.append(word)
            continue
        given.append(flag)
    if not wish.is_help:
        _check(wish, given)
    return wish


def _take(wish: Wish, flag: str, value: str) -> None:
    field, what, _ = VALUE_FLAGS[flag]
    if not value:
        raise Usage(f"{flag} needs a value, got an empty one")
    taken: object = value
    if flag == "--otlp-port":
        taken = _port(flag, value)
    elif what == "N":
        taken = _number(flag, value)
    elif flag == "--trace":
        taken = value.lower()
        if len(value) > 32 or value.lower().strip("0123456789abcdef"):
            raise Usage(f"--trace can't be {value!r}; allowed: up to 32 digits 0-9 and a-f", "the header of each trace")
    setattr(wish, field, taken)


def _number(flag: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) < 10 and int(value)):
        raise Usage(f"{flag} can't be {value!r}; allowed: a number from 1 on")
    return int(value)


def _port(flag: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) < 6 and int(value) < 1 << 16):
        raise Usage(f"{flag} can't be {value!r}; allowed: a port, or 0 for any that is free")
    return int(value)


def _check(wish: Wish, given: list[str]) -> None:
    if wish.serve is not None:
        for flag in given:
            if flag not in _OF_SERVE:
                raise Usage(f"{flag} can't stand beside --serve", "the page selects and searches by itself")
        return
    for flag in given:
        if flag in _OF_SERVE:
            raise Usage(f"{flag} is for --serve alone")
    printed = [flag for flag in given if flag in ("--json", "--summary")]
    printed += [flag for flag, out in (("--html", wish.html), ("--chrome", wish.chrome)) if out == "-"]
    if len(printed) > 1:
        raise Usage(f"{' and '.join(printed)} can't both go to stdout", "--html FILE, --chrome FILE")
    if wish.html and wish.html == wish.chrome:
        raise Usage("--html and --chrome can't write the same file")


def _unknown(flag: str) -> Usage:
    known = [*VALUE_FLAGS, *PLAIN_FLAGS, "--serve"]
    if flag in PLAIN_FLAGS:
        return Usage(f"{flag} takes no value")
    hint = did_you_mean(flag, known) or "otel-run view --help"
    return Usage(f"view has no flag {flag}; allowed: {', '.join(known)}", hint)


def help_text() -> str:
    """Return the text of --help."""
    lines = [
        "Usage: otel-run view [flags] [FILE...]",
        "",
        "Shows the traces in files of OTLP JSON lines, as OTEL_TRACES_EXPORTER=file, a spool or a collector's file",
        "exporter write them. FILE may also be a folder with *.jsonl files, a *.gz file, or - for stdin; without one",
        "it is traces.jsonl, or what OTEL_RUN_FILE says. A trace may be spread over several files.",
    ]
    for title, members in _GROUPS.items():
        lines += ["", f"{title}:"]
        for flag in members:
            if flag in VALUE_FLAGS:
                name, meaning = f"{flag} {VALUE_FLAGS[flag][1]}", VALUE_FLAGS[flag][2]
            else:
                name, meaning = _SERVE if flag == "--serve" else (flag, PLAIN_FLAGS[flag][2])
            lines.append(f"  {name:<16}  {meaning}")
    lines += [
        "",
        "Ends with status 0, with 1 if a file can't be read or no trace matches, 2 for a mistake on the command line.",
    ]
    return "\n".join(lines)
