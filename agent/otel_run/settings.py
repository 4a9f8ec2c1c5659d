"""What the environment says: `variables.ROWS` -> frozen `Settings` + `Problem`s.

The one place that reads `os.environ`. Nothing here raises: a value that can't be used is reported once and
the default is used in its place, so that one typing error never costs all telemetry. Runs in every Python
process, so it imports nothing.

Source of the grammar: OpenTelemetry specification, "Environment Variable Specification" (empty is
unset, Boolean, numbers, durations in milliseconds, enums without regard to case).
"""

from __future__ import annotations

import os

from otel_run import grammar, variables
from otel_run.grammar import Bad
from otel_run.variables import Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from otel_run.function_patterns import Pattern


class Problem:
    """A bad setting: which variable, what was given, what is allowed, what is used instead."""

    __slots__ = ("allowed", "given", "hint", "used", "variable")

    def __init__(self, variable: str, given: str, allowed: str, used: str, hint: str = "") -> None:
        self.variable = variable
        self.given = given
        self.allowed = allowed
        self.used = used
        self.hint = hint

    def line(self) -> str:
        """Say the problem in one line, without the `otel-run:` in front."""
        given, used = self.given, self.used.encode("unicode_escape").decode("ascii")
        if "@" in given:
            scheme, there, _ = given.partition("://")
            given = f"{scheme + there if there else ''}...@{given.rpartition('@')[2]}"  # never a URL's password
        given = given.encode("unicode_escape").decode("ascii")
        if len(given) > 80:
            given = given[:77] + "..."
        hint = f" hint: {self.hint}" if self.hint else ""
        verdict = "looks wrong" if self.used == self.given else "can't be used"
        return f'{self.variable}="{given}" {verdict}; allowed: {self.allowed}; using {used}.{hint}'


class Settings:
    """What the environment says, each value checked. Immutable; one attribute for each row."""

    enabled: bool
    sdk_disabled: bool
    debug: bool
    strict: bool
    exit_timeout: int
    sigterm: str
    child_context: bool
    functions: tuple[Pattern, ...]
    function_limit: int
    process_span: str
    process_span_max_age: int
    process_span_max_spans: int
    process_arguments: bool
    traceparent: str | None
    tracestate: str | None
    baggage: str | None
    skip_programs: tuple[str, ...]
    service_name: str | None
    resource_attributes: dict[str, str]
    resource_detectors: tuple[str, ...]
    log_level: str
    propagators: tuple[str, ...]
    sampler: str
    sampler_arg: str | None
    exporters: tuple[str, ...]
    show: str
    slow: dict[str, int]
    trace_file: str
    trace_file_max_bytes: int
    trace_file_keep: int
    id_generator: str
    otlp_protocol: str
    otlp_endpoint: str | None
    otlp_traces_endpoint: str | None
    otlp_headers: dict[str, str]
    otlp_timeout: int
    otlp_compression: str
    otlp_insecure: bool
    otlp_certificate: str | None
    otlp_client_key: str | None
    otlp_client_certificate: str | None
    bsp_schedule_delay: int
    bsp_export_timeout: int
    bsp_max_queue_size: int
    bsp_max_export_batch_size: int
    queue_max_bytes: int
    spool_dir: str | None
    spool_max_bytes: int
    span_attribute_value_length_limit: int | None
    span_attribute_count_limit: int
    span_event_count_limit: int
    span_link_count_limit: int
    event_attribute_count_limit: int
    link_attribute_count_limit: int
    attribute_value_length_limit: int | None
    attribute_count_limit: int
    disabled_instrumentations: tuple[str, ...]
    excluded_urls: tuple[str, ...]
    capture_client_request_headers: tuple[str, ...]
    capture_client_response_headers: tuple[str, ...]
    capture_server_request_headers: tuple[str, ...]
    capture_server_response_headers: tuple[str, ...]
    sanitize_header_fields: tuple[str, ...]
    http_known_methods: tuple[str, ...]
    http_capture_all_methods: bool
    semconv_opt_in: tuple[str, ...]
    url_templates: tuple[str, ...]
    probes: str
    response_header: tuple[str, ...]
    connection_threshold: int
    redis_keys: str
    redact: tuple[str, ...] | None  # None: nothing is masked
    config_file: str | None
    # A family of variables: library, in lower case -> its patterns.
    excluded_urls_by_library: dict[str, tuple[str, ...]]
    # The ratio that `sampler` needs, 0..1; 1.0 where the sampler takes none.
    ratio: float
    # The variables whose value was not used.
    unusable: tuple[str, ...]
    # Nothing says where spans go, and somebody looks: they are shown.
    shows_by_default: bool

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Settings are read once and never change: {name}")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def is_off(self) -> bool:
        """Tell whether the user switched the agent off."""
        return self.sdk_disabled or not self.enabled

    def masks(self) -> bool:
        """Tell whether secrets are masked, which is so unless the user has said `off`."""
        return self.redact is not None

    def excluded_urls_of(self, library: str) -> tuple[str, ...]:
        """Return the patterns for a library's URLs; its own variable replaces the general one."""
        return self.excluded_urls_by_library.get(library, self.excluded_urls)


def read(
    environ: Mapping[str, str], installed: Callable[[str], list[str]], is_watched: Callable[[], bool] = lambda: False
) -> tuple[Settings, list[Problem]]:
    """Read every setting from `environ`; return the settings and what was wrong with them.

    `installed(group)` gives the names of the installed entry points of `group`. It is asked only for a
    name that is not one of the built-in ones, since looking costs milliseconds. `is_watched()` tells whether stderr is
    a terminal.
    """
    problems: dict[str, Problem] = {}
    values: dict[str, Any] = {}
    for row in variables.ROWS:
        value = (_read_family if row.is_family else _read_row)(row, environ, installed, problems)
        # A copy: the default belongs to the table, whatever is done with the settings.
        values[row.field] = dict(value) if isinstance(value, dict) else value
    _decide_sampler(values, installed, problems)
    _decide_functions(values, problems)
    _fit_batch_into_queue(values, environ, problems)
    values["unusable"] = tuple(problems)
    values["shows_by_default"] = not _names_exporter(environ) and is_watched()
    if values["shows_by_default"]:
        values["exporters"] = ("tree",)
    return Settings(values), list(problems.values())


_current: Settings | None = None


def load(installed: Callable[[str], list[str]]) -> tuple[Settings, list[Problem]]:
    """Read the settings of this process and make them the current ones."""
    global _current
    _current, problems = read(os.environ, installed, lambda: os.isatty(2))
    return _current, problems


def current() -> Settings:
    """Return the settings of this process; read now if an instrumentor of ours runs without our start-up."""
    return _current if _current is not None else load(lambda _group: [])[0]


# Names the variables whose bad value a process of this tree has said already. It is set only once there
# was something to say, so that a Python program with a hundred children says it once.
_SAID = "OTEL_RUN_SAID"


def unsaid(problems: list[Problem]) -> list[Problem]:
    """Return the problems that no parent process has said, and mark them as said for our children."""
    said = os.environ.get(_SAID, "").split(",")
    fresh = [problem for problem in problems if problem.variable not in said]
    if fresh:
        os.environ[_SAID] = ",".join([name for name in said if name] + [problem.variable for problem in fresh])
    return fresh


def is_first_to_say(what: str) -> bool:
    """Tell whether no parent process has this to say, and mark it as ours for our children."""
    return bool(unsaid([Problem(what, "", "", "")]))


def is_started_by_traced() -> bool:
    """Tell whether what has started this process would be traced as well, but for being no Python: a shell, make.

    Only Linux tells, and only of a parent that is there still.
    """
    try:
        with open(f"/proc/{os.getppid()}/environ", "rb") as file:
            theirs = dict(entry.partition(b"=")[::2] for entry in file.read().split(b"\0"))
    except OSError:
        return False
    folder = os.environ.get("PYTHONPATH", "").partition(os.pathsep)[0]
    path = os.fsdecode(theirs.get(b"PYTHONPATH", b""))
    return b"OTEL_RUN_TRACE" in theirs and folder != "" and path.partition(os.pathsep)[0] == folder


def proxies() -> dict[str, str]:
    """Return what the variables `..._proxy` say now, by the word before; lower case wins, even where it is empty."""
    found: dict[str, str] = {}
    for name in sorted(os.environ):  # upper-case letters come first
        # Of a CGI program, which gets it from whoever sends a header called `Proxy`.
        is_header = name == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ
        if name.lower().endswith("_proxy") and not is_header:
            found[name.lower().removesuffix("_proxy")] = os.environ[name]
    return found


def terminal() -> dict[str, str]:
    """Return what is said of how to write on a terminal, of the variables that are usual for it."""
    names = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TERM", "COLUMNS")
    return {name: os.environ[name] for name in names if name in os.environ}


class Hidden:
    """Variables hidden from code of others that would fail on a value we have already dealt with.

    A context manager, for as short as the import or the call of that code lasts.
    """

    def __init__(self, *variables: str) -> None:
        self._variables = variables

    def __enter__(self) -> None:
        self._values = {name: os.environ[name] for name in self._variables if name in os.environ}
        for name in self._values:
            del os.environ[name]

    def __exit__(self, *error: object) -> None:
        os.environ.update(self._values)


def _read_row(
    row: Row, environ: Mapping[str, str], installed: Callable[[str], list[str]], problems: dict[str, Problem]
) -> object:
    bad: list[tuple[str, str, Bad]] = []
    value = row.default
    for variable in row.variables:
        given = grammar.readable(environ.get(variable, "")).strip()
        if not given:
            continue
        parsed = grammar.parse(row.parse, given, installed)
        if not isinstance(parsed, Bad):
            value = parsed
            break
        bad.append((variable, given, parsed))
        if parsed.used is not None:
            value = parsed.used
            break
    for variable, given, why in bad:
        shown = "(not shown)" if row.secret else given
        used = _show(value, row) if not row.secret else "the pairs that can be read" if value else "none"
        problems.setdefault(variable, Problem(variable, shown, why.allowed, used, why.hint))
    return value


def _read_family(
    family: Row, environ: Mapping[str, str], installed: Callable[[str], list[str]], problems: dict[str, Problem]
) -> dict[str, object]:
    """Read the variables of which there is one for each library: library -> value, where it has a usable one."""
    first, _, last = family.variables[0].partition("<LIBRARY>")
    found: dict[str, object] = {}
    for variable in environ:
        library = variable[len(first) : -len(last)].lower()
        if variable.endswith(last) and variable.startswith(first) and library:
            member = Row(family.field, variable, family.parse, None, family.meaning, family.shown_default)
            value = _read_row(member, environ, installed, problems)
            if value is not None:
                found[library] = value
    return found


def _show(value: object, row: Row) -> str:
    if value is row.default and row.shown_default:
        return row.shown_default.replace("`", "")
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ",".join(f"{k}={v}" for k, v in value.items()) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _decide_sampler(
    values: dict[str, Any], installed: Callable[[str], list[str]], problems: dict[str, Problem]
) -> None:
    values["ratio"] = 1.0
    given, argument = values["sampler"], values["sampler_arg"]
    if given == "parentbased_always_on":
        return
    from otel_run import sampler_choice  # only for whoever sets one

    choice = sampler_choice.choose(given, argument, installed)
    values["sampler"], values["ratio"] = choice.name, choice.ratio
    used = f"{choice.name} with {choice.ratio:g}" if choice.ratio < 1 else choice.name
    for name, text, bad, instead in (
        ("OTEL_TRACES_SAMPLER", given, choice.bad_name, used),
        ("OTEL_TRACES_SAMPLER_ARG", argument, choice.bad_argument, "0.01, that is 1 %"),
    ):
        if bad is not None:
            problems[name] = Problem(name, text, bad.allowed, instead, bad.hint)


def _decide_functions(values: dict[str, Any], problems: dict[str, Problem]) -> None:
    given = values["functions"]
    if not given:
        return
    from otel_run import function_patterns  # only for whoever names some

    values["functions"], bad = function_patterns.read(given)
    if bad:
        name, rest = "OTEL_RUN_TRACE", ", ".join(map(str, values["functions"])) or "none"
        problems[name] = Problem(name, bad.given, bad.allowed, f"the others: {rest}", bad.hint)


def _names_exporter(environ: Mapping[str, str]) -> bool:
    """Tell whether anything is said of where spans go, however badly."""
    return any(
        name in ("OTEL_TRACES_EXPORTER", "OTEL_RUN_SPOOL_DIR") or name.startswith("OTEL_EXPORTER_OTLP_")
        for name in environ
        if environ[name].strip()
    )


def _fit_batch_into_queue(values: dict[str, Any], environ: Mapping[str, str], problems: dict[str, Problem]) -> None:
    queue, batch = values["bsp_max_queue_size"], values["bsp_max_export_batch_size"]
    if batch <= queue:
        return
    values["bsp_max_export_batch_size"] = queue
    name = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
    # Only a batch size that the user chose is worth a line: a small queue alone is a plain wish.
    given = environ.get(name, "").strip()
    if given:
        allowed = problems[name].allowed if name in problems else "at most OTEL_BSP_MAX_QUEUE_SIZE"
        problems[name] = Problem(name, given, allowed, f"{queue}, the queue's size")
