"""Every environment variable that the agent reads, declared once: its row holds how it is read, and what it does.

The README's table is made from these rows. Runs in every Python process, so it imports nothing.
"""

from __future__ import annotations

from otel_run import grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


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

    @property
    def is_family(self) -> bool:
        """Tell whether there is one such variable for each library."""
        return "<LIBRARY>" in self.variables[0]


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
    Row("sigterm", "OTEL_RUN_SIGTERM", grammar.choice("flush leave"), "flush", "`leave` leaves SIGTERM alone where the program does: the process dies at once, and what has not been sent is lost."),
    Row("child_context", "OTEL_RUN_CHILD_CONTEXT", grammar.boolean, True, "`false` keeps the current trace out of the environment of child processes (`TRACEPARENT`, `TRACESTATE`, `BAGGAGE`)."),
    Row("functions", "OTEL_RUN_TRACE", grammar.text, (), "The program's own functions that get a span for each call: `module:function`, `module:Class.*`, `package.*`, comma-separated; see [Functions of your own](#functions-of-your-own)."),
    Row("function_limit", "OTEL_RUN_TRACE_LIMIT", grammar.positive, 1000, "Spans in a second, at most, for each of these functions; calls beyond that are counted on the span around them."),
    Row("process_span", "OTEL_RUN_PROCESS_SPAN", grammar.choice("auto on off"), "auto", "A span for the process itself, so that all calls of a script are one trace: `auto` where something would otherwise have no parent, until the process serves requests; `on` always, `off` never."),
    Row("process_span_max_age", "OTEL_RUN_PROCESS_SPAN_MAX_AGE", grammar.duration, 3_600_000, "Milliseconds after which such a span ends at the latest, where it was made by itself (`auto`)."),
    Row("process_span_max_spans", "OTEL_RUN_PROCESS_SPAN_MAX_SPANS", grammar.positive, 1000, "Spans directly below it after which it ends."),
    Row("process_arguments", "OTEL_RUN_PROCESS_ARGUMENTS", grammar.boolean, False, "Record the command's arguments with it. They may hold secrets."),
    Row("traceparent", "TRACEPARENT", grammar.traceparent, None, "The caller of this process: a CI job, a script, another traced program. Parent of the span for the process; of nothing that a server does.", "none"),
    Row("tracestate", "TRACESTATE", grammar.text, None, "What else the caller's trace carries.", "none"),
    Row("baggage", "BAGGAGE", grammar.text, None, "What the caller has for all that work for it; goes on to whom the process calls.", "none"),
    Row("skip_programs", "OTEL_RUN_SKIP_PROGRAMS", grammar.names, tuple(TOOLS.split()), "Programs and modules that are never traced.", "pip, uv, mypy, ruff, black and other tools"),
    Row("service_name", "OTEL_SERVICE_NAME", grammar.text, None, "`service.name`; wins over the one in `OTEL_RESOURCE_ATTRIBUTES`.", "derived from what is run: `-m pkg`, the gunicorn/uvicorn/celery application, the script's name"),
    Row("resource_attributes", "OTEL_RESOURCE_ATTRIBUTES", grammar.resource_attributes, {}, "`key=value,key=value`, percent-encoded. A pair that can't be read is named and left out; the others are kept."),
    Row("resource_detectors", "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", grammar.names, (), "Entry points of the group `opentelemetry_resource_detector` to run in addition."),
    Row("log_level", "OTEL_LOG_LEVEL", grammar.choice("none off fatal error warn warning info debug trace"), "info", "How much otel-run itself says on stderr: `none` nothing, `debug` as `OTEL_RUN_DEBUG`."),
    Row("propagators", "OTEL_PROPAGATORS", grammar.choices("tracecontext baggage b3 b3multi jaeger xray ottrace none", group="opentelemetry_propagator"), ("tracecontext", "baggage"), "How context travels between services. Other than the default two need the package that brings them."),
    Row("sampler", "OTEL_TRACES_SAMPLER", grammar.text, "parentbased_always_on", "`always_on`, `always_off`, `traceidratio`, their `parentbased_` forms, or an entry point of the group `opentelemetry_traces_sampler`. A misspelt name is taken as the nearest known one."),
    Row("sampler_arg", "OTEL_TRACES_SAMPLER_ARG", grammar.text, None, "The ratio, 0 to 1 or a percentage (`1%`, `10 %`). A ratio that can't be read means 1 %: failing open is the expensive mistake.", "1.0"),
    Row("exporters", "OTEL_TRACES_EXPORTER", grammar.choices("otlp tree file console none", group="opentelemetry_traces_exporter"), ("otlp",), "Where spans go: `otlp`, `tree` (stderr, as a tree), `file` (OTLP JSON lines), `console` (stdout), `none`, or entry points of the group `opentelemetry_traces_exporter`; several are possible. If neither this nor anything of `OTEL_EXPORTER_OTLP_…` is set, and stderr is a terminal, it is `tree`."),
    Row("show", "OTEL_RUN_SHOW", grammar.choice("all interesting errors none"), "all", "Which traces `tree` shows: `all`, `interesting` (slow, failed or of a new shape), `errors`, or `none` but the table at the end."),
    Row("slow", "OTEL_RUN_SLOW", grammar.thresholds, grammar.SLOW, "From how many milliseconds on a call may be called slow: of HTTP, of databases, of caches, of message brokers.", "`http=200,database=50,cache=5,messaging=100`"),
    Row("trace_file", "OTEL_RUN_FILE", grammar.text, "traces.jsonl", "Where `file` writes, from the folder in which the program is started. Several processes may share it."),
    Row("trace_file_max_bytes", "OTEL_RUN_FILE_MAX_BYTES", grammar.positive, 64 * 1024 * 1024, "Bytes of that file after which another is begun.", "64 MiB"),
    Row("trace_file_keep", "OTEL_RUN_FILE_KEEP", grammar.count, 5, "How many older ones are kept, as `traces.1.jsonl`, the newest, and so on."),
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
    Row("queue_max_bytes", "OTEL_RUN_QUEUE_MAX_BYTES", grammar.positive, 64 * 1024 * 1024, "Bytes that the long texts (above 1,000 characters) of waiting spans may hold; spans beyond that are dropped and counted.", "64 MiB"),
    Row("spool_dir", "OTEL_RUN_SPOOL_DIR", grammar.text, None, "A folder for what can't be delivered in time: OTLP JSON lines, sent by the next healthy process of the same service, or by `otel-run send`.", "none: it is lost"),
    Row("spool_max_bytes", "OTEL_RUN_SPOOL_MAX_BYTES", grammar.positive, 64 * 1024 * 1024, "Bytes that all files of that folder may take; the oldest go first.", "64 MiB"),
    Row("span_attribute_value_length_limit", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", grammar.count, None, "Characters of an attribute's value; the rest is cut.", "no limit"),
    Row("span_attribute_count_limit", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT OTEL_ATTRIBUTE_COUNT_LIMIT", grammar.count, 128, "Attributes of a span."),
    Row("span_event_count_limit", "OTEL_SPAN_EVENT_COUNT_LIMIT", grammar.count, 128, "Events of a span."),
    Row("span_link_count_limit", "OTEL_SPAN_LINK_COUNT_LIMIT", grammar.count, 128, "Links of a span."),
    Row("event_attribute_count_limit", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT OTEL_ATTRIBUTE_COUNT_LIMIT", grammar.count, 128, "Attributes of an event."),
    Row("link_attribute_count_limit", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT OTEL_ATTRIBUTE_COUNT_LIMIT", grammar.count, 128, "Attributes of a link."),
    Row("attribute_value_length_limit", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", grammar.count, None, "As the limit of a span's values, for events and links too.", "no limit"),
    Row("attribute_count_limit", "OTEL_ATTRIBUTE_COUNT_LIMIT", grammar.count, 128, "Attributes of anything that has no limit of its own."),
    Row("disabled_instrumentations", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", grammar.names, (), "Instrumentors that are not loaded, by name; `*` is all of them."),
    Row("excluded_urls", "OTEL_PYTHON_EXCLUDED_URLS", grammar.patterns, (), "Regular expressions, searched in the URL of requests, incoming and outgoing; such a request gets no span, nor does what an incoming one calls."),
    Row("excluded_urls_by_library", "OTEL_PYTHON_<LIBRARY>_EXCLUDED_URLS", grammar.patterns, {}, "The same for one library alone (`REQUESTS`, `HTTPX`, `FLASK`, `DJANGO`, `STARLETTE`, `FASTAPI` …), in place of the general one.", "`OTEL_PYTHON_EXCLUDED_URLS`"),
    Row("capture_client_request_headers", "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST", grammar.patterns, (), "Request headers to record, regular expressions for whole names."),
    Row("capture_client_response_headers", "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE", grammar.patterns, (), "Response headers to record, likewise."),
    Row("capture_server_request_headers", "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", grammar.patterns, (), "The same for requests that come in."),
    Row("capture_server_response_headers", "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE", grammar.patterns, (), "And for what they are answered with."),
    Row("sanitize_header_fields", "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS", grammar.patterns, (), "Captured headers whose value becomes `[REDACTED]`, besides the well-known secret ones."),
    Row("http_known_methods", "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", grammar.words, KNOWN_METHODS, "HTTP methods that are recorded as they are, case-sensitive; any other is `_OTHER`.", "the methods of RFC 9110, PATCH, QUERY"),
    Row("http_capture_all_methods", "OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS", grammar.boolean, False, "Record every HTTP method as it is."),
    Row("semconv_opt_in", "OTEL_SEMCONV_STABILITY_OPT_IN", grammar.choices("http http/dup database database/dup gen_ai_latest_experimental", also="code code/dup messaging messaging/dup rpc rpc/dup"), (), "`http/dup` and `database/dup` ask for the old attribute names in addition; instrumentors of others read it too.", "stable names only"),
    Row("url_templates", "OTEL_RUN_URL_TEMPLATES", grammar.words, (), "Paths of URLs that clients call, such as `/users/{id}`, with or without `https://host` before them. The first that fits becomes `url.template` and part of the span's name."),
    Row("probes", "OTEL_RUN_PROBES", grammar.choice("keep drop"), "keep", "`drop` treats the requests of well-known health checks (kube-probe, ELB-HealthChecker, GoogleHC …, by their User-Agent) as excluded."),
    Row("response_header", "OTEL_RUN_RESPONSE_HEADER", grammar.choices("off traceresponse server-timing"), (), "Tell the client the trace: `traceresponse` (W3C Trace Context Level 2), `server-timing` (what browsers can read), or both.", "off"),
    Row("connection_threshold", "OTEL_RUN_CONNECTION_THRESHOLD", grammar.duration, 10, "Milliseconds that connecting to a database, or waiting for a pool, must take to become a span."),
    Row("redis_keys", "OTEL_RUN_REDIS_KEYS", grammar.choice("show mask"), "show", "`mask` also masks the names of keys in `db.query.text`."),
    Row("redact", "OTEL_RUN_REDACT", grammar.redactions, (), "Regular expressions of what else must not leave, in any text of a span; `key:REGEX` masks the whole values of attributes, URL parameters and headers with such names. `off` masks nothing at all. They run in the sending thread; one that backtracks without end stops it and the program.", "SQL literals, URL credentials and secret parameters, secret headers"),
    Row("config_file", "OTEL_CONFIG_FILE", grammar.unsupported("declarative configuration"), None, "Not supported: said, and the variables of this table are used."),
)  # fmt: skip
