"""What is secret in a URL, in a header, and in a message that quotes them: passwords, tokens, keys, signatures.

Told by names, where a name says it, and by the value, where it may. Source of the
replacement: OpenTelemetry semantic conventions, `url.full`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

# Names are compared in lower case and without - _ . [ ], so that X-Api-Key, api_key and apiKey are one.
_SECRET_NAMES = {"sig", "auth", "cookie", "setcookie", "pass", "sid", "session", "hmac", "bearer", "otp"}
_SECRET_NAMES |= {"samlresponse", "hdnts", "hdnea", "authcode", "ticket", "xauth", "xsession"}
# By its end, since the front varies: X-Amz-Security-Token, client_secret, AWSAccessKeyId, X-Goog-Signature.
_SECRET_END = re.compile(
    "(?:token|secret|password|passwd|pwd|passphrase|signature|jwt|credentials?|accesskeyid|sessionid|verifier"
    r"|authorization|assertion|passwordconfirm(?:ation)?|(?:api|access|secret|private)key)\d*$"
)
# `key` and `code` name secrets (Google's API keys, Azure's function keys, OAuth's codes) and harmless
# things (?key=user:1, ?code=EUR). The length tells: nobody issues a secret of less than 16 characters.
_SECRET_IF_LONG = ("key", "code")
_LONG = 16
# Cursors of paged lists, and the key that makes a retry safe: useful to see, and open no door.
_HARMLESS = {"pagetoken", "nextpagetoken", "nexttoken", "continuationtoken", "synctoken", "idempotencykey"}

_DECORATION = str.maketrans("", "", "-_.[]")


def is_secret(name: str, value: str) -> bool:
    """Tell whether a parameter or header called `name` holds something that must not leave the process."""
    kind = _kind_of(name)
    return kind == "secret" or (kind == "if long" and len(value) >= _LONG)


# "Bearer abc", and the three parts of a JSON Web Token (RFC 7515), in whatever header.
# Not the challenge `Basic realm="x"`.
_CREDENTIALS = re.compile(
    r"\s*(?:(?:basic|bearer|dpop|negotiate)\s+[\w.~+/-]+=*\s*$|eyJ[\w-]+\.[\w-]+\.)", re.ASCII | re.IGNORECASE
)


def is_secret_header(name: str, value: str) -> bool:
    """Tell whether a header holds something that must not leave the process, by its name or by what it looks like."""
    return is_secret(name, value) or _CREDENTIALS.match(value) is not None


@lru_cache(maxsize=512)
def _kind_of(name: str) -> str:
    plain = unquote(name).lower().translate(_DECORATION)
    if plain in _HARMLESS:
        return ""
    if plain in _SECRET_NAMES or _SECRET_END.search(plain):
        return "secret"
    return "if long" if plain.endswith(_SECRET_IF_LONG) else ""


# Without a scheme only where a URL may begin. A password with `/`, `?` or `#` in it ends at the `@`: a port is digits.
_USERINFO = re.compile(
    r"(?:://|(?<![^\s'\"=(<,])//)(?:[^/?#\s]*@|(?!\[)[^/?#\s:@]{0,256}:(?!\d*(?:[/?#\s]|$))[^\s@]{1,256}@)"
)
_PARAMETER = re.compile(r"(?<=[?&;#])([^?&;#=\s]+)=([^?&;#\s]*)")
# A secret reaches to the next parameter for sure; `?` and `;` may be characters of it.
_TO_THE_END = re.compile(r"[^&#\s]*")


def mask(text: str) -> str:
    """Return `text`, a URL or a message that quotes some, without passwords and secret parameters.

    Linear in the length, and masking twice changes nothing.
    """
    if "@" in text:
        text = _USERINFO.sub(_without_userinfo, text)
    if "=" in text:
        for name, value in _PARAMETER.findall(text):
            # Most are harmless, which is seen without taking the text apart.
            if _kind_of(name) or "%" in value or "=" in value:
                return _mask_parameters(text, _is_or_holds_secret)
    return text


def _without_userinfo(found: re.Match[str]) -> str:
    return found[0].partition("//")[0] + "//REDACTED:REDACTED@"


def mask_named(text: str, is_hidden: Callable[[str], object]) -> str:
    """Return `text`, a URL or a message that quotes some, without the values of parameters that `is_hidden(name)`."""
    return _mask_parameters(text, lambda name, _value: bool(is_hidden(name))) if "=" in text else text


def _mask_parameters(text: str, is_hidden: Callable[[str, str], bool]) -> str:
    pieces: list[str] = []
    done = 0
    for found in _PARAMETER.finditer(text):
        if found.start() < done or not is_hidden(found[1], found[2]):
            continue
        pieces += text[done : found.start(2)], "REDACTED"
        rest = _TO_THE_END.match(text, found.end())
        done = rest.end() if rest else found.end()
    return "".join(pieces) + text[done:]


def _is_or_holds_secret(name: str, value: str) -> bool:
    """Look also into a URL that is a parameter of a URL: ?next=https%3A%2F%2Fhost%2F%3Ftoken%3D..."""
    kind = _kind_of(name)
    if kind and (kind == "secret" or len(value) >= _LONG):
        return True
    if "=" in value and _mask_parameters("?" + value, is_secret) != "?" + value:
        return True  # connect=Server=h;Password=...
    for _ in range(3):
        if "%" not in value:
            return False
        value = unquote(value)
        plain = "?" + value
        if _USERINFO.search(plain) or _mask_parameters(plain, is_secret) != plain:
            return True
    return False
