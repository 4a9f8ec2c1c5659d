"""The demo's order service: takes orders over HTTP, by the standard library alone. It knows nothing of tracing."""

from __future__ import annotations

import argparse
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import orders  # type: ignore[import-not-found]  # it stands beside this program, as those of users do
import psycopg
import redis
import requests

if TYPE_CHECKING:
    from otel_run.command.demo.orders import Desk


def answer(desk: Desk, body: bytes) -> tuple[int, dict[str, Any]]:
    """Return the status and the content of the answer to one order."""
    try:
        return 201, orders.process_order(desk, orders.Order(**json.loads(body)))
    except (ValueError, TypeError) as reason:
        return 422, {"refused": str(reason)}
    except (LookupError, requests.RequestException) as reason:
        return 502, {"failed": str(reason)}


def serve(desk: Desk, port: int) -> None:
    """Take orders until interrupted, one at a time."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, content = answer(desk, self.rfile.read(int(self.headers["Content-Length"])))
            payload = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

    server = HTTPServer(("127.0.0.1", port), Handler)
    print(f"listening on {port}", flush=True)
    server.serve_forever()


def main() -> None:
    """Connect, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", required=True, metavar="URL")
    parser.add_argument("--cache", required=True, metavar="URL")
    parser.add_argument("--reference-data", required=True, metavar="URL")
    given = parser.parse_args()
    cache = redis.Redis.from_url(given.cache, decode_responses=True)
    cache.ping()  # better to fail now than at the first order
    serve(orders.Desk(psycopg.connect(given.database, autocommit=True), cache, given.reference_data), given.port)


if __name__ == "__main__":
    main()
