"""A real PostgreSQL and a real Valkey, with what the application asks them for, until stdin is closed."""

from __future__ import annotations

import json
import signal
import sys

import psycopg
import redis

from otel_run.command.demo import servers

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with servers.postgres() as postgres, servers.valkey() as valkey:
        with psycopg.connect(postgres.url) as connection:
            connection.execute("CREATE TABLE orders (id int PRIMARY KEY, article text, customer text)")
            connection.execute(
                "INSERT INTO orders SELECT n, 'article ' || n, 'customer ' || n FROM generate_series(0, 99) n"
            )
        with redis.Redis.from_url(valkey.url) as cache:
            cache.mset({f"stock:{number}": number for number in range(100)})
        print(json.dumps({"postgres": postgres.url, "valkey": valkey.url}), flush=True)
        sys.stdin.read()
