"""Every variable, {unset, empty, good, mis-cased, junk, negative, zero, huge}: the value used, the problem said.

The cases are made from `variables.ROWS`, so a new row fails here until it has its entry in `EXPECTED`.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from otel_run import function_patterns, grammar, settings, variables
from otel_run.view import notes

HUGE = "9" * 5000
BAD = object()  # not usable: the default, and a problem


class Kind(NamedTuple):
    """How a sort of variable answers: what is allowed, and (given, value) for each column."""

    allowed: str
    good: tuple[str, object]
    miscased: tuple[str, object]
    junk: tuple[str, object] = ("?!", BAD)
    negative: tuple[str, object] = ("-1", BAD)
    zero: tuple[str, object] = ("0", BAD)
    huge: tuple[str, object] = (HUGE, BAD)


class Instead(NamedTuple):
    """A bad value in whose place something other than the default is used, and how that is told."""

    value: object
    told: str


class Expected(NamedTuple):
    """What one row answers: its kind, its default, and how the default is told in a problem."""

    kind: Kind
    default: object
    told: str


BOOLEAN = Kind("true, false", ("true", True), ("FaLsE", False))
COUNT = Kind("a whole number from 0 to 2147483647", ("7", 7), ("0X7", BAD), zero=("0", 0))
POSITIVE = COUNT._replace(allowed="a whole number from 1 to 2147483647", zero=("0", BAD))
MILLISECONDS = COUNT._replace(allowed="whole milliseconds from 0 to 2147483647", good=("1500", 1500))


def anything(good: str, miscased: str) -> Kind:
    """Return a text: each is taken as it is."""
    return Kind("", (good, good), (miscased, miscased), *((text, text) for text in ("?!", "-1", "0", HUGE)))


def listed(miscased: tuple[str, ...], junk: tuple[str, object] = ("?!", ("?!",)), allowed: str = "") -> Kind:
    """Return a list of words of the user's."""
    texts = [(text, (text,)) for text in ("-1", "0", HUGE)]
    return Kind(allowed, (" a, b,,a ", ("a", "b")), ("Abc,DEF", miscased), junk, *texts)


def one_of(good: str, miscased: str, names: str, group: str = "", many: bool = False) -> Kind:
    """Return a choice: names of ours, in any case, or of an installed entry point."""
    values = [tuple(text.lower().split(",")) if many else text.lower() for text in (good, miscased)]
    allowed = f"{names}, or an installed entry point of {group}" if group else names
    return Kind(allowed, (good, values[0]), (miscased, values[1]))


def pairs(lower: bool) -> Kind:
    """Return `key=value,…`."""
    miscased = {"abc": "DeF"} if lower else {"aBc": "DeF"}
    good = ("a=b%20c, d=e=f", {"a": "b c", "d": "e=f"})
    return Kind("key=value,key=value with , and = percent-encoded", good, ("aBc=DeF", miscased))


def of_each_library(kind: Kind) -> Kind:
    """Return a family: its table's own name is one of a library too, `<library>`."""
    columns = ((text, BAD if value is BAD else {"<library>": value}) for text, value in kind[1:])
    return Kind(kind.allowed, *columns)


TEXT = anything("shop", "ShOp")
NAMES = listed(("abc", "def"))
PATTERNS = listed(("Abc", "DEF"), ("(", BAD), "regular expressions, separated by commas")
REDACTIONS = listed(
    ("Abc", "DEF"),
    ("(", BAD),
    "off, or regular expressions separated by commas, each of values or, after key:, of names",
)
URL = Kind(
    "http://host:port, https://host:port or, for grpc, host:port",
    ("https://[::1]:4318/p", "https://[::1]:4318/p"),
    ("HTTP://Host:1", "HTTP://Host:1"),
    huge=(f"http://h:{HUGE}", BAD),
)


class Patterns(tuple[str, ...]):
    """Patterns by their texts."""

    __hash__ = tuple.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple) and tuple(map(str, other)) == tuple(self)


FUNCTIONS = Kind(
    function_patterns.ALLOWED,
    ("app:main, a.b", Patterns(("app:main", "a.b"))),
    ("App:Main", Patterns(("App:Main",))),
    # Modules may be called so, as migrations are.
    zero=("0", Patterns("0")),
    huge=(HUGE, Patterns((HUGE,))),
)
CALLER = f"00-{'ab' * 16}-{'cd' * 8}-01"
TRACEPARENT = Kind(
    "00-TRACE_ID-SPAN_ID-FLAGS in hexadecimal digits, 2, 32, 16 and 2 of them",
    (CALLER, CALLER),
    (CALLER.upper(), BAD),
)
SLOW = Kind(
    "kind=milliseconds, comma-separated; kinds are http, database, cache, messaging",
    ("cache=2, http=1000", grammar.SLOW | {"cache": 2_000_000, "http": 1_000_000_000}),
    ("HTTP=0", grammar.SLOW | {"http": 0}),
)
SAMPLERS = (
    "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio"
)
SAMPLER = one_of("traceidratio", "Always_OFF", SAMPLERS, "opentelemetry_traces_sampler")._replace(
    zero=("0", Instead("parentbased_traceidratio", "parentbased_traceidratio with 0"))
)
LOG_LEVELS = "none, off, fatal, error, warn, warning, info, debug, trace"
PROPAGATORS = "tracecontext, baggage, b3, b3multi, jaeger, xray, ottrace, none"
OPT_INS = "http, http/dup, database, database/dup, gen_ai_latest_experimental"
NO_FILE = Kind("nothing, declarative configuration is not supported", ("f.yaml", BAD), ("F.YAML", BAD))
METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")

EXPECTED = {
    "enabled": Expected(BOOLEAN, True, "true"),
    "sdk_disabled": Expected(BOOLEAN, False, "false"),
    "debug": Expected(BOOLEAN, False, "false"),
    "strict": Expected(BOOLEAN, False, "false"),
    "exit_timeout": Expected(MILLISECONDS, 2000, "2000"),
    "sigterm": Expected(one_of("leave", "LEAVE", "flush, leave"), "flush", "flush"),
    "child_context": Expected(BOOLEAN, True, "true"),
    "functions": Expected(FUNCTIONS, (), "the others: none"),
    "function_limit": Expected(POSITIVE, 1000, "1000"),
    "process_span": Expected(one_of("on", "OFF", "auto, on, off"), "auto", "auto"),
    "process_span_max_age": Expected(MILLISECONDS, 3600000, "3600000"),
    "process_span_max_spans": Expected(POSITIVE, 1000, "1000"),
    "process_arguments": Expected(BOOLEAN, False, "false"),
    "traceparent": Expected(TRACEPARENT, None, "none"),
    "tracestate": Expected(TEXT, None, ""),
    "baggage": Expected(TEXT, None, ""),
    "skip_programs": Expected(NAMES, tuple(variables.TOOLS.split()), ""),
    "service_name": Expected(TEXT, None, ""),
    "resource_attributes": Expected(pairs(lower=False), {}, "none"),
    "resource_detectors": Expected(NAMES, (), ""),
    "log_level": Expected(one_of("debug", "NONE", LOG_LEVELS), "info", "info"),
    "propagators": Expected(
        one_of("b3,none", "BAGGAGE", PROPAGATORS, "opentelemetry_propagator", many=True),
        ("tracecontext", "baggage"),
        "tracecontext,baggage",
    ),
    "sampler": Expected(SAMPLER, "parentbased_always_on", "parentbased_always_on"),
    "sampler_arg": Expected(TEXT, None, ""),
    "exporters": Expected(
        one_of("console,otlp", "NONE", "otlp, tree, file, console, none", "opentelemetry_traces_exporter", many=True),
        ("otlp",),
        "otlp",
    ),
    "show": Expected(one_of("errors", "NONE", "all, interesting, errors, none"), "all", "all"),
    "slow": Expected(SLOW, grammar.SLOW, "http=200,database=50,cache=5,messaging=100"),
    "trace_file": Expected(TEXT, "traces.jsonl", ""),
    "trace_file_max_bytes": Expected(POSITIVE, 67108864, "64 MiB"),
    "trace_file_keep": Expected(COUNT, 5, "5"),
    "id_generator": Expected(one_of("random", "RANDOM", "random", "opentelemetry_id_generator"), "random", "random"),
    "otlp_protocol": Expected(one_of("grpc", "GRPC", "http/protobuf, grpc"), "http/protobuf", "http/protobuf"),
    "otlp_traces_endpoint": Expected(URL, None, "the endpoint below"),
    "otlp_endpoint": Expected(URL, None, "http://localhost:4318, for gRPC :4317"),
    "otlp_headers": Expected(pairs(lower=True), {}, "none"),
    "otlp_timeout": Expected(MILLISECONDS, 10000, "10000"),
    "otlp_compression": Expected(one_of("gzip", "GZip", "gzip, none"), "none", "none"),
    "otlp_insecure": Expected(BOOLEAN, False, "false"),
    "otlp_certificate": Expected(TEXT, None, ""),
    "otlp_client_key": Expected(TEXT, None, ""),
    "otlp_client_certificate": Expected(TEXT, None, ""),
    "bsp_schedule_delay": Expected(MILLISECONDS, 5000, "5000"),
    "bsp_export_timeout": Expected(MILLISECONDS, 30000, "30000"),
    "bsp_max_queue_size": Expected(POSITIVE, 2048, "2048"),
    "bsp_max_export_batch_size": Expected(POSITIVE, 512, "512"),
    "queue_max_bytes": Expected(POSITIVE, 67108864, "64 MiB"),
    "spool_dir": Expected(TEXT, None, "none"),
    "spool_max_bytes": Expected(POSITIVE, 67108864, "64 MiB"),
    "span_attribute_value_length_limit": Expected(COUNT, None, "no limit"),
    "span_attribute_count_limit": Expected(COUNT, 128, "128"),
    "span_event_count_limit": Expected(COUNT, 128, "128"),
    "span_link_count_limit": Expected(COUNT, 128, "128"),
    "event_attribute_count_limit": Expected(COUNT, 128, "128"),
    "link_attribute_count_limit": Expected(COUNT, 128, "128"),
    "attribute_value_length_limit": Expected(COUNT, None, "no limit"),
    "attribute_count_limit": Expected(COUNT, 128, "128"),
    "disabled_instrumentations": Expected(NAMES, (), ""),
    "excluded_urls": Expected(PATTERNS, (), "none"),
    "excluded_urls_by_library": Expected(of_each_library(PATTERNS), {}, "OTEL_PYTHON_EXCLUDED_URLS"),
    "capture_client_request_headers": Expected(PATTERNS, (), "none"),
    "capture_client_response_headers": Expected(PATTERNS, (), "none"),
    "capture_server_request_headers": Expected(PATTERNS, (), "none"),
    "capture_server_response_headers": Expected(PATTERNS, (), "none"),
    "sanitize_header_fields": Expected(PATTERNS, (), "none"),
    "http_known_methods": Expected(listed(("Abc", "DEF")), METHODS, ""),
    "http_capture_all_methods": Expected(BOOLEAN, False, "false"),
    "semconv_opt_in": Expected(one_of("http/dup", "DATABASE,Http", OPT_INS, many=True), (), "stable names only"),
    "url_templates": Expected(listed(("Abc", "DEF")), (), ""),
    "probes": Expected(one_of("drop", "KEEP", "keep, drop"), "keep", "keep"),
    "response_header": Expected(
        one_of("traceresponse,server-timing", "OFF", "off, traceresponse, server-timing", many=True), (), "off"
    ),
    "connection_threshold": Expected(MILLISECONDS, 10, "10"),
    "redis_keys": Expected(one_of("mask", "SHOW", "show, mask"), "show", "show"),
    "redact": Expected(REDACTIONS, (), "SQL literals, URL credentials and secret parameters, secret headers"),
    "config_file": Expected(NO_FILE, None, "none"),
}

COLUMNS = ("unset", "empty", *Kind._fields[1:])
CASES = [(row, variable, column) for row in variables.ROWS for variable in row.variables for column in COLUMNS]


@pytest.mark.parametrize(("row", "variable", "column"), CASES, ids=lambda case: getattr(case, "field", case))
def test_a_variable_is_used_or_named_once(row: variables.Row, variable: str, column: str) -> None:
    kind, default, told = EXPECTED[row.field]
    given, value = {"unset": ("", default), "empty": (" \t", default)}.get(column) or getattr(kind, column)
    is_bad = value is BAD or isinstance(value, Instead)
    if isinstance(value, Instead):
        value, told = value
    environ = {} if column == "unset" else {variable: given}
    found, problems = settings.read(environ, lambda group: [])
    assert getattr(found, row.field) == (default if value is BAD else value)
    wanted = [(variable, "(not shown)" if row.secret else given, kind.allowed, told)] if is_bad else []
    assert [(p.variable, p.given, p.allowed, p.used) for p in problems] == wanted


def test_every_row_stands_in_the_table_and_in_the_annotations() -> None:
    fields = [row.field for row in variables.ROWS]
    assert len(set(fields)) == len(fields)
    assert set(fields) == set(EXPECTED)
    assert set(settings.Settings.__annotations__) == {*fields, "ratio", "unusable", "shows_by_default"}


@pytest.mark.parametrize(
    ("environ", "exporters"),
    [
        ({}, ("tree",)),
        ({"OTEL_TRACES_EXPORTER": " "}, ("tree",)),
        ({"OTEL_SERVICE_NAME": "shop", "OTEL_TRACES_SAMPLER": "always_on"}, ("tree",)),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": "nonsense"}, ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": "console,file"}, ("console", "file")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "key=value"}, ("otlp",)),
        ({"OTEL_RUN_SPOOL_DIR": "spool"}, ("otlp",)),
    ],
)
def test_what_nobody_says_where_to_send_is_shown_to_who_looks(
    environ: dict[str, str], exporters: tuple[str, ...]
) -> None:
    watched, _ = settings.read(environ, lambda group: [], lambda: True)
    assert (watched.exporters, watched.shows_by_default) == (exporters, exporters == ("tree",))
    unwatched, _ = settings.read(environ, lambda group: [])
    assert unwatched.exporters == (("otlp",) if exporters == ("tree",) else exporters)
    assert not unwatched.shows_by_default


def test_who_shows_traces_calls_slow_what_the_settings_do() -> None:
    assert notes.THRESHOLDS == grammar.SLOW
