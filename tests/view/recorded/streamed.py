"""An answer that comes in parts, through a generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator


def main(url: str) -> None:
    """Use what comes."""
    with httpx.Client(verify=False) as client:
        for part in parts(client, f"{url}/parts/5"):
            use(client, url, part)


def parts(client: httpx.Client, url: str) -> Iterator[bytes]:
    """Give the parts as they come."""
    with client.stream("GET", url) as answer:
        yield from answer.iter_raw(2)


def use(client: httpx.Client, url: str, part: bytes) -> None:
    """Ask what a part means."""
    client.get(f"{url}/meaning/{part.decode()}")
