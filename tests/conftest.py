"""Fixtures for every test: real servers, a real receiver, and programs run under `otel-run`."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import pytest

from otel_run.command.demo import servers
from servers.program import Traced
from servers.receiver import Receiver, receive
from servers.web import Web, serve, serve_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")


def pytest_configure() -> None:
    """Take SIGTERM (a time limit of CI) as Ctrl-C, so that the servers are stopped then too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Server]:
    """Give a real PostgreSQL: TEST_PG_DSN (a URL), or one from the wheel."""
    with _given("TEST_PG_DSN", 5432) or _or_skip(servers.postgres) as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[servers.Server]:
    """Give a real server of Redis' protocol: TEST_REDIS_URL, or Valkey from the wheel."""
    with _given("TEST_REDIS_URL", 6379) or _or_skip(servers.valkey) as server:
        yield server


@pytest.fixture(scope="session")
def web() -> Iterator[Web]:
    """Give a real HTTP server; see servers/web.py for its paths."""
    with serve() as server:
        yield server


@pytest.fixture(scope="session")
def proxy() -> Iterator[Web]:
    """Give a forward proxy for plain HTTP."""
    with serve_proxy() as server:
        yield server


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Give a port that nobody listens on, and nobody else gets."""
    with socket.socket() as taken:
        taken.bind((servers.HOST, 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Give a third party's OTLP receiver."""
    with _or_skip(receive) as started:
        yield started


@pytest.fixture
def traced(receiver: Receiver, tmp_path: Path) -> Traced:
    """Give a function that runs a program under `otel-run`; see `Traced.__call__`."""
    return Traced(receiver, tmp_path)


def _given(variable: str, port: int) -> contextlib.AbstractContextManager[servers.Server] | None:
    url = os.environ.get(variable, "")
    if not url:
        return None
    parts = urlsplit(url)
    return contextlib.nullcontext(servers.Server(parts.hostname or "127.0.0.1", parts.port or port, url, 0))


@contextlib.contextmanager
def _or_skip(start: Callable[[], contextlib.AbstractContextManager[T]]) -> Iterator[T]:
    """Start a server, or skip by name where there is none; CI must have all, so there it is a failure."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(start())
        except (servers.Missing, servers.Failed) as why:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{start.__name__}: {why}")
        yield server
