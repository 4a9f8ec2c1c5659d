"""How the text of a variable becomes a value: one small function for each kind, `Bad` where it can't.

The rules are the OpenTelemetry specification's: choices without regard to case, numbers from 0 to
2^31-1, durations and timeouts in milliseconds, percent-encoded pairs. Nothing here raises.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LARGEST = 2**31 - 1
_MILLISECOND = 1_000_000  # nanoseconds
# From when on a call may be called slow, in nanoseconds, by the kind of what is called.
SLOW = {"http": 200_000_000, "database": 50_000_000, "cache": 5_000_000, "messaging": 100_000_000}


class Bad:
    """Why a value can't be used: what is allowed, a hint, and what to use if not the default."""

    __slots__ = ("allowed", "hint", "used")

    def __init__(self, allowed: str, hint: str = "", used: object = None) -> None:
        self.allowed = allowed
        self.hint = hint
        self.used = used


class Choice:
    """One name, or with `many` a comma-separated list of names, of `known` or of an entry point group."""

    __slots__ = ("also", "group", "known", "many")

    def __init__(self, known: str, group: str = "", also: str = "", many: bool = False) -> None:
        self.known = known.split()
        self.also = also.split()
        self.group = group
        self.many = many

    def read(self, given: str, installed: Callable[[str], list[str]]) -> object:
        """Return the name (a tuple of names if `many`), or Bad with the names that could be read."""
        parts = given.split(",") if self.many else [given]
        wanted = list(dict.fromkeys(part.strip() for part in parts if part.strip()))
        names: list[str] = []
        hint = ""
        for name in wanted:
            found = self.find(name, installed)
            if found is None:
                hint = hint or did_you_mean(name, self.known)
            elif found not in names:
                names.append(found)
        complete = len(names) == len({name.lower() for name in wanted}) and bool(wanted)
        if not self.many:
            return names[0] if complete else Bad(self.allowed(), hint)
        return tuple(names) if complete else Bad(self.allowed(), hint, tuple(names) or None)

    def find(self, name: str, installed: Callable[[str], list[str]]) -> str | None:
        """Return the known spelling of `name`; entry points keep their case."""
        if name.lower() in self.known or name.lower() in self.also:
            return name.lower()
        if not self.group:
            return None
        return next((other for other in installed(self.group) if other.lower() == name.lower()), None)

    def allowed(self) -> str:
        """Say which names there are."""
        names = ", ".join(self.known)
        return f"{names}, or an installed entry point of {self.group}" if self.group else names


def choice(known: str, group: str = "") -> Choice:
    """One of the `known` names, or an installed entry point of `group`."""
    return Choice(known, group)


def choices(known: str, group: str = "", also: str = "") -> Choice:
    """A list of such names, each once; `also` are accepted but not advertised."""
    return Choice(known, group, also, many=True)


def parse(how: object, given: str, installed: Callable[[str], list[str]]) -> object:
    """Read `given`, stripped and not empty, in the way `how`."""
    if isinstance(how, Choice):
        return how.read(given, installed)
    assert callable(how)
    return how(given)


def readable(given: str) -> str:
    """Return text from the environment or the command line as UTF-8 can hold it.

    Bytes that are no UTF-8 arrive as lone surrogates (PEP 383), which no exporter can encode.
    """
    return given if given.isascii() else given.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def text(given: str) -> object:
    """Any text."""
    return given


def boolean(given: str) -> object:
    """`true` or `false`, without regard to case."""
    lowered = given.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    yes = lowered in ("1", "yes", "on", "y", "t")
    no = lowered in ("0", "no", "off", "n", "f")
    return Bad("true, false", f"write {'true' if yes else 'false'}" if yes or no else "")


def _integer(given: str, smallest: int, what: str) -> object:
    try:
        number = int(given) if given.isascii() and "_" not in given else None
    except ValueError:
        number = None
    if number is None or not smallest <= number <= LARGEST:
        return Bad(f"{what} from {smallest} to {LARGEST}")
    return number


def count(given: str) -> object:
    """A number of things, none allowed."""
    return _integer(given, 0, "a whole number")


def positive(given: str) -> object:
    """A number of things, at least one."""
    return _integer(given, 1, "a whole number")


def duration(given: str) -> object:
    """Milliseconds."""
    return _integer(given, 0, "whole milliseconds")


def thresholds(given: str) -> object:
    """`http=200,cache=5`: milliseconds for kinds of calls; those that are not named keep theirs. In nanoseconds."""
    found = dict(SLOW)
    for pair in given.split(","):
        kind, _, value = pair.partition("=")
        parsed = duration(value.strip())
        if kind.strip().lower() not in SLOW or not isinstance(parsed, int):
            return Bad(
                f"kind=milliseconds, comma-separated; kinds are {', '.join(SLOW)}", did_you_mean(kind.strip(), SLOW)
            )
        found[kind.strip().lower()] = parsed * _MILLISECOND
    return found


def timeout(given: str) -> object:
    """Milliseconds, 0 for no limit. A handful of them is surely meant in seconds, as other SDKs read it."""
    number = _integer(given, 0, "whole milliseconds")
    if isinstance(number, int) and 0 < number <= 60:
        return Bad(
            "whole milliseconds, 0 for no limit",
            f"the specification counts in milliseconds; if {number} seconds are meant, write {number}000",
            number,
        )
    return number


def names(given: str) -> object:
    """A comma-separated list of names, in lower case, each once."""
    return tuple(dict.fromkeys(part.strip().lower() for part in given.split(",") if part.strip()))


def words(given: str) -> object:
    """A comma-separated list, each once, case kept."""
    return tuple(dict.fromkeys(part.strip() for part in given.split(",") if part.strip()))


def patterns(given: str, prefix: str = "") -> object:
    """A comma-separated list of regular expressions; a comma inside brackets is part of one."""
    import re  # only for whoever sets one

    found = tuple(dict.fromkeys(part.strip() for part in re.split(r",(?![^\[({]*[\])}])", given) if part.strip()))
    good = []
    for pattern in found:
        try:
            re.compile(pattern.removeprefix(prefix))
            if pattern == prefix:
                continue
        except (re.error, OverflowError, RecursionError, Warning):  # Warning: under python -W error
            continue
        good.append(pattern)
    if len(good) < len(found):
        return Bad("regular expressions, separated by commas", used=tuple(good) or None)
    return found


def redactions(given: str) -> object:
    """Regular expressions of what to mask in values, and with `key:` of the names whose values to mask; or `off`."""
    if given.lower() == "off":
        return None
    found = patterns(given, "key:")
    if isinstance(found, Bad):
        found.allowed = "off, or regular expressions separated by commas, each of values or, after key:, of names"
    return found


def ratio(given: str) -> float | Bad:
    """A share of the traces, 0 to 1 or a percentage; returns it as 0..1."""
    bad = Bad("a number from 0 to 1, or a percentage such as 10%")
    number = given.strip()
    percent = number.endswith("%")
    if percent:
        number = number[:-1].rstrip()
    try:
        # float() reads 0_1 as 1.0, which would be everything in place of a tenth.
        value = float(number.replace("_", "?")) / (100 if percent else 1)
    except ValueError:
        return bad
    if 0 <= value <= 1:
        return value
    if 1 < value <= 100 and not percent:
        bad.hint = f"write {number}% for {number} percent"
    return bad


def url(given: str) -> object:
    """An http or https URL; for gRPC also host:port."""
    bad = Bad("http://host:port, https://host:port or, for grpc, host:port")
    scheme, separator, rest = given.partition("://")
    if not separator:
        host, colon, port = given.rpartition(":")
        ok = bool(colon and host and _is_port(port) and "/" not in host and not any(c.isspace() for c in host))
        if not ok:
            bad.hint = f"did you mean http://{given} ?" if _is_host(given) else ""
        return given if ok else bad
    if scheme.lower() not in ("http", "https") or any(c.isspace() for c in given):
        return bad
    authority = rest.split("/", 1)[0].rpartition("@")[2]
    port = "" if authority.endswith("]") else authority.rpartition(":")[2] if ":" in authority else ""
    host = authority[: -len(port) - 1] if port or authority.endswith(":") else authority
    if not host or (port and not _is_port(port)):
        return bad
    return given


def _is_port(given: str) -> bool:
    # The length first: int() raises on thousands of digits.
    return given.isascii() and given.isdigit() and len(given) < 6 and 0 < int(given) < 65536


def _is_host(given: str) -> bool:
    return all(c.isalnum() or c in ".-_" for c in given)


def file(given: str) -> object:
    """A file's path. That it can't be read is told by whoever reads it."""
    return given


def headers(given: str) -> object:
    """`key=value` pairs; keys in lower case."""
    return _pairs(given, lower=True)


def resource_attributes(given: str) -> object:
    """`key=value` pairs, case kept."""
    return _pairs(given, lower=False)


def _pairs(given: str, lower: bool) -> object:
    read: dict[str, str] = {}
    whole = True
    for pair in given.split(","):
        key, separator, value = pair.strip().partition("=")
        key = key.strip()
        if not pair.strip():
            continue
        value = _unquote(value.strip().strip('"'))
        if not separator or not key or (lower and not _is_header(_unquote(key), value)):
            whole = False
            continue
        read[_unquote(key).lower() if lower else _unquote(key)] = value
    return read if whole else Bad("key=value,key=value with , and = percent-encoded", used=read or None)


def _is_header(name: str, value: str) -> bool:
    """Tell whether an HTTP client can send it (RFC 9110, 5.1 and 5.5); else it fails at every export."""
    is_name = name.isascii() and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name)
    return is_name and ";" not in value and all(c == "\t" or (31 < ord(c) < 256 and c != "\x7f") for c in value)


def _unquote(quoted: str) -> str:
    if "%" not in quoted:
        return quoted
    from urllib.parse import unquote  # only for whoever encodes

    return unquote(quoted)


def traceparent(given: str) -> object:
    """The header of that name (W3C Trace Context): the caller's trace and span."""
    fields = given.split("-")
    is_hexadecimal = not any(set(field) - set("0123456789abcdef") for field in fields[:4])
    if is_hexadecimal and [len(field) for field in fields[:4]] == [2, 32, 16, 2] and fields[0] != "ff":
        is_complete = len(fields) == 4 or fields[0] != "00"
        if is_complete and fields[1].strip("0") and fields[2].strip("0"):
            return given
    return Bad("00-TRACE_ID-SPAN_ID-FLAGS in hexadecimal digits, 2, 32, 16 and 2 of them")


def unsupported(what: str) -> Callable[[str], object]:
    """A variable that other SDKs know and we don't: setting it is said, not silently ignored."""

    def refuse(_given: str) -> object:
        return Bad(f"nothing, {what} is not supported")

    return refuse


def nearest(given: str, known: Iterable[str], likeness: float = 0.5) -> str | None:
    """Return the known name that is spelt most like `given`, or None if none is as like it as that (0..1)."""
    import difflib  # only after a mistake

    found = difflib.get_close_matches(given.lower(), list(known), n=1, cutoff=likeness)
    return found[0] if found else None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return a question for a hint, or nothing."""
    name = nearest(given, known)
    return f"did you mean {name} ?" if name else ""
