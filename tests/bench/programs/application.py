"""The application that is measured: a Flask route that asks a cache, a database twice, and two services.

Served by waitress: one process, real threads, plain Python, a server that is used in production, and one that
none of the compared agents replaces or forks, so that the process's CPU is all there is to count.
Every client is made once, as a program does that cares for its speed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import flask
import httpx
import psycopg
import redis
import requests
import sqlalchemy
import waitress

SERVICE = os.environ["BENCH_SERVICE"]
POSTGRES = os.environ["BENCH_POSTGRES"]

application = flask.Flask("shop")
cache = redis.Redis.from_url(os.environ["BENCH_VALKEY"])
# Without transactions: what BEGIN and ROLLBACK would be in a trace differs from agent to agent.
database = psycopg.connect(POSTGRES, autocommit=True)
engine = sqlalchemy.create_engine(
    POSTGRES.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True
)
orders = sqlalchemy.table("orders", sqlalchemy.column("id"), sqlalchemy.column("customer"))
session = requests.Session()
client = httpx.Client()


@application.get("/orders/<int:number>")
def order(number: int) -> dict[str, Any]:
    """Answer one order."""
    stock = cache.get(f"stock:{number}")
    with database.cursor() as cursor:
        found = cursor.execute("SELECT id, article FROM orders WHERE id = %s", (number,)).fetchone()
    with engine.connect() as connection:
        customer = connection.execute(sqlalchemy.select(orders.c.customer).where(orders.c.id == number)).scalar_one()
    price = session.get(f"{SERVICE}/prices/{number}").json()
    rating = client.get(f"{SERVICE}/ratings/{number}").json()
    assert found is not None
    return {"stock": stock, "article": found[1], "customer": customer, "price": price, "rating": rating}


application.json.default = lambda value: value.decode()  # type: ignore[attr-defined]

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server = waitress.create_server(application, host="127.0.0.1", port=0, threads=2)
    print(json.dumps({"port": server.effective_port}), flush=True)
    server.run()
