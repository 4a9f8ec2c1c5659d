"""Three requests side by side, then one that is given up, then one that nobody waits for while another is answered."""

from __future__ import annotations

import asyncio
import contextlib

import httpx


async def main(url: str) -> None:
    """Do it all."""
    async with httpx.AsyncClient(verify=False) as client:
        await asyncio.gather(*(fetch(client, f"{url}/sleep/{time}") for time in (60, 120, 180)))
        await hurried(client, f"{url}/sleep/500")
        waiting = asyncio.create_task(fetch(client, f"{url}/sleep/150"))
        await fetch(client, f"{url}/sleep/50")
        await waiting


async def hurried(client: httpx.AsyncClient, url: str) -> None:
    """Wait for a twentieth of a second."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(fetch(client, url), 0.1)


async def fetch(client: httpx.AsyncClient, url: str) -> None:
    """Wait for one answer."""
    await client.get(url)
