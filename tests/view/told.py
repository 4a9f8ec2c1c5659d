"""Traces to tell, as lists of spans: made by hand, with times that a person can add up.

Times are in milliseconds from the start of the trace, which is always the same moment; attributes are those that
the agent's own instrumentors set. `tree.traces(told.order())[0]` is a trace.
"""

from __future__ import annotations

from typing import Any

from otel_run.view.span import CLIENT, CONSUMER, ERROR, INTERNAL, LANE, PRODUCER, SERVER, Event, Span

MS = 1_000_000
# 2026-11-20, 06:13:20 UTC.
START = 1_795_155_200 * 1000 * MS
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Spans(list[Span]):
    """A trace that grows, one call for each span; a call returns the span's id."""

    def __init__(self, trace: str = TRACE, service: str = "orders", process: str = "orders-1") -> None:
        super().__init__()
        self.trace, self.service, self.process = trace, service, process

    def add(
        self,
        name: str,
        start: float,
        end: float,
        parent: str = "",
        lane: str = "thread-1",
        **fields: Any,
    ) -> str:
        """Add a span; `fields` are Span's own, and `attributes` need not hold the lane."""
        attributes = {**({LANE: lane} if lane else {}), **fields.pop("attributes", {})}
        known = {"kind": INTERNAL, "service": self.service, "process": self.process, **fields}
        times = START + round(start * MS), START + round(end * MS)
        span_id = f"{len(self) + 1:016x}"
        self.append(Span(self.trace, span_id, parent, name, *times, attributes=attributes, **known))
        return span_id

    def code(self, function: str, start: float, end: float, parent: str = "", **fields: Any) -> str:
        """Add a call of a function of the program's own."""
        return self.add(function, start, end, parent, attributes={"code.function.name": f"orders.{function}"}, **fields)

    def sql(self, text: str, start: float, end: float, parent: str, summary: str = "", **fields: Any) -> str:
        """Add a statement to PostgreSQL."""
        operation = text.split()[0]
        attributes = {
            "db.system.name": "postgresql",
            "db.namespace": "orders",
            "db.query.text": text,
            "db.query.summary": summary or operation,
            "db.operation.name": operation,
            "server.address": "127.0.0.1",
            "server.port": 5432,
        }
        return self.add(summary or operation, start, end, parent, kind=CLIENT, attributes=attributes, **fields)

    def redis(self, text: str, start: float, end: float, parent: str, rows: int | None = None, **fields: Any) -> str:
        """Add a command to Redis; `rows` are those that came back."""
        operation = text.split()[0]
        attributes: dict[str, Any] = {
            "db.system.name": "redis",
            "db.namespace": "0",
            "db.operation.name": operation,
            "db.query.text": text,
            "server.address": "127.0.0.1",
            "server.port": 6379,
        }
        if rows is not None:
            attributes["db.response.returned_rows"] = rows
        return self.add(operation, start, end, parent, kind=CLIENT, attributes=attributes, **fields)

    def call(
        self, method: str, url: str, start: float, end: float, parent: str, answer: int = 200, **fields: Any
    ) -> str:
        """Add an HTTP request that this service sent."""
        attributes = {
            "http.request.method": method,
            "url.full": url,
            "server.address": url.split("/")[2],
            "http.response.status_code": answer,
            **fields.pop("attributes", {}),
        }
        if answer >= 400:
            attributes["error.type"] = str(answer)
            fields["status"] = ERROR
        return self.add(method, start, end, parent, kind=CLIENT, attributes=attributes, **fields)

    def served(
        self, method: str, route: str, start: float, end: float, parent: str = "", answer: int = 200, **fields: Any
    ) -> str:
        """Add an HTTP request that came to a service."""
        attributes = {
            "http.request.method": method,
            "http.route": route,
            "url.path": route.replace("{id}", "17"),
            "url.scheme": "http",
            "http.response.status_code": answer,
        }
        if answer >= 500:
            attributes["error.type"] = str(answer)
            fields["status"] = ERROR
        return self.add(f"{method} {route}", start, end, parent, kind=SERVER, attributes=attributes, **fields)


def order() -> list[Span]:
    """One order: a cache that has not got it, a slow service to ask instead, and a slow write."""
    spans = Spans()
    root = spans.code("ProcessOrder", 0, 450)
    spans.code("validate", 1, 2, root)
    enrich = spans.code("enrichOrder", 4, 384, root)
    spans.sql("SELECT counterparty FROM counterparties WHERE id = ?", 5, 7, enrich, "SELECT counterparties")
    spans.redis("GET cache:instrument:AAPL", 8, 53, enrich, rows=0)
    spans.call("POST", "http://reference-data/v1/instruments/AAPL", 53.5, 383.5, enrich)
    execute = spans.code("executeOrder", 388, 448, root)
    spans.sql("BEGIN", 388, 389, execute)
    insert = "INSERT INTO orders (id, side, qty, px) VALUES (?, ?, ?, ?)"
    spans.sql(insert, 389, 444, execute, "INSERT orders")
    spans.sql("COMMIT", 444, 448, execute)
    return spans


def n_plus_one(products: int = 48) -> list[Span]:
    """A list is read with one query, and then each of its products with one more."""
    spans = Spans()
    root = spans.served("GET", "/baskets/{id}", 0, 62)
    spans.sql("SELECT * FROM basket_items WHERE basket_id = ?", 1, 2.2, root, "SELECT basket_items")
    one = 38 / products
    for number in range(products):
        at = 2.5 + number * one
        spans.sql("SELECT * FROM products WHERE id = ?", at, at + one, root, "SELECT products")
    spans.add("render", 57, 61, root)
    return spans


def retried() -> list[Span]:
    """Three requests side by side, of which one fails, is sent again and fails again."""
    spans = Spans()
    root = spans.served("POST", "/quote", 0, 400, answer=502)
    spans.call("GET", "http://px-a/quote", 5, 205, root, lane="job-1")
    spans.call("GET", "http://px-b/quote", 5.2, 305.2, root, lane="job-2")
    spans.call("GET", "http://px-c/quote", 5.4, 105.4, root, answer=503, lane="job-3")
    again = {"http.request.resend_count": 1}
    spans.call("GET", "http://px-c/quote", 110, 395, root, answer=502, lane="job-3", attributes=again)
    return spans


def failed() -> list[Span]:
    """An exception of the deepest span that went through all of them."""
    spans = Spans()
    raised = {
        "exception.type": "psycopg.errors.UniqueViolation",
        "exception.message": 'duplicate key value violates unique constraint "orders_pkey"\nDETAIL: Key (id)=(7)',
    }
    root = spans.served("POST", "/orders", 0, 40, answer=500)
    save = spans.code("save", 2, 30, root, status=ERROR)
    spans[-1].attributes = {**spans[-1].attributes, "error.type": "psycopg.errors.UniqueViolation"}
    spans.sql("INSERT INTO orders (id) VALUES (?)", 3, 28, save, "INSERT orders", status=ERROR)
    wrong = {"error.type": "psycopg.errors.UniqueViolation", "db.response.status_code": "23505"}
    spans[-1].attributes = {**spans[-1].attributes, **wrong}
    spans[-1].events = [Event("exception", START + 28 * MS, raised)]
    return spans


def gathered() -> list[Span]:
    """asyncio.gather: a task of three steps, of which only the first and the last are spans, beside one of one step."""
    spans = Spans()
    root = spans.code("main", 0, 500, lane="task-1")
    spans.code("foo1", 0, 100, root, lane="task-2")
    spans.code("foo2", 0, 200, root, lane="task-3")
    spans.code("foo3", 200, 500, root, lane="task-2")
    return spans


def distributed() -> list[Span]:
    """The order of one service, and what the service does that it asks."""
    spans = Spans()
    spans.extend(order())
    asked = next(span for span in spans if span.kind == CLIENT and "url.full" in span.attributes)
    theirs: dict[str, Any] = {"service": "reference-data", "process": "reference-data-1", "lane": "thread-7"}
    come = spans.served("POST", "/v1/instruments/{id}", 55, 380, asked.id, **theirs)
    spans.sql("SELECT * FROM instruments WHERE symbol = ?", 57, 375, come, "SELECT instruments", **theirs)
    sent = spans.add("publish prices", 376, 377, come, kind=PRODUCER, **theirs)
    reader = {**theirs, "service": "prices", "process": "prices-1", "lane": "thread-9"}
    spans.add("process prices", 378, 600, sent, kind=CONSUMER, **reader)
    return spans


def torn() -> list[Span]:
    """Half of a trace: a span that is not yet over, and one whose parent has not come."""
    spans = Spans()
    root = spans.code("ProcessOrder", 0, 3200, is_open=True)
    spans.call("POST", "http://reference-data/v1/instruments/AAPL", 300, 3200, root, is_open=True)
    spans.code("validate", 1, 2, root)
    spans.sql("SELECT * FROM instruments", 400, 500, "feedfeedfeedfeed", "SELECT instruments")
    return spans


def deep(levels: int = 40) -> list[Span]:
    """Each level calls the next one; the last but two also logs something, which takes no time to speak of."""
    spans = Spans()
    parent = ""
    for level in range(levels):
        parent = spans.code(f"level{level}", level, 2 * levels - level, parent)
    spans.code("log", levels - 3, levels - 2.5, spans[levels - 3].id)
    return spans


def wide(children: int = 10_000) -> list[Span]:
    """One span with very many below it, no two of which have the same name."""
    spans = Spans()
    root = spans.code("main", 0, children)
    for number in range(children):
        spans.code(f"step{number}", number, number + 0.9, root)
    return spans


def single() -> list[Span]:
    """A trace of one span."""
    spans = Spans()
    spans.code("main", 0, 12)
    return spans


STORIES = {
    "order": order,
    "n_plus_one": n_plus_one,
    "retried": retried,
    "failed": failed,
    "gathered": gathered,
    "distributed": distributed,
    "torn": torn,
    "deep": deep,
    "single": single,
}
