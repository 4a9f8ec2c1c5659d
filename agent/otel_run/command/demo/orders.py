"""The demo's order service: takes an order, enriches it, writes it down. A program that knows nothing of tracing."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import psycopg
import redis
import requests
import sqlalchemy as sa
from flask import Flask, current_app, request
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from werkzeug.serving import make_server

VENUES = ("XNAS", "BATS")
INSTRUMENTS_ARE_FRESH_FOR = 300  # seconds

app = Flask(__name__)


class Base(DeclarativeBase):
    """The tables."""


class Counterparty(Base):
    """Whom we deal with."""

    __tablename__ = "counterparties"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class StoredOrder(Base):
    """What was ordered."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    counterparty_id: Mapped[int] = mapped_column(sa.ForeignKey(Counterparty.id))
    symbol: Mapped[str]
    side: Mapped[str]
    quantity: Mapped[int]
    price: Mapped[float]


@dataclass
class Order:
    """An order as it came in."""

    counterparty: int
    symbol: str
    side: str
    quantity: int


@app.post("/orders")
def post_order() -> tuple[dict[str, Any], int]:
    """Take one order."""
    order = Order(**request.get_json())
    try:
        return process_order(order), 201
    except ValueError as reason:
        return {"refused": str(reason)}, 422


def process_order(order: Order) -> dict[str, Any]:
    """Carry out one order; return what is to be told of it."""
    validate(order)
    counterparty, instrument = enrich(order)
    price = asyncio.run(best_price(order.symbol, order.side))
    number = execute(order, price)
    return {"order": number, "counterparty": counterparty, "instrument": instrument, "price": price} | asdict(order)


def validate(order: Order) -> None:
    """Raise ValueError for an order that makes no sense."""
    if order.side not in ("buy", "sell"):
        raise ValueError(f"can't {order.side}")
    if order.quantity <= 0:
        raise ValueError("nothing to deal in")


def enrich(order: Order) -> tuple[str, str]:
    """Find out who is dealing, and in what."""
    with Session(current_app.config["engine"]) as session:
        counterparty = session.scalars(sa.select(Counterparty).where(Counterparty.id == order.counterparty)).one()
        return counterparty.name, instrument_name(order.symbol)


def instrument_name(symbol: str) -> str:
    """Return an instrument's name: from the cache, else from the service that knows."""
    cache = current_app.config["cache"]
    key = f"instrument:{symbol}"
    if cached := cache.get(key):
        return str(cached)
    response = requests.post(f"{current_app.config['reference_data']}/v1/instruments/{symbol}", json={}, timeout=10)
    response.raise_for_status()
    name = str(response.json()["name"])
    cache.set(key, name, ex=INSTRUMENTS_ARE_FRESH_FOR)
    return name


async def best_price(symbol: str, side: str) -> float:
    """Ask all venues at the same time."""
    async with httpx.AsyncClient(base_url=current_app.config["reference_data"]) as client:
        answers = await asyncio.gather(*(client.get(f"/v1/quotes/{symbol}/{venue}") for venue in VENUES))
    prices = [float(answer.raise_for_status().json()["price"]) for answer in answers]
    return min(prices) if side == "buy" else max(prices)


def execute(order: Order, price: float) -> int:
    """Write the order down, past the ORM; return its number."""
    statement = (
        "INSERT INTO orders (counterparty_id, symbol, side, quantity, price) VALUES (%s, %s, %s, %s, %s) RETURNING id"
    )
    with psycopg.connect(current_app.config["database"]) as connection:
        row = connection.execute(
            statement, (order.counterparty, order.symbol, order.side, order.quantity, price)
        ).fetchone()
    assert row is not None
    return int(row[0])


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", required=True, metavar="URL")
    parser.add_argument("--cache", required=True, metavar="URL")
    parser.add_argument("--reference-data", required=True, metavar="URL")
    given = parser.parse_args()
    engine = sa.create_engine(given.database.replace("postgresql://", "postgresql+psycopg://"))
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.merge(Counterparty(id=7, name="Ada & Sons"))
    app.config.update(
        engine=engine,
        database=given.database,
        cache=redis.Redis.from_url(given.cache, decode_responses=True),
        reference_data=given.reference_data,
    )
    # Better to fail now than at the first order.
    with app.app_context():
        asyncio.run(best_price("AAPL", "buy"))
    server = make_server("127.0.0.1", given.port, app, threaded=True)
    print(f"listening on {given.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
