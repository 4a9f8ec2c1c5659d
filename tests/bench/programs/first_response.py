"""A Flask application answers its first request over a socket, and tells the CPU that its process has used by then."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.request

import flask
import waitress

application = flask.Flask("shop")


@application.get("/orders/<int:number>")
def order(number: int) -> dict[str, int]:
    """Answer one order."""
    return {"order": number}


if __name__ == "__main__":
    server = waitress.create_server(application, host="127.0.0.1", port=0, threads=1)
    threading.Thread(target=server.run, daemon=True).start()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.effective_port}/orders/1") as answer:
        assert json.load(answer) == {"order": 1}
    print(json.dumps({"cpu": time.process_time()}), flush=True)
    # How a process ends is measured elsewhere.
    os._exit(0)
