"""A real Chromium without a window: what it runs, what it refuses, what it asks the network for."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from playwright.sync_api import Browser, Page

LAUNCH = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable() -> str:
    """Return the browser of the system; empty if there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """Start it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=list(LAUNCH))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Opened:
    """A page that is open, and all that it did which it should not."""

    page: Page
    # Dialogs, errors, what the console was told (violations of the policy stand there too), requests.
    wrongs: list[str] = field(default_factory=list)

    def watch(self, address: str) -> None:
        """Note what goes wrong; of requests, all but those for `address` and what stands in the page itself."""
        self.page.on("dialog", self._on_dialog)
        self.page.on("pageerror", lambda error: self.wrongs.append(f"error: {error}"))
        self.page.on("console", lambda message: self.wrongs.append(f"console: {message.text}"))
        self.page.on("popup", lambda page: self.wrongs.append(f"popup: {page.url}"))
        self.page.on("request", lambda request: self._on_request(request.url, address))

    def _on_dialog(self, dialog: Any) -> None:
        self.wrongs.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _on_request(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:")):
            self.wrongs.append(f"request: {url}")

    def rows(self) -> list[str]:
        """Return the labels of the rows that exist now."""
        return self.page.locator("#rows .label").all_inner_texts()

    def chosen(self) -> str:
        """Return the label of the row that is chosen."""
        return self.page.locator("#rows [aria-selected=true] .label").inner_text()

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)


@contextlib.contextmanager
def opened(browser: Browser, address: str | Path, **options: Any) -> Iterator[Opened]:
    """Open a page (a file or an address); in the end it must have done nothing wrong."""
    url = address if isinstance(address, str) else address.as_uri()
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 760}, **options})
    try:
        context.set_default_timeout(10_000)
        tab = Opened(context.new_page())
        tab.watch(url.partition("#")[0])
        tab.page.goto(url)
        yield tab
        assert tab.wrongs == []
    finally:
        context.close()


def row(tab: Opened, label: str) -> Mapping[str, Any]:
    """Return what an element of a row says of itself to those who can't see it."""
    found = tab.page.locator("#rows .row", has_text=label).first
    names = ("role", "aria-level", "aria-expanded", "aria-selected")
    return {name: found.get_attribute(name) for name in names}
