"""Two services, both under `otel-run`: one calls the other, and it is one trace."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from servers.serving import Serving

FRONT = """
import os
import flask
import requests

app = flask.Flask("front")

@app.get("/orders/<number>")
def order(number):
    return requests.get(os.environ["BACK"] + "/items/" + number, timeout=10).text
"""
BACK = """
from fastapi import FastAPI
from opentelemetry import trace

app = FastAPI()

@app.get("/items/{number}")
async def item(number: int):
    with trace.get_tracer("app").start_as_current_span("work"):
        return {"number": number}
"""
UNDER_GUNICORN = ("gunicorn", "app:app", "--bind", "127.0.0.1:{port}")
UNDER_WAITRESS = ("waitress-serve", "--listen=127.0.0.1:{port}", "app:app")


@pytest.fixture
def back(serving: Serving, tmp_path: Path) -> Serving:
    """Give a function that runs servers in a folder of their own."""
    other = copy(serving)
    other.folder = tmp_path / "back"
    other.folder.mkdir()
    return other


def test_a_call_from_one_service_to_another_is_one_trace(serving: Serving, back: Serving) -> None:
    with (
        back(BACK, "uvicorn", "app:app", "--port", "{port}") as behind,
        serving(FRONT, *UNDER_GUNICORN, env={"BACK": behind.url}) as server,
    ):
        assert server.ask("/orders/7").endswith(b'{"number":7}')
        server.wait_for(2)
    asked, calling = server.spans
    answering, working = behind.spans
    assert (asked.name, asked.kind, asked.parent_id) == ("GET /orders/<number>", "SERVER", ""), server
    assert (calling.name, calling.kind, calling.parent_id) == ("GET", "CLIENT", asked.span_id), server
    assert (answering.name, answering.kind, answering.parent_id) == ("GET /items/{number}", "SERVER", calling.span_id)
    assert (working.name, working.parent_id) == ("work", answering.span_id), behind
    assert len({span.trace_id for span in (asked, calling, answering, working)}) == 1
    assert calling.attributes["url.full"] == f"{behind.url}/items/7"


def test_nothing_below_an_excluded_request_is_traced_in_the_other_service_either(
    serving: Serving, back: Serving
) -> None:
    excluding = {"OTEL_PYTHON_EXCLUDED_URLS": "/orders/1"}
    with (
        back(BACK, "uvicorn", "app:app", "--port", "{port}") as behind,
        serving(FRONT, *UNDER_WAITRESS, env={"BACK": behind.url, **excluding}) as server,
    ):
        for number in (1, 2, 1):
            assert server.status(f"/orders/{number}") == 200
    assert [span.attributes.get("url.path") for span in server.requests] == ["/orders/2"], server
    assert [span.attributes.get("url.path") for span in behind.requests] == ["/items/2"], behind
    assert len({span.trace_id for span in server.spans + behind.spans}) == 1
