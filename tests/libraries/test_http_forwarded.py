"""What is read of `Forwarded`, of the first of a list, and of hosts: as RFC 7239 has it, and of anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_run.instrumentors import http_forwarded
from otel_run.instrumentors.http_forwarded import as_scheme, first, read_forwarded, split_host


@pytest.mark.parametrize(
    ("header", "told"),
    [
        # The examples of RFC 7239, section 4.
        ('for="_gazonk"', {"for": "_gazonk"}),
        ('For="[2001:db8:cafe::17]:4711"', {"for": "[2001:db8:cafe::17]:4711"}),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", {"for": "192.0.2.60", "proto": "http", "by": "203.0.113.43"}),
        ("for=192.0.2.43, for=198.51.100.17", {"for": "192.0.2.43"}),
        # Only the first proxy has spoken to the client.
        ("proto=https, for=198.51.100.17", {"proto": "https"}),
        ('for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown', {"for": "192.0.2.43"}),
        ("FOR=192.0.2.43;PROTO=https;Host=Example.com", {"for": "192.0.2.43", "proto": "https", "host": "Example.com"}),
        ("for=_hidden, for=_SEVKISEK", {"for": "_hidden"}),
        ("for=unknown;proto=https", {"proto": "https"}),
        ('for="Unknown"', {}),
        ('host="a.example:8443" ; proto=https', {"host": "a.example:8443", "proto": "https"}),
        (r'for="a\"b\\c"', {"for": 'a"b\\c'}),
        ('for="a;b,c";proto=https', {"for": "a;b,c", "proto": "https"}),
        # As it stands, though a `:` would have to be quoted.
        ("for=192.0.2.60:4711;host=a.example:80", {"for": "192.0.2.60:4711", "host": "a.example:80"}),
        ("for=1.1.1.1;for=2.2.2.2", {"for": "1.1.1.1"}),
        # What may be empty.
        (";for=1.1.1.1;;proto=https;", {"for": "1.1.1.1", "proto": "https"}),
        (", ,for=1.1.1.1", {"for": "1.1.1.1"}),
        ("  for=1.1.1.1  ", {"for": "1.1.1.1"}),
        ("for=1.1.1.1;ext-1=x", {"for": "1.1.1.1", "ext-1": "x"}),
        # What can be read before it is malformed.
        ("", {}),
        ("nonsense", {}),
        ("for=1.1.1.1;proto", {"for": "1.1.1.1"}),
        ("for=1.1.1.1 proto=https", {"for": "1.1.1.1"}),
        ("for = 1.1.1.1", {}),
        ('for="1.1.1.1', {"for": ""}),
        ("=1.1.1.1", {}),
        ("for=", {"for": ""}),
    ],
)
def test_of_forwarded_the_first_element_is_read(header: str, told: dict[str, str]) -> None:
    assert read_forwarded(header) == told


@pytest.mark.parametrize(
    ("header", "member"),
    [
        (None, ""),
        ("", ""),
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 , 10.0.0.1", "192.0.2.1"),
        ("2001:db8::1, 10.0.0.1", "2001:db8::1"),
        ("Unknown, 10.0.0.1", ""),
        (", 10.0.0.1", ""),
    ],
)
def test_of_a_list_the_first_member_counts_if_it_is_known(header: str | None, member: str) -> None:
    assert first(header) == member


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("a.example", ("a.example", None)),
        ("a.example:8443", ("a.example", 8443)),
        ("192.0.2.1:65535", ("192.0.2.1", 65535)),
        ("[2001:db8::1]", ("2001:db8::1", None)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("2001:db8::1", ("2001:db8::1", None)),
        ("[fe80::1%25eth0]:80", ("fe80::1%25eth0", 80)),
        ("_hidden:_port", ("_hidden", None)),
        ("[2001:db8::1]:_port", ("2001:db8::1", None)),
        (" a.example ", ("a.example", None)),
        ("a.example:", ("a.example", None)),
        ("a.example:65536", ("a.example", None)),
        ("a.example:999999999999", ("a.example", None)),
        ("a.example:-1", ("a.example", None)),
        ("a.example:\N{ARABIC-INDIC DIGIT ONE}", ("a.example", None)),
        ("a.example:\N{SUPERSCRIPT TWO}", ("a.example", None)),
        ("[::1", ("::1", None)),
        ("[::1]80", ("::1", None)),
        (":80", ("", 80)),
        ("", ("", None)),
        ("me:secret@a.example:80", ("a.example", 80)),
        ("/run/app.sock", ("/run/app.sock", None)),
    ],
)
def test_a_host_is_parted_from_its_port(text: str, host: tuple[str, int | None]) -> None:
    assert split_host(text) == host


@pytest.mark.parametrize(
    ("text", "scheme"),
    [("https", "https"), ("HTTPS", "https"), ("wss", "wss"), ("", ""), ("<b>", ""), ("https://", ""), ("1", "")],
)
def test_a_scheme_is_lower_case_or_none(text: str, scheme: str) -> None:
    assert as_scheme(text) == scheme


TEXTS = st.text(st.sampled_from('for=proto;,"\\[]:_1a @\t\n\xe9\u0661'), max_size=60)


@given(TEXTS)
def test_nothing_that_anybody_sends_raises(text: str) -> None:
    told = read_forwarded(text)
    assert all(name == name.lower() for name in told)
    address, port = split_host(text)
    assert port is None or 0 <= port <= 65535
    assert address in text
    assert as_scheme(first(text)) == as_scheme(first(text)).lower()


@given(st.dictionaries(st.from_regex("[a-z]{1,5}", fullmatch=True), st.text(), max_size=4))
def test_what_is_quoted_is_read_as_it_was_written(told: dict[str, str]) -> None:
    written = [(name, value.replace("\\", "\\\\").replace('"', '\\"')) for name, value in told.items()]
    known = {name: value for name, value in told.items() if value.lower() != "unknown"}
    if not any("\n" in value for value in told.values()):
        assert read_forwarded(";".join(f'{name}="{value}"' for name, value in written)) == known


@pytest.mark.parametrize(
    "part", ["a", " ", '"', "\\", '\\"', ";", ",", "for=", "for=a;", 'for="', "=", ":", "@", "[", "1"]
)
def test_a_hostile_header_is_read_in_no_time(part: str) -> None:
    hostile = part * (200_000 // len(part))
    for before in ("", "for=", 'for="', "for=a", 'for="a" '):
        for after in ("", '"', ",", "\n"):
            read_forwarded(before + hostile + after)
            split_host(before + hostile + after)
            as_scheme(first(before + hostile + after))


def test_what_is_short_is_remembered_and_what_is_long_is_not() -> None:
    asked: list[str] = []
    read = http_forwarded._kept(asked.append)
    for text in ("a", "a", "b" * 100_000, "b" * 100_000):
        read(text)
    assert asked == ["a", "b" * 100_000, "b" * 100_000]
