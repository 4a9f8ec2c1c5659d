"""Every environment variable that the agent reads, declared once: `ROWS` -> frozen `Settings` + `Problem`s.

The one place that reads `os.environ` for settings. Nothing here raises: a value that can't be used is
reported once and the default is used in its place, so that one typing error never costs all telemetry.
The README's table is made from the same rows. Runs in every Python process, so it imports nothing.

Source of the grammar: OpenTelemetry specification, "Environment Variable Specification" (empty is
unset, Boolean, numbers, durations in milliseconds, enums without regard to case).
"""

from __future__ import annotations

import os

from otel_run import grammar
from otel_run.grammar import Bad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


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
    """What the environment says, each value checked. Immutable; one attribute for each row of `ROWS`."""

    enabled: bool
    sdk_disabled: bool
    debug: bool
    strict: bool
    exit_timeout: int
    skip_programs: tuple[str, ...]
    service_name: str | None
    resource_attributes: dict[str, str]
    resource_detectors: tuple[str, ...]
    log_level: str
    propagators: tuple[str, ...]
    sampler: str
    sampler_arg: str | None
    exporters: tuple[str, ...]
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
    span_attribute_value_length_limit: int | None
    span_attribute_count_limit: int
    span_event_count_limit: int
    span_link_count_limit: int
    event_attribute_count_limit: int
    link_attribute_count_limit: int
    attribute_value_length_limit: int | None
    attribute_count_limit: int
    disabled_instrumentations: tuple[str, ...]
    requests_excluded_urls: tuple[str, ...]
    httpx_excluded_urls: tuple[str, ...]
    capture_client_request_headers: tuple[str, ...]
    capture_client_response_headers: tuple[str, ...]
    sanitize_header_fields: tuple[str, ...]
    http_known_methods: tuple[str, ...]
    http_capture_all_methods: bool
    semconv_opt_in: tuple[str, ...]
    url_templates: tuple[str, ...]
    connection_threshold: int
    redis_keys: str
    redact: tuple[str, ...] | None  # None: nothing is masked
    config_file: str | None
    # The ratio that `sampler` needs, 0..1; 1.0 where the sampler takes none.
    ratio: float
    # The variables whose value was not used.
    unusable: tuple[str, ...]

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


class Row:
    """One setting: its variables (the first that is usable wins), how to read it, its default, what it does."""

    __slots__ = ("default", "field", "meaning", "parse", "secret", "shown_default", "variables")

    def __init__(
        self,
        field: str,
        variables: str,
        parse: Callable[[str], object] | grammar.Choice,
        default: object,
        meaning: str,
        shown_default: str | None = None,
        secret: bool = False,
    ) -> None:
        self.field = field
        self.variables = tuple(variables.split())
        self.parse = parse
        self.default = default
        self.meaning = meaning
        self.shown_default = shown_default
        # A secret value is never repeated in a problem line.
        self.secret = secret


KNOWN_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")

# Programs that are tools of the workshop: tracing them costs time and tells nobody anything.
TOOLS = (
    "pip pip3 pipx uv uvx virtualenv venv ensurepip poetry pdm hatch flit twine build conda pre-commit tox nox "
    "black ruff flake8 isort mypy pyright pylint pyflakes pycodestyle bandit coverage compileall py_compile "
    "pydoc ptpython site sysconfig json.tool otel-run otel_run.command opentelemetry-bootstrap"
)

ROWS = (
    Row("enabled", "OTEL_RUN_ENABLED", grammar.boolean, True, "`false` switches the agent off in this process and its children: nothing is imported, patched or started."),
    Row("sdk_disabled", "OTEL_SDK_DISABLED", grammar.boolean, False, "`true` switches the agent off, as above."),
    Row("debug", "OTEL_RUN_DEBUG", grammar.boolean, False, "Say every decision (patched, skipped, refused, why) on stderr."),
    Row("strict", "OTEL_RUN_STRICT", grammar.boolean, False, "For the agent's own tests: raise our own errors in place of containing them."),
    Row("exit_timeout", "OTEL_RUN_EXIT_TIMEOUT", grammar.duration, 2000, "Milliseconds that the end of the process may wait, at most, for spans to be delivered."),
    Row("skip_programs", "OTEL_RUN_SKIP_PROGRAMS", grammar.names, tuple(TOOLS.split()), "Programs and modules that are never traced.", "pip, uv, mypy, ruff, black and other tools"),
    Row("service_name", "OTEL_SERVICE_NAME", grammar.text, None, "`service.name`; wins over the one in `OTEL_RESOURCE_ATTRIBUTES`.", "derived from what is run: `-m pkg`, the gunicorn/uvicorn/celery application, the script's name"),
    Row("resource_attributes", "OTEL_RESOURCE_ATTRIBUTES", grammar.resource_attributes, {}, "`key=value,key=value`, percent-encoded. A pair that can't be read is named and left out; the others are kept."),
    Row("resource_detectors", "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", grammar.names, (), "Entry points of the group `opentelemetry_resource_detector` to run in addition."),
    Row("log_level", "OTEL_LOG_LEVEL", grammar.choice("none off fatal error warn warning info debug trace"), "info", "How much otel-run itself says on stderr: `none` nothing, `debug` as `OTEL_RUN_DEBUG`."),
    Row("propagators", "OTEL_PROPAGATORS", grammar.choices("tracecontext baggage b3 b3multi jaeger xray ottrace none", group="opentelemetry_propagator"), ("tracecontext", "baggage"), "How context travels between services. Other than the default two need the package that brings them."),
    Row("sampler", "OTEL_TRACES_SAMPLER", grammar.text, "parentbased_always_on", "`always_on`, `always_off`, `traceidratio`, their `parentbased_` forms, or an entry point of the group `opentelemetry_traces_sampler`. A misspelt name is taken as the nearest known one."),
    Row("sampler_arg", "OTEL_TRACES_SAMPLER_ARG", grammar.text, None, "The ratio, 0 to 1 or a percentage (`1%`, `10 %`). A ratio that can't be read means 1 %: failing open is the expensive mistake.", "1.0"),
    Row("exporters", "OTEL_TRACES_EXPORTER", grammar.choices("otlp console none", group="opentelemetry_traces_exporter"), ("otlp",), "Where spans go: `otlp`, `console` (stdout), `none`, or entry points of the group `opentelemetry_traces_exporter`; several are possible."),
    Row("id_generator", "OTEL_PYTHON_ID_GENERATOR", grammar.choice("random", group="opentelemetry_id_generator"), "random", "`random` or an entry point of the group `opentelemetry_id_generator`."),
    Row("otlp_protocol", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL OTEL_EXPORTER_OTLP_PROTOCOL", grammar.choice("http/protobuf grpc"), "http/protobuf", "`http/protobuf` or `grpc`."),
    Row("otlp_traces_endpoint", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", grammar.url, None, "The full URL for traces, used as it is.", "the endpoint below"),
    Row("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", grammar.url, None, "The receiver's base URL; over HTTP `/v1/traces` is appended.", "`http://localhost:4318`, for gRPC `:4317`"),
    Row("otlp_headers", "OTEL_EXPORTER_OTLP_TRACES_HEADERS OTEL_EXPORTER_OTLP_HEADERS", grammar.headers, {}, "`key=value,key=value`, percent-encoded values. Never printed.", secret=True),
    Row("otlp_timeout", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT OTEL_EXPORTER_OTLP_TIMEOUT", grammar.timeout, 10000, "Milliseconds for one export; 0 is no limit."),
    Row("otlp_compression", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION OTEL_EXPORTER_OTLP_COMPRESSION", grammar.choice("gzip none"), "none", "`gzip` or `none`."),
    Row("otlp_insecure", "OTEL_EXPORTER_OTLP_TRACES_INSECURE OTEL_EXPORTER_OTLP_INSECURE", grammar.boolean, False, "gRPC without TLS, for an endpoint that has no scheme; a scheme always wins."),
    Row("otlp_certificate", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE OTEL_EXPORTER_OTLP_CERTIFICATE", grammar.file, None, "CA certificates (PEM) to trust for the receiver.", "the system's"),
    Row("otlp_client_key", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY OTEL_EXPORTER_OTLP_CLIENT_KEY", grammar.file, None, "Our key (PEM) for mTLS."),
    Row("otlp_client_certificate", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", grammar.file, None, "Our certificate (PEM) for mTLS."),
    Row("bsp_schedule_delay", "OTEL_BSP_SCHEDULE_DELAY", grammar.duration, 5000, "Milliseconds between two exports."),
    Row("bsp_export_timeout", "OTEL_BSP_EXPORT_TIMEOUT", grammar.timeout, 30000, "Milliseconds for one export of any exporter; 0 is no limit."),
    Row("bsp_max_queue_size", "OTEL_BSP_MAX_QUEUE_SIZE", grammar.positive, 2048, "Spans that may wait; when it is full, new ones are dropped and counted."),
    Row("bsp_max_export_batch_size", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", grammar.positive, 512, "Spans in one export, at most the queue's size."),
    Row("span_attribute_value_length_limit", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", grammar.count, None, "Characters of an attribute's value; the rest is cut.", "no limit"),
    Row("span_attribute_count_limit", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT OTEL_ATTRIBUTE_COUNT_LIMIT", grammar.count, 128, "Attributes of a span."),
    Row("span_event_count_limit", "OTEL_SPAN_EVENT_COUNT_LIMIT", grammar.count, 128, "Events of a span."),
    Row("span_link_count_limit", "OTEL_SPAN_LINK_COUNT_LIMIT", grammar.count, 128, "Links of a span."),
    Row("event_attribute_count_limit", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT OTEL_ATTRIBUTE_COUNT_LIMIT", grammar.count, 128, "Attributes of an event."),
    Row("link_attribute_count_limit", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT OTEL_ATTRIBUTE_COUNT_LIMIT", grammar.count, 128, "Attributes of a link."),
    Row("attribute_value_length_limit", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", grammar.count, None, "As the limit of a span's values, for events and links too.", "no limit"),
    Row("attribute_count_limit", "OTEL_ATTRIBUTE_COUNT_LIMIT", grammar.count, 128, "Attributes of anything that has no limit of its own."),
    Row("disabled_instrumentations", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", grammar.names, (), "Instrumentors that are not loaded, by name; `*` is all of them."),
    Row("requests_excluded_urls", "OTEL_PYTHON_REQUESTS_EXCLUDED_URLS OTEL_PYTHON_EXCLUDED_URLS", grammar.patterns, (), "Regular expressions, searched in the URL; such a request gets no span."),
    Row("httpx_excluded_urls", "OTEL_PYTHON_HTTPX_EXCLUDED_URLS OTEL_PYTHON_EXCLUDED_URLS", grammar.patterns, (), "The same for httpx."),
    Row("capture_client_request_headers", "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST", grammar.patterns, (), "Request headers to record, regular expressions for whole names."),
    Row("capture_client_response_headers", "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE", grammar.patterns, (), "Response headers to record, likewise."),
    Row("sanitize_header_fields", "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS", grammar.patterns, (), "Captured headers whose value becomes `[REDACTED]`, besides the well-known secret ones."),
    Row("http_known_methods", "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", grammar.words, KNOWN_METHODS, "HTTP methods that are recorded as they are, case-sensitive; any other is `_OTHER`.", "the methods of RFC 9110, PATCH, QUERY"),
    Row("http_capture_all_methods", "OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS", grammar.boolean, False, "Record every HTTP method as it is."),
    Row("semconv_opt_in", "OTEL_SEMCONV_STABILITY_OPT_IN", grammar.choices("http http/dup database database/dup gen_ai_latest_experimental", also="code code/dup messaging messaging/dup rpc rpc/dup"), (), "`http/dup` and `database/dup` ask for the old attribute names in addition; instrumentors of others read it too.", "stable names only"),
    Row("url_templates", "OTEL_RUN_URL_TEMPLATES", grammar.words, (), "Paths of URLs that clients call, such as `/users/{id}`, with or without `https://host` before them. The first that fits becomes `url.template` and part of the span's name."),
    Row("connection_threshold", "OTEL_RUN_CONNECTION_THRESHOLD", grammar.duration, 10, "Milliseconds that connecting to a database, or waiting for a pool, must take to become a span."),
    Row("redis_keys", "OTEL_RUN_REDIS_KEYS", grammar.choice("show mask"), "show", "`mask` also masks the names of keys in `db.query.text`."),
    Row("redact", "OTEL_RUN_REDACT", grammar.redactions, (), "Regular expressions of what else must not leave, in any text of a span; `key:REGEX` masks the whole values of attributes, URL parameters and headers with such names. `off` masks nothing at all. They run in the sending thread; one that backtracks without end stops it and the program.", "SQL literals, URL credentials and secret parameters, secret headers"),
    Row("config_file", "OTEL_CONFIG_FILE", grammar.unsupported("declarative configuration"), None, "Not supported: said, and the variables of this table are used."),
)  # fmt: skip


def read(environ: Mapping[str, str], installed: Callable[[str], list[str]]) -> tuple[Settings, list[Problem]]:
    """Read every setting from `environ`; return the settings and what was wrong with them.

    `installed(group)` gives the names of the installed entry points of `group`. It is asked only for a
    name that is not one of the built-in ones, since looking costs milliseconds.
    """
    problems: dict[str, Problem] = {}
    values: dict[str, Any] = {}
    for row in ROWS:
        value = _read_row(row, environ, installed, problems)
        # A copy: the default belongs to the table, whatever is done with the settings.
        values[row.field] = dict(value) if isinstance(value, dict) else value
    _decide_sampler(values, installed, problems)
    _fit_batch_into_queue(values, environ, problems)
    values["unusable"] = tuple(problems)
    return Settings(values), list(problems.values())


_current: Settings | None = None


def load(installed: Callable[[str], list[str]]) -> tuple[Settings, list[Problem]]:
    """Read the settings of this process and make them the current ones."""
    global _current
    _current, problems = read(os.environ, installed)
    return _current, problems


def current() -> Settings:
    """Return the settings of this process; read now if an instrumentor of ours runs without our start-up."""
    return _current if _current is not None else load(lambda _group: [])[0]


# Names the variables whose bad value a process of this tree has said already. It is set only once there
# was something to say, so that a shell script with a hundred children says it once.
_SAID = "OTEL_RUN_SAID"


def unsaid(problems: list[Problem]) -> list[Problem]:
    """Return the problems that no parent process has said, and mark them as said for our children."""
    said = os.environ.get(_SAID, "").split(",")
    fresh = [problem for problem in problems if problem.variable not in said]
    if fresh:
        os.environ[_SAID] = ",".join([name for name in said if name] + [problem.variable for problem in fresh])
    return fresh


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
