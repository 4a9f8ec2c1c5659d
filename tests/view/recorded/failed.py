"""An error that goes through three functions, and another one that the program knows how to live with."""

from __future__ import annotations

import contextlib

import requests


def main(_: str) -> None:
    """Do it all."""
    with contextlib.suppress(requests.ConnectionError):
        ask("http://127.0.0.1:1/")
    save({})


def ask(url: str) -> None:
    """Ask where nobody listens."""
    requests.get(url, timeout=10)


def save(order: dict[str, str]) -> None:
    """Save what can't be."""
    check(order)


def check(order: dict[str, str]) -> None:
    """Raise KeyError."""
    order["id"]
