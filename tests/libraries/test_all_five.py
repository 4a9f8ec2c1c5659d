"""One program, five libraries, both protocols of OTLP: all arrives, alike, at a receiver that is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced
    from servers.web import Web

PROGRAM = """
import sys
import httpx, psycopg, redis, requests, sqlalchemy

web, dsn, cache = sys.argv[1:]
requests.get(web + "/echo")
httpx.post(web + "/status/503")
with psycopg.connect(dsn) as connection:
    connection.execute("SELECT 'literal'")
with sqlalchemy.create_engine(dsn.replace("postgresql:", "postgresql+psycopg:")).connect() as connection:
    connection.execute(sqlalchemy.text("SELECT 42"))
redis.Redis.from_url(cache).set("key", "secret")
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_every_library_over_every_protocol(
    protocol: str, compression: str, postgres: Server, valkey: Server, web: Web, traced: Traced
) -> None:
    env = {"OTEL_EXPORTER_OTLP_COMPRESSION": compression, "OTEL_SERVICE_NAME": "five"}
    run = traced(PROGRAM, web.url, postgres.url, valkey.url, protocol=protocol, env=env)
    assert (run.returncode, run.stderr) == (0, ""), run

    def told(library: str) -> list[tuple[str, str, Any]]:
        key = "http.response.status_code" if library in ("requests", "httpx") else "db.query.text"
        wanted = f"otel_run.instrumentors.{library}"
        return [(s.name, s.status, s.attributes.get(key)) for s in run.spans if s.scope == wanted]

    assert told("requests") == [("GET", "UNSET", 200)]
    assert told("httpx") == [("POST", "ERROR", 503)]
    assert ("SELECT", "UNSET", "SELECT ?") in told("psycopg")
    # psycopg is below SQLAlchemy here, and its span is not made twice.
    assert [name for name, _, _ in told("psycopg")].count("SELECT") == 1
    assert told("sqlalchemy")[0] == ("SELECT", "UNSET", "SELECT ?")
    assert told("redis") == [("SET", "UNSET", "SET key ?")]
    assert {span.kind for span in run.spans} == {"CLIENT"}
    assert {span.resource["service.name"] for span in run.spans} == {"five"}
    assert "literal" not in str(run.spans)
    assert "secret" not in str(run.spans)
