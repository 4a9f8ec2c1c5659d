"""The demo's downstream service, which knows instruments, slowly. It knows nothing of tracing either."""

from __future__ import annotations

import sys
import time

from flask import Flask, abort
from werkzeug.serving import make_server

NAMES = {"AAPL": "Apple Inc.", "MSFT": "Microsoft Corp."}

app = Flask(__name__)


@app.post("/v1/instruments/<symbol>")
def load_instrument(symbol: str) -> dict[str, str]:
    """Look an instrument up at a vendor, who takes his time."""
    if symbol not in NAMES:
        abort(404)
    time.sleep(0.32)
    return {"symbol": symbol, "name": NAMES[symbol]}


if __name__ == "__main__":
    port = int(sys.argv[1])
    server = make_server("127.0.0.1", port, app, threaded=True)
    print(f"listening on {port}", flush=True)
    server.serve_forever()
