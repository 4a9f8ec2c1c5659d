"""Which of the program's functions OTEL_RUN_TRACE names: a list of patterns, read once.

`module:qualname` names a function, and `module` alone every public function of that module and of those below it.
`*` stands for any text, dots too, but for no name that begins with an underscore unless the pattern's own does: what
is private is traced only where it was asked for. A pattern that can't be read is named, and the others are used.
"""

from __future__ import annotations

import os

from otel_run.grammar import Bad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ALLOWED = (
    "module:function, module:Class.method, or module for all its public functions, each with * for any name; "
    "(argument,argument) and =SpanName behind a function; @file"
)
# They would trace their own work.
_OUR_OWN = ("otel_run", "opentelemetry")


class Pattern:
    """Functions to trace, by module and qualified name; what of them to record."""

    __slots__ = ("_fits_module", "_fits_qualname", "arguments", "module", "qualname", "span_name", "text")

    def __init__(
        self, text: str, module: str, qualname: str = "", arguments: tuple[str, ...] = (), span_name: str | None = None
    ) -> None:
        """Mean everything public in `module` and below it, if there is no `qualname`."""
        self.text = text
        self.module = module if qualname else module.removesuffix(".*")
        self.qualname = qualname or "*"
        self.arguments = arguments
        self.span_name = span_name
        self._fits_module = _matcher(self.module, and_below=not qualname)
        self._fits_qualname: Callable[[str], bool] | None = None

    def matches_module(self, name: str) -> bool:
        """Tell whether functions of the module `name` are meant."""
        return self._fits_module(name)

    def matches_qualname(self, qualname: str) -> bool:
        """Tell whether a function of that qualified name is meant."""
        if self._fits_qualname is None:
            # Only now: most processes import few of the modules. The module's is asked while `re` is imported.
            self._fits_qualname = _matcher(self.qualname)
        return self._fits_qualname(qualname)

    @property
    def names_function(self) -> bool:
        """Tell whether it names one function of a module, which is then taken in whatever shape it is."""
        return "*" not in self.qualname

    @property
    def is_exact(self) -> bool:
        """Tell whether it names one function of one module."""
        return "*" not in self.module and self.names_function

    @property
    def means_own_modules(self) -> bool:
        """Tell whether any module may be meant: then those that are installed are not."""
        return "*" in self.module.partition(".")[0]

    def __str__(self) -> str:
        return self.text


def _matcher(glob: str, and_below: bool = False) -> Callable[[str], bool]:
    if "*" not in glob:
        inside = glob + "."
        return lambda name: (
            name == glob or (and_below and name.startswith(inside) and "._" not in name[len(inside) - 1 :])
        )
    fits = _expression(glob, and_below)
    return lambda name: fits(name) is not None


def _expression(glob: str, and_below: bool) -> Callable[[str], object]:
    import re  # only for whoever writes a *

    below = r"(?:\.(?!_)[^.]*)*"
    segments = []
    for segment in glob.split("."):
        parts = [re.escape(part) for part in segment.split("*")]
        segments.append(("(?!_)" if not parts[0] and len(parts) > 1 else "") + f"[^.]*{below}".join(parts))
    return re.compile(r"\.".join(segments) + below * and_below).fullmatch


class BadPatterns(Bad):
    """The patterns of a list that can't be used, `given` as they were."""

    __slots__ = ("given",)

    def __init__(self, bad: list[tuple[str, str]]) -> None:
        """`bad` are pairs: the pattern, a hint or nothing."""
        super().__init__(ALLOWED, "; ".join(dict.fromkeys(hint for _, hint in bad if hint)))
        self.given = ", ".join(pattern for pattern, _ in bad)


def read(given: str, read_file: Callable[[str], str] | None = None) -> tuple[tuple[Pattern, ...], BadPatterns | None]:
    """Return the patterns of a list, each once, and those that can't be used; `read_file(path)` returns its text."""
    found: dict[str, Pattern] = {}
    bad: list[tuple[str, str]] = []
    for text in pieces(given):
        texts = [text]
        if text.startswith("@"):
            try:
                texts = file_pieces((read_file or _read_file)(text[1:].strip()))
            except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no path at all
                bad.append((text[1:], f"the file can't be read: {getattr(error, 'strerror', None) or error}"))
                continue
        for piece in texts:
            pattern = parse(piece)
            if pattern is None:
                bad.append((piece, _hint(piece)))
            else:
                found.setdefault(piece, pattern)
    return tuple(found.values()), BadPatterns(bad) if bad else None


def pieces(given: str) -> list[str]:
    """Split a list at its ends of line, and at its commas but for those in parentheses."""
    found = []
    for line in given.splitlines():
        begin = 0
        for index, letter in enumerate(line):
            if letter == "," and not _is_in_parentheses(line, begin, index):
                found.append(line[begin:index])
                begin = index + 1
        found.append(line[begin:])
    return [piece.strip() for piece in found if piece.strip()]


def _is_in_parentheses(line: str, begin: int, index: int) -> bool:
    # A parenthesis that is never closed is one bad pattern, and must not take the rest of the list with it.
    closing, opening = line.find(")", index), line.find("(", index)
    is_closed = closing >= 0 and (opening < 0 or closing < opening)
    return is_closed and line.rfind("(", begin, index) > line.rfind(")", begin, index)


def file_pieces(text: str) -> list[str]:
    """Split the text of a file, in which # begins a comment."""
    lines = []
    for line in text.splitlines():
        comment = next((i for i, c in enumerate(line) if c == "#" and (i == 0 or line[i - 1].isspace())), len(line))
        lines.append(line[:comment])
    return pieces("\n".join(lines))


def _read_file(path: str) -> str:
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError("it is no file")  # a pipe, the program's own input
    with open(path, encoding="utf-8-sig") as file:
        return file.read()


def parse(text: str) -> Pattern | None:
    """Return the pattern that `text` is, or None if it is none."""
    target, equals, span_name = (part.strip() for part in text.partition("="))
    target, opened, inside = target.partition("(")
    module, colon, qualname = (_normal(part.strip()) for part in target.partition(":"))
    arguments = tuple(_normal(name.strip()) for name in inside.removesuffix(")").split(",")) if opened else ()
    is_whole = (
        bool(qualname) == bool(colon)
        and bool(span_name) == bool(equals)
        and (bool(colon) or not (equals or opened))
        and (not opened or inside.endswith(")"))
        and all(name.isidentifier() for name in arguments)
        and not _arguments_behind(span_name)
    )
    if not (is_whole and _is_module(module) and all(_is_name(part) for part in qualname.split(".") if colon)):
        return None
    return Pattern(text, module, qualname, arguments, span_name or None)


def _normal(name: str) -> str:
    """Return a name as Python keeps it: the parser brings identifiers to one form (NFKC)."""
    if name.isascii():
        return name
    from unicodedata import normalize

    return normalize("NFKC", name)


def _is_module(module: str) -> bool:
    segments = module.split(".")
    # Names that only `import_module` can import: 0001_initial, my-plugin.
    fits = all(
        segment and not segment.startswith("-") and _is_name("_" + segment.replace("-", "_")) for segment in segments
    )
    return fits and segments[0] not in _OUR_OWN and (segments[-1] != "py" or len(segments) == 1)


def _is_name(segment: str) -> bool:
    return segment.replace("*", "a").isidentifier()


def _arguments_behind(span_name: str) -> str:
    """Return what stands in parentheses at the end of a span's name, if these look like a function's arguments."""
    inside = span_name.partition("(")[2].removesuffix(")")
    is_list = span_name.endswith(")") and all(name.strip().isidentifier() for name in inside.split(","))
    return inside if is_list else ""


def _hint(text: str) -> str:
    if text.startswith("@"):
        return "a file names no other file"
    if "<locals>" in text:
        return "a function within a function is made anew for each call and can't be named"
    target = text.partition("(")[0].partition("=")[0]
    if target.strip().partition(":")[0].partition(".")[0] in _OUR_OWN:
        return "what traces can't be traced"
    return next((f"did you mean {other} ?" for other in _repaired(text, target) if parse(other) is not None), "")


def _repaired(text: str, target: str) -> list[str]:
    """Return what `text` may have been meant to be, the likeliest first."""
    module, colon, rest = text.strip("\"'").replace(";", ":").replace("::", ":").partition(":")
    is_path = "/" in module or "\\" in module
    module = module.replace("\\", "/").replace("/", ".").lstrip(".").removesuffix(".py" if is_path or colon else "")
    name = (module + colon + rest).replace("()", "").rstrip(":=. ")
    moved, _, last = target.rpartition(".")
    span_name = text.partition("=")[2].strip()
    arguments = _arguments_behind(span_name)
    return [
        name,
        name.removesuffix(".py"),
        name + ")" * ("(" in name and not name.endswith(")")),
        f"__main__{name}" if rest and not module else "",
        f"{module}:{rest.replace(':', '.')}" if ":" in rest else "",
        name.replace("#", ":") if "#" in name else "",
        f"{moved}:{last}{text[len(target) :]}",
        f"{target}({arguments})={span_name.partition('(')[0]}",
        name.replace("(*", "(").replace(",*", ",").replace("*", ""),
    ]
