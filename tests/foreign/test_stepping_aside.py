"""Programs that apply contrib's instrumentors by themselves: their hooks run, and each call is one span."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced
    from servers.web import Web

HOOK = """
import sys
def hook(span, *args):
    span.set_attribute("hooked", True)
async def hook_async(span, *args):
    span.set_attribute("hooked", True)
web, dsn, cache = sys.argv[1:]
"""

REDIS = """
import redis
client = redis.Redis.from_url(cache)
from opentelemetry.instrumentation.redis import RedisInstrumentor
{apply}
client.get("key")
with client.pipeline(transaction=False) as pipeline:
    pipeline.get("key").execute()
"""

# name -> (program, what contrib calls its spans)
PROGRAMS = {
    "redis": (REDIS.format(apply="RedisInstrumentor().instrument(request_hook=hook)"), ["GET", "GET"]),
    "redis, one client": (
        REDIS.format(apply="RedisInstrumentor.instrument_client(client, request_hook=hook)"),
        ["GET", "GET"],
    ),
    "requests": (
        """
import requests
from opentelemetry.instrumentation.requests import RequestsInstrumentor
RequestsInstrumentor().instrument(request_hook=hook)
requests.get(web)
""",
        ["GET"],
    ),
    "requests, before it is imported": (
        """
from opentelemetry.instrumentation.requests import RequestsInstrumentor
RequestsInstrumentor().instrument(request_hook=hook)
import requests
requests.get(web)
""",
        ["GET"],
    ),
    "httpx": (
        """
import httpx
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
HTTPXClientInstrumentor().instrument(request_hook=hook)
httpx.get(web)
""",
        ["GET"],
    ),
    "httpx, before it is imported": (
        """
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
HTTPXClientInstrumentor().instrument(request_hook=hook)
import httpx
httpx.get(web)
""",
        ["GET"],
    ),
    "httpx, one client": (
        """
import asyncio
import httpx
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
with httpx.Client() as client:
    HTTPXClientInstrumentor().instrument_client(client, request_hook=hook)
    client.get(web)
async def main():
    async with httpx.AsyncClient() as client:
        HTTPXClientInstrumentor.instrument_client(client, request_hook=hook_async)
        await client.get(web)
asyncio.run(main())
""",
        ["GET", "GET"],
    ),
    "sqlalchemy": (
        """
import sqlalchemy
engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
# Its version range ends below 2.1, and there it does nothing.
SQLAlchemyInstrumentor().instrument(engine=engine, skip_dep_check=True, enable_commenter=True)
with engine.connect() as connection:
    connection.connection.driver_connection.set_trace_callback(lambda sql: print("traceparent" in sql))
    connection.execute(sqlalchemy.text("SELECT 1"))
""",
        ["SELECT"],
    ),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_the_program_applies_by_itself_makes_the_only_span(
    program: str, web: Web, postgres: Server, valkey: Server, traced: Traced
) -> None:
    source, names = PROGRAMS[program]
    library = program.partition(",")[0]
    run = traced(
        HOOK + source,
        web.url + "/echo",
        postgres.url,
        valkey.url,
        env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "sqlite3"},
    )
    assert (run.returncode, run.stderr) == (0, ""), run
    calls = [span for span in run.spans if span.name != "connect"]
    assert [span.name for span in calls] == names, run
    # What the program has asked for: a hook, which contrib's for redis has for no pipeline, or a comment in the SQL.
    assert "hooked" in calls[0].attributes or "True" in run.stdout, run
    assert {span.scope.partition(".engine")[0] for span in calls} == {f"opentelemetry.instrumentation.{library}"}


@pytest.mark.parametrize(
    "apply",
    [
        "PsycopgInstrumentor().instrument(enable_commenter=True)",
        "connection = PsycopgInstrumentor().instrument_connection(connection, enable_commenter=True)",
    ],
)
def test_psycopg_applied_by_the_program_makes_the_only_span(apply: str, postgres: Server, traced: Traced) -> None:
    run = traced(
        f"""
import sys, psycopg
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
connection = psycopg.connect(sys.argv[1])
{apply}
if "instrument_connection" not in {apply!r}:
    connection = psycopg.connect(sys.argv[1])
with connection.cursor() as cursor:
    (text,) = cursor.execute("SELECT current_query()").fetchone()
    print("traceparent" in text)
""",
        postgres.url,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "True\n", ""), run
    (span,) = [span for span in run.spans if "current_query" in str(span.attributes)]
    assert span.scope == "opentelemetry.instrumentation.psycopg"


def test_other_clients_than_the_one_that_the_program_instruments_stay_ours(
    web: Web, valkey: Server, traced: Traced
) -> None:
    run = traced(
        """
import sys, httpx, redis
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
HTTPXClientInstrumentor().instrument_client(httpx.Client())
RedisInstrumentor().instrument_client(redis.Redis.from_url(sys.argv[2]))
httpx.get(sys.argv[1])
redis.Redis.from_url(sys.argv[2]).get("key")
""",
        web.url + "/echo",
        valkey.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert [span.scope for span in run.spans] == ["otel_run.instrumentors.httpx", "otel_run.instrumentors.redis"]


def test_one_that_refuses_the_version_leaves_the_span_to_us(traced: Traced) -> None:
    run = traced(
        """
import sqlalchemy
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
SQLAlchemyInstrumentor.instrumentation_dependencies = lambda self: ("sqlalchemy < 1",)
SQLAlchemyInstrumentor().instrument()
with sqlalchemy.create_engine("sqlite://").connect() as connection:
    connection.execute(sqlalchemy.text("SELECT 1"))
"""
    )
    assert run.returncode == 0
    assert "otel-run" not in run.stderr
    assert [(span.scope, span.name) for span in run.spans if span.name == "SELECT"] == [
        ("otel_run.instrumentors.sqlalchemy", "SELECT")
    ]


def test_one_that_we_have_applied_is_applied_anew_with_the_program_s_options(web: Web, traced: Traced) -> None:
    run = traced(
        """
import sys, urllib3
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
def hook(span, *args):
    span.set_attribute("hooked", True)
URLLib3Instrumentor().instrument(request_hook=hook)
urllib3.PoolManager().request("GET", sys.argv[1])
URLLib3Instrumentor().uninstrument()
urllib3.PoolManager().request("GET", sys.argv[1])
""",
        web.url + "/echo",
    )
    assert (run.returncode, run.stderr) == (0, "")
    (span,) = run.spans
    assert span.attributes["hooked"] is True


def test_the_report_says_which_is_used_and_which_stands_aside(web: Web, traced: Traced) -> None:
    run = traced(
        """
import sys, requests
from opentelemetry.instrumentation.requests import RequestsInstrumentor
RequestsInstrumentor().instrument()
requests.get(sys.argv[1])
RequestsInstrumentor().uninstrument()
requests.get(sys.argv[1])
""",
        web.url + "/echo",
        env={"OTEL_RUN_DEBUG": "true"},
    )
    lines = run.stderr.splitlines()
    assert "otel-run: requests: chosen (otel-run, not opentelemetry-instrumentation-requests)" in lines
    applied = "opentelemetry.instrumentation.requests.RequestsInstrumentor"
    assert f"otel-run: requests: stepped aside (the program applies {applied} itself)" in lines
    # Taken away again, ours doesn't come back: contrib's for urllib3, below, is not suppressed any more.
    assert not [span for span in run.spans if span.scope.startswith("otel_run.")]
