"""An order service without a line about tracing shows its own steps as spans, by one environment variable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servers.serving import Serving

if TYPE_CHECKING:
    from pathlib import Path

    from servers.receiver import Receiver, Span
    from servers.web import Web

APPLICATION = """
import flask
import orders

app = flask.Flask("orders")

@app.post("/orders/<symbol>")
def create(symbol):
    return {"order": orders.process_order(symbol, side="buy")}
"""
ORDERS = """
import os
from dataclasses import dataclass

import requests

import pricing


@dataclass(frozen=True)
class Order:
    symbol: str
    side: str

    def validate(self):
        if not self.symbol.isalpha():
            raise ValueError(f"no symbol: {self.symbol}")

    def enrich(self):
        return pricing.quote(self.symbol)


def process_order(symbol, side, *, urgent=False):
    order = Order(symbol, side)
    order.validate()
    price = order.enrich()
    return _book(order, price)


def _book(order, price):
    return f"{order.side} {order.symbol} at {price}"
"""
PRICING = {
    "__init__.py": "from pricing.market import quote\n",
    "market.py": """
import os
import requests

def quote(symbol):
    return best([requests.get(f"{os.environ['WEB']}/status/200").status_code for venue in range(2)])

def best(prices):
    return min(prices)
""",
}
STEPS = "orders:process_order(symbol,side)=ProcessOrder,orders:Order.*,pricing.*"


def test_a_request_shows_the_steps_of_the_business(receiver: Receiver, web: Web, tmp_path: Path) -> None:
    serving = _serving(receiver, tmp_path)
    with serving(
        APPLICATION, "gunicorn", "app:app", "--bind", "127.0.0.1:{port}", env={"WEB": web.url, "OTEL_RUN_TRACE": STEPS}
    ) as server:
        assert server.ask("/orders/AAPL", "POST").endswith(b'{"order":"buy AAPL at 200"}\n')
        assert server.status("/orders/4711", "POST") == 500
    assert _tree(server.spans) == [
        "POST /orders/<symbol>",
        "  ProcessOrder",
        "    Order.validate",
        "    Order.enrich",
        "      quote",
        "        GET",
        "        GET",
        "        best",
        "POST /orders/<symbol>",
        "  ProcessOrder",
        "    Order.validate",
    ], server
    good, bad = (span for span in server.spans if span.name == "ProcessOrder")
    path = str(tmp_path / "orders.py")
    assert good.attributes == {
        "symbol": "AAPL",
        "side": "buy",
        "code.function.name": "orders.process_order",
        "code.file.path": path,
        "code.line.number": 1 + ORDERS.splitlines().index("def process_order(symbol, side, *, urgent=False):"),
    }
    assert (good.kind, good.status, bad.status) == ("INTERNAL", "UNSET", "ERROR")
    # The exception is told once, where it was raised.
    told = [span.name for span in server.spans for name, _ in span.events if name == "exception"]
    assert told == ["Order.validate"], server
    assert {span.attributes["error.type"] for span in server.spans if span.status == "ERROR"} == {"ValueError"}


def _serving(receiver: Receiver, folder: Path) -> Serving:
    (folder / "orders.py").write_text(ORDERS)
    (folder / "pricing").mkdir()
    for name, text in PRICING.items():
        (folder / "pricing" / name).write_text(text)
    return Serving(receiver, folder)


def _tree(spans: list[Span], parent: str = "", indent: str = "") -> list[str]:
    lines = []
    for span in (span for span in spans if span.parent_id == parent):
        lines += [indent + span.name, *_tree(spans, span.span_id, indent + "  ")]
    return lines
