"""Five jobs for two threads: two begin together, and each of the others when one of those before it is done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import requests


def main(url: str) -> None:
    """Do it all."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(job, (f"{url}/sleep/{time}" for time in (60, 150, 160, 150, 10))))


def job(url: str) -> None:
    """Wait for one answer."""
    requests.get(url, timeout=10)
