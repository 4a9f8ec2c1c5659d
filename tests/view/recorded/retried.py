"""What is sent again, by a library and by the program; and what only looks like it: sent elsewhere, and polled."""

from __future__ import annotations

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry


def main(url: str) -> None:
    """Do it all."""
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(3, status_forcelist=[503], backoff_factor=0.01)))
        by_library(session, url)
    with requests.Session() as session:
        by_hand(session, url)
        sent_on(session, url)
        polled(session, url)


def by_library(session: requests.Session, url: str) -> None:
    """Ask once; the library asks again."""
    session.get(f"{url}/fails/1")


def by_hand(session: requests.Session, url: str) -> None:
    """Ask until there is a good answer."""
    while not session.get(f"{url}/fails/2").ok:
        pass


def sent_on(session: requests.Session, url: str) -> None:
    """Ask for what is elsewhere, three times over."""
    session.get(f"{url}/sent-on/3")


def polled(session: requests.Session, url: str) -> None:
    """Ask until it is there."""
    while not session.get(f"{url}/missing/2").ok:
        pass
