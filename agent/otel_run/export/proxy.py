"""Which proxy the environment has for a URL, as curl, urllib and requests read it; `no_proxy` also by networks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from otel_run import settings

if TYPE_CHECKING:
    from collections.abc import Mapping


def proxy_of(parts: SplitResult) -> SplitResult | None:
    """Return the proxy for a URL, None for none; raise ValueError for one of another kind than HTTP."""
    variables = settings.proxies()
    proxy = variables.get(parts.scheme.lower())
    if sys.platform == "darwin" and not variables:
        # The system's own settings; this module costs five milliseconds.
        from urllib.request import getproxies, proxy_bypass

        system = getproxies().get(parts.scheme.lower())
        proxy = None if proxy_bypass(parts.hostname or "") else system
    if not proxy or is_exempt(parts, variables):
        return None
    found = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if found.scheme != "http" or not found.hostname:
        raise ValueError(f"a proxy must be http://host:port, not {found.scheme}://")
    return found


def is_exempt(parts: SplitResult, variables: Mapping[str, str]) -> bool:
    """Tell whether `no_proxy` names the host: itself, a domain above it, host:port, a network it is in, or `*`."""
    host = (parts.hostname or "").rstrip(".")
    for given in variables.get("no", "").lower().split(","):
        entry = given.strip().lstrip("*").lstrip(".")
        if given.strip() == "*":
            return True
        if not entry:
            continue
        if entry in (host, f"{host}:{parts.port}", f"[{host}]", f"[{host}]:{parts.port}") or host.endswith("." + entry):
            return True
        if "/" in entry and _is_in(host, entry):
            return True
    return False


def _is_in(host: str, network: str) -> bool:
    import ipaddress  # urllib.parse has it, in all but the oldest Pythons

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
