"""Where a host or a database is told: `user:password@host` without a scheme, and `Server=h;Password=...`.

A URL is masked as one. Every value may be in quotes or braces, as drivers read them.
"""

from __future__ import annotations

import re

from otel_run.masking import url

_USERINFO = re.compile(r"^[^\s/@]*@")
_PASSWORD = re.compile(
    r"(?i)(?<![a-z])((?:ssl)?password|passwd|pwd|passphrase|(?:shared)?(?:account|access)key(?:value)?)\s*=\s*"
    r"(?:'[^'\\]*(?:(?:''|\\.)[^'\\]*)*'?|\"[^\"]*(?:\"\"[^\"]*)*\"?|\{[^}]*(?:\}\}[^}]*)*\}?)?(?:\\.?|[^\s;&\\])*",
    re.DOTALL,
)


def mask(text: str) -> str:
    """Return `text`, an address or a connection string, without passwords. Masking twice changes nothing."""
    if "://" in text:
        return url.mask(text)
    if "@" in text:
        text = _USERINFO.sub("REDACTED:REDACTED@", text)
    return _PASSWORD.sub(r"\1=REDACTED", text) if "=" in text else text
