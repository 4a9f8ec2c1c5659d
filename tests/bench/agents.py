"""The agents that are compared: how each is installed, started, switched between modes, and told where to send.

All are asked for the same spans, one for each operation of the application, so that none is measured on work
that another leaves out. What is set for that reason stands under `same`, and `--as-installed` leaves it away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MODES = ("100 %", "10 %", "0 %", "off")
LIBRARIES = ("flask", "redis", "psycopg", "sqlalchemy", "requests", "httpx")
# Below 2.1, as contrib's instrumentor of SQLAlchemy refuses that one.
APPLICATION = ("flask", "waitress", "redis", "psycopg[binary]", "sqlalchemy<2.1", "requests", "httpx")

# The route itself, one of Redis, two of the database, two of HTTP: what a trace of a request must tell.
OPERATIONS = 6


@dataclass(frozen=True)
class Agent:
    """One way to run a program."""

    name: str
    launcher: str = ""  # of the environment's bin folder; none is a plain interpreter
    requirements: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    endpoint: str = ""  # the variable that takes the URL of the sink
    is_checkout: bool = False

    def environment(self, mode: str, sink: int, as_installed: bool) -> dict[str, str]:
        """Return the variables for a run in `mode` whose spans go to the loopback port `sink`."""
        if not self.launcher:
            return {}
        same = {} if as_installed else self.same
        return {**self.settings, **same, **self.modes[mode], self.endpoint: f"http://127.0.0.1:{sink}"}


def _ratio(argument: str) -> dict[str, str]:
    return {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": argument}


def _rate(rate: str) -> dict[str, str]:
    # The older name and the newer one: which of them counts depends on the release.
    rules = f'[{{"sample_rate": {rate}}}]'
    return {"DD_TRACE_SAMPLE_RATE": rate, "DD_TRACE_SAMPLING_RULES": rules, "DD_TRACE_RATE_LIMIT": "-1"}


_OTLP = {
    "OTEL_SERVICE_NAME": "shop",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
}
_OTEL_MODES = {"100 %": {}, "10 %": _ratio("0.1"), "0 %": _ratio("0"), "off": {"OTEL_SDK_DISABLED": "true"}}

BARE = Agent("no agent")
OURS = Agent(
    "otel-run",
    "otel-run",
    settings=_OTLP,
    modes=_OTEL_MODES,
    endpoint="OTEL_EXPORTER_OTLP_ENDPOINT",
    is_checkout=True,
)
OTEL = Agent(
    "opentelemetry-instrument",
    "opentelemetry-instrument",
    (
        "opentelemetry-distro",
        "opentelemetry-exporter-otlp-proto-http",
        *(f"opentelemetry-instrumentation-{library}" for library in LIBRARIES),
    ),
    settings=_OTLP,
    # Beside the driver's span for the same query it makes one of its own, and one for each checkout of a pool.
    same={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "sqlalchemy"},
    modes=_OTEL_MODES,
    endpoint="OTEL_EXPORTER_OTLP_ENDPOINT",
)
DDTRACE = Agent(
    "ddtrace",
    "ddtrace-run",
    ("ddtrace",),
    settings={
        "DD_SERVICE": "shop",
        # What would talk to its maker, or to an agent that is not there: nothing but tracing is measured.
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        "DD_CRASHTRACKING_ENABLED": "false",
        "DD_TRACE_STARTUP_LOGS": "false",
    },
    modes={"100 %": {}, "10 %": _rate("0.1"), "0 %": _rate("0"), "off": {"DD_TRACE_ENABLED": "false"}},
    endpoint="DD_TRACE_AGENT_URL",
)
AGENTS = (OURS, OTEL, DDTRACE)
EVERYBODY = (BARE, *AGENTS)
