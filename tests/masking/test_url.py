"""What is secret in URLs, headers and messages, and that masking twice changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_run.masking.url import is_secret_header, mask

GOOGLE_KEY = "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"

MASKED = [
    # (given, masked)
    ("http://host/path", "http://host/path"),
    ("http://host/?a=1&b=2#top", "http://host/?a=1&b=2#top"),
    ("https://user:word@host/", "https://REDACTED:REDACTED@host/"),
    ("https://user@host/", "https://REDACTED:REDACTED@host/"),
    ("https://user:w@rd@host/p@th?q=a@b", "https://REDACTED:REDACTED@host/p@th?q=a@b"),
    ("https://host/a@b", "https://host/a@b"),
    (
        "http://h/?AWSAccessKeyId=AKIA&Signature=x&Expires=1",
        "http://h/?AWSAccessKeyId=REDACTED&Signature=REDACTED&Expires=1",
    ),
    ("http://h/?sig=abc&se=2030", "http://h/?sig=REDACTED&se=2030"),
    ("http://h/?X-Goog-Signature=ab", "http://h/?X-Goog-Signature=REDACTED"),
    (
        "http://h/?X-Amz-Signature=a&X-Amz-Credential=b&X-Amz-Security-Token=c&X-Amz-Date=d",
        "http://h/?X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED&X-Amz-Security-Token=REDACTED&X-Amz-Date=d",
    ),
    ("http://h/?ACCESS_TOKEN=a", "http://h/?ACCESS_TOKEN=REDACTED"),
    ("http://h/?api-key=a&apiKey=b&x.api_key=c", "http://h/?api-key=REDACTED&apiKey=REDACTED&x.api_key=REDACTED"),
    ("http://h/?user[password]=a", "http://h/?user[password]=REDACTED"),
    ("http://h/?access%5Ftoken=a", "http://h/?access%5Ftoken=REDACTED"),
    ("http://h/?token=", "http://h/?token=REDACTED"),
    ("http://h/?token=a=b==&c=d", "http://h/?token=REDACTED&c=d"),
    ("http://h/?token=a;b?c&d=e", "http://h/?token=REDACTED&d=e"),
    ("http://h/?a=1;token=b", "http://h/?a=1;token=REDACTED"),
    ("http://h/#access_token=a&state=b", "http://h/#access_token=REDACTED&state=b"),
    # Harmless or secret by the length of the value.
    (f"http://h/?key={GOOGLE_KEY}&q=x", "http://h/?key=REDACTED&q=x"),
    ("http://h/?key=user:1&code=EUR", "http://h/?key=user:1&code=EUR"),
    # Cursors.
    ("http://h/?page_token=abc&pageToken=abc&max_tokens=5", "http://h/?page_token=abc&pageToken=abc&max_tokens=5"),
    # A URL inside a URL, as it is, and encoded once and twice.
    ("http://h/?next=http://a:b@c/?token=d", "http://h/?next=http://REDACTED:REDACTED@c/?token=REDACTED"),
    ("http://h/?next=https%3A%2F%2Fx%2F%3Ftoken%3Dabc&a=b", "http://h/?next=REDACTED&a=b"),
    ("http://h/?next=https%3A%2F%2Fu%3Ap%40x%2F", "http://h/?next=REDACTED"),
    ("http://h/?next=%2Fx%253Ftoken%253Dabc", "http://h/?next=REDACTED"),
    ("http://h/?name=a%20b%3Dc", "http://h/?name=a%20b%3Dc"),
    ("http://h/?odbc=Driver=x;Uid=u;Pwd=abc&a=b", "http://h/?odbc=Driver=x;Uid=u;Pwd=REDACTED&a=b"),
    ("http://h/?a=token=abc", "http://h/?a=REDACTED"),
    (
        "http://h/?password1=a&passwordConfirm=b&code_verifier=c&ticket=ST-1",
        "http://h/?password1=REDACTED&passwordConfirm=REDACTED&code_verifier=REDACTED&ticket=REDACTED",
    ),
    # A password that ought to have been encoded, and a URL without its scheme.
    ("amqps://me:wo/rd@host/v", "amqps://REDACTED:REDACTED@host/v"),
    ("redis://:wo#r?d@host:1/0", "redis://REDACTED:REDACTED@host:1/0"),
    ("http://host:80/p@th", "http://host:80/p@th"),
    ("http://[::1]:80/p@th", "http://[::1]:80/p@th"),
    ("//me:word@host/", "//REDACTED:REDACTED@host/"),
    ("http://host//a@b", "http://host//a@b"),
    # Messages.
    (
        "HTTPConnectionPool(host='h', port=1): no luck with url: /x?token=abc&a=b (Caused by E('refused'))",
        "HTTPConnectionPool(host='h', port=1): no luck with url: /x?token=REDACTED&a=b (Caused by E('refused'))",
    ),
    ("proxy http://me:word@proxy:3128 said no", "proxy http://REDACTED:REDACTED@proxy:3128 said no"),
]


@pytest.mark.parametrize(("url", "masked"), MASKED)
def test_a_url_leaves_without_its_secrets(url: str, masked: str) -> None:
    assert mask(url) == masked


@pytest.mark.parametrize(("url", "masked"), MASKED)
def test_masking_twice_changes_nothing(url: str, masked: str) -> None:
    assert mask(masked) == masked


@given(st.text(st.sampled_from("ab=&?;#%/:@ token3DF2"), max_size=60))
def test_any_text_can_be_masked_and_stays_so(text: str) -> None:
    once = mask("http://h/?" + text)
    assert mask(once) == once


@given(st.text(st.characters(exclude_characters="&# \t", codec="ascii", categories=["L", "N", "P", "S"]), min_size=1))
def test_no_value_of_a_secret_name_survives(value: str) -> None:
    assert mask(f"http://h/?a=1&access_token={value}&z=2") == "http://h/?a=1&access_token=REDACTED&z=2"


def test_a_hostile_url_of_a_megabyte_is_masked_all_the_same() -> None:
    for part in ("?a=", "&token=", "%25", "://", ";", "="):
        mask("http://h/?a=" + part * 200_000)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("Authorization", "Bearer x", True),
        ("Proxy-Authorization", "Basic x", True),
        ("cookie", "a=b", True),
        ("Set-Cookie", "a=b", True),
        ("X-Api-Key", "short", True),
        ("x-auth-token", "x", True),
        ("X-CSRFToken", "x", True),
        ("X-Functions-Key", "0123456789abcdef", True),
        ("Idempotency-Key", "0b5ff0a0-31ab-4ba8-8f3f-3cb0f4b5f1f5", False),
        ("X-Forwarded-Authorization", "x", True),
        ("Cf-Access-Jwt-Assertion", "x", True),
        ("X-Amzn-Oidc-Data", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", True),
        ("X-Upstream", "Bearer abc", True),
        ("X-Upstream", "bearer", False),
        ("WWW-Authenticate", 'Basic realm="a", Bearer realm="b"', False),
        ("X-Upstream", " bearer " * 30_000, False),
        ("X-Upstream", "basically", False),
        ("X-Upstream", "eyJ.0", False),
        ("Content-Type", "text/plain", False),
        ("X-Request-Id", "0123456789abcdef", False),
    ],
)
def test_headers_are_secret_by_their_names_and_by_what_looks_like_credentials(
    name: str, value: str, secret: bool
) -> None:
    assert is_secret_header(name, value) is secret
