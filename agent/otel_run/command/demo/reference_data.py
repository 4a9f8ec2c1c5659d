"""The demo's downstream service, which knows instruments and prices, slowly. It knows nothing of tracing either."""

from __future__ import annotations

import sys
import time

from flask import Flask
from werkzeug.serving import make_server

NAMES = {"AAPL": "Apple Inc."}
PRICES = {"XNAS": 228.52, "BATS": 228.49}

app = Flask(__name__)


@app.post("/v1/instruments/<symbol>")
def load_instrument(symbol: str) -> dict[str, str]:
    """Look an instrument up at a vendor, who takes his time."""
    time.sleep(0.2)
    return {"symbol": symbol, "name": NAMES.get(symbol, symbol)}


@app.get("/v1/quotes/<symbol>/<venue>")
def get_quote(symbol: str, venue: str) -> dict[str, str | float]:
    """Return the price at one venue."""
    time.sleep(0.03)
    return {"symbol": symbol, "venue": venue, "price": PRICES[venue]}


if __name__ == "__main__":
    port = int(sys.argv[1])
    server = make_server("127.0.0.1", port, app, threaded=True)
    print(f"listening on {port}", flush=True)
    server.serve_forever()
