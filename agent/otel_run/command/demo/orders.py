"""What the demo's order service does: checks an order, enriches it, writes it down. It knows nothing of tracing."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    import psycopg
    import redis

CODES = {7: bytes.fromhex("d9dc714d6715b69cff60b493dc1db455157c95932bd3e16ee737c0a10ff8f1a6")}
ROUNDS = 5000


@dataclass(frozen=True)
class Order:
    """An order as it came in; `accounts` are those that a larger one is divided among."""

    counterparty: int
    code: str
    symbol: str
    side: str
    quantity: int
    accounts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Desk:
    """What orders are dealt with by. One after another: one connection is enough."""

    database: psycopg.Connection[Any]
    cache: redis.Redis
    reference_data: str


def process_order(desk: Desk, order: Order) -> dict[str, Any]:
    """Carry out one order; return what is to be told of it."""
    validate(order)
    counterparty, instrument = enrich_order(desk, order)
    number = execute_order(desk, order)
    return {"order": number, "counterparty": counterparty, "instrument": instrument, "quantity": order.quantity}


def validate(order: Order) -> None:
    """Raise ValueError for an order that makes no sense, or that its counterparty has not given."""
    if order.side not in ("buy", "sell"):
        raise ValueError(f"can't {order.side}")
    if order.quantity <= 0:
        raise ValueError("nothing to deal in")
    if not hmac.compare_digest(CODES.get(order.counterparty, b""), digest(order.counterparty, order.code)):
        raise ValueError("not the code of this counterparty")


def digest(counterparty: int, code: str) -> bytes:
    """Return what is known of a counterparty's code: it takes a while, so that nobody tries them all."""
    return hashlib.pbkdf2_hmac("sha256", code.encode(), b"counterparty %d" % counterparty, ROUNDS)


def enrich_order(desk: Desk, order: Order) -> tuple[str, str]:
    """Find out who is dealing, and in what."""
    row = desk.database.execute(
        "SELECT counterparty FROM counterparties WHERE id = %s", (order.counterparty,)
    ).fetchone()
    if row is None:
        raise LookupError(f"no counterparty {order.counterparty}")
    for account in order.accounts:
        desk.database.execute("SELECT owner FROM accounts WHERE id = %s", (account,)).fetchone()
    return str(row[0]), instrument(desk, order.symbol)


def instrument(desk: Desk, symbol: str) -> str:
    """Return an instrument's name: from the cache, that a job fills every night, else from the service that knows."""
    if cached := desk.cache.get(f"cache:instrument:{symbol}"):
        return str(cached)
    response = requests.post(f"{desk.reference_data}/v1/instruments/{symbol}", json={}, timeout=10)
    response.raise_for_status()
    return str(response.json()["name"])


def execute_order(desk: Desk, order: Order) -> int:
    """Write the order down; return its number."""
    with desk.database.transaction():
        row = desk.database.execute(
            "INSERT INTO orders (counterparty, symbol, side, quantity) VALUES (%s, %s, %s, %s) RETURNING id",
            (order.counterparty, order.symbol, order.side, order.quantity),
        ).fetchone()
    assert row is not None
    return int(row[0])
