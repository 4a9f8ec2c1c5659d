"""The flags of `otel-run`: each sets the variable of the same meaning for the program, and wins over it.

A table, and not argparse: importing argparse takes as long as starting the interpreter, and its errors
name neither what was given nor what is allowed.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Usage(Exception):
    """A mistake on the command line."""

    def __init__(self, message: str, hint: str = "", status: int = 2) -> None:
        super().__init__(message)
        self.hint = hint
        self.status = status


# flag -> (the variable that it sets, how its value is called, what it does)
VALUE_FLAGS = {
    "--service": ("OTEL_SERVICE_NAME", "NAME", "service.name; derived from what is run if not given"),
    "--exporter": ("OTEL_TRACES_EXPORTER", "NAME,...", "otlp, tree, file, console, none, or an installed exporter"),
    "--show": ("OTEL_RUN_SHOW", "WHICH", "of what tree shows: all, interesting, errors, none"),
    "--endpoint": ("OTEL_EXPORTER_OTLP_ENDPOINT", "URL", "where the OTLP receiver is"),
    "--protocol": ("OTEL_EXPORTER_OTLP_PROTOCOL", "NAME", "http/protobuf or grpc"),
    "--ratio": ("OTEL_TRACES_SAMPLER_ARG", "SHARE", "share of the traces to keep, 0.1 or 10%"),
    "--sampler": ("OTEL_TRACES_SAMPLER", "NAME", "one of the specification's samplers"),
    "--sampler-arg": ("OTEL_TRACES_SAMPLER_ARG", "VALUE", "the sampler's argument"),
    "--propagators": ("OTEL_PROPAGATORS", "NAME,...", "tracecontext, baggage, b3..."),
    "--trace": ("OTEL_RUN_TRACE", "PATTERN,...", "functions of your own: module:function, module:Class.*, @file"),
    "--disable": ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "NAME,...", "instrumentors not to load"),
    "--env-file": ("", "FILE", "a file of NAME=value lines; flags and the environment win over it"),
}
PLAIN_FLAGS = {
    "--debug": "say on stderr what is patched, skipped and refused, and why",
    "--version": "print the version",
    "--help": "print this text",
}
# A variable that would win over the one the flag sets.
_OVERRULED = {
    "--endpoint": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "--protocol": "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
}
_SHORT = {"-h": "--help", "-V": "--version"}


class Wish:
    """What the command line asks for: `set` and `unset` variables, then a program, or an answer to print."""

    def __init__(self) -> None:
        self.set: dict[str, str] = {}
        self.unset: list[str] = []
        self.env_file: str | None = None
        self.module: str | None = None
        self.program: list[str] = []
        self.answer: str | None = None


def read(arguments: Sequence[str]) -> Wish:
    """Read flags up to the program; raise Usage for one that doesn't exist or a value that can't be."""
    wish = Wish()
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        flag, equals, value = rest.pop(0).partition("=")
        if flag == "--":
            break
        if flag.startswith("-m") and not flag.startswith("--"):
            wish.module = flag[2:] or _value("-m", rest, "a module's name")
            break
        flag = _SHORT.get(flag, flag)
        if flag in VALUE_FLAGS:
            _take(wish, flag, value if equals else _value(flag, rest, VALUE_FLAGS[flag][1]))
        elif flag in PLAIN_FLAGS and not equals:
            _take_plain(wish, flag)
        else:
            raise _unknown(flag, bool(equals))
        if wish.answer is not None:
            return wish
    wish.program = rest
    if wish.module is None and not rest:
        raise Usage("there is no program to run", "otel-run python app.py, or otel-run --help")
    return wish


def _value(flag: str, rest: list[str], what: str) -> str:
    if not rest:
        raise Usage(f"{flag} needs a value: {flag} {what}")
    return rest.pop(0)


def _take_plain(wish: Wish, flag: str) -> None:
    if flag == "--debug":
        wish.set["OTEL_RUN_DEBUG"] = "true"
    elif flag == "--version":
        from otel_run import __version__

        wish.answer = f"otel-run {__version__}"
    else:
        wish.answer = help_text()


def _take(wish: Wish, flag: str, value: str) -> None:
    variable = VALUE_FLAGS[flag][0]
    if flag == "--env-file":
        wish.env_file = value
        return
    given = checked(flag, variable, value)
    # Patterns are told one after another; of all else the last one counts.
    before = wish.set.get(variable) if flag == "--trace" else None
    wish.set[variable] = f"{before},{given}" if before else given
    if flag == "--ratio":
        wish.set["OTEL_TRACES_SAMPLER"] = "parentbased_traceidratio"
    if flag in _OVERRULED:
        wish.unset.append(_OVERRULED[flag])


def checked(flag: str, variable: str, value: str) -> str:
    """Return the value to set, or raise Usage if the settings would not take it."""
    from otel_run import grammar, variables
    from otel_run.patching import candidates

    def refuse(bad: grammar.Bad) -> Usage:
        return Usage(f"{flag} can't be {getattr(bad, 'given', value)!r}; allowed: {bad.allowed}", bad.hint)

    if not value.strip():
        raise Usage(f"{flag} needs a value, got an empty one")
    read: object = value
    if flag == "--ratio":
        read = grammar.ratio(value)
    elif flag == "--sampler":
        from otel_run import sampler_choice

        read = sampler_choice.find(value, candidates.names) or sampler_choice.refuse(value)
    elif flag == "--trace":
        read, value = _patterns(value)
    else:
        row = next(row for row in variables.ROWS if variable in row.variables)
        read = grammar.parse(row.parse, value.strip(), candidates.names)
    if isinstance(read, grammar.Bad):
        raise refuse(read)
    return str(read) if flag == "--ratio" else value


def _patterns(value: str) -> tuple[object, str]:
    """Read patterns of functions, and say where their files are."""
    from otel_run import function_patterns

    if not function_patterns.pieces(value):
        raise Usage("--trace needs a pattern, got none")
    given = from_anywhere(value)
    return function_patterns.read(given)[1], given


def from_anywhere(patterns: str) -> str:
    """Return the patterns with whole paths: the program, and what it starts, may look from another folder."""
    from otel_run import function_patterns
    from otel_run.startup.program import absolute

    def whole(piece: str) -> str:
        path = absolute(piece[1:].strip())
        return f"@{path}" if piece.startswith("@") and "," not in path else piece

    return ",".join(map(whole, function_patterns.pieces(patterns)))


def _unknown(flag: str, has_value: bool) -> Usage:
    from otel_run.grammar import did_you_mean

    known = [*VALUE_FLAGS, *PLAIN_FLAGS]
    if flag in PLAIN_FLAGS and has_value:
        return Usage(f"{flag} takes no value")
    hint = did_you_mean(flag, known) or "put the program's own flags behind the program: otel-run python app.py --flag"
    return Usage(f"there is no flag {flag}; allowed: {', '.join(known)}, -m MODULE", hint)


def help_text() -> str:
    """Return the text of --help."""
    lines = [
        "Usage: otel-run [flags] PROGRAM [ARGS...]      any program on PATH: python, gunicorn, celery...",
        "       otel-run [flags] app.py [ARGS...]       a script, with the Python that otel-run runs on",
        "       otel-run [flags] -m MODULE [ARGS...]    a module, likewise",
        "       otel-run demo                         see a trace, with nothing to set up",
        "       otel-run view [FILE...]               traces out of files, as trees, as a web page, or live",
        "       otel-run send DIR|FILE...             spans that a spool folder holds, to a receiver",
        "       otel-run path                         the folder for PYTHONPATH in a container image",
        "",
        "Traces a Python program that holds no tracing code. It becomes the program: same process, same",
        "output, same exit status.",
        "",
        "Flags (each sets the variable beside it for the program, and wins over it; -- ends them):",
    ]
    for flag, (variable, value, meaning) in VALUE_FLAGS.items():
        lines.append(f"  {flag + ' ' + value:<20}  {meaning}{' [' + variable + ']' if variable else ''}")
    lines += [f"  {flag:<20}  {meaning}" for flag, meaning in PLAIN_FLAGS.items()]
    return "\n".join(lines)
