"""Templates of URLs: which fits, what it is called, and that no URL makes matching slow."""

from __future__ import annotations

import time

import pytest

from otel_run import report
from otel_run.instrumentors.url_template import UrlTemplates


@pytest.mark.parametrize(
    ("templates", "url", "found"),
    [
        ("/users/{id}", "http://any/users/17", "/users/{id}"),
        ("/users/{id}", "https://other:8/users/17?x=/y#z", "/users/{id}"),
        ("/users/{id}", "http://any/users/17/", None),
        ("/users/{id}", "http://any/users/", None),
        ("/users/{id}", "http://any/v1/users/17", None),
        ("/users/{id}", "http://any/USERS/17", None),
        ("users/{id}", "http://any/users/17", "/users/{id}"),
        ("/a/*/c", "http://any/a/b/c", "/a/*/c"),
        ("/a/*/c", "http://any/a/b/b/c", None),
        ("/a/**", "http://any/a", "/a/**"),
        ("/a/**", "http://any/a/b/c", "/a/**"),
        ("/a/**", "http://any/ab", None),
        ("/**", "http://any/", "/**"),
        ("/", "http://any", "/"),
        ("/{id}.json", "http://any/17.json", "/{id}.json"),
        ("/{id}.json", "http://any/17xjson", None),
        ("/compare/{a}...{b}", "http://any/compare/main...dev", "/compare/{a}...{b}"),
        ("/a.b+(c)", "http://any/a.b+(c)", "/a.b+(c)"),
        ("/a.b", "http://any/axb", None),
        ("https://api.x.com/o/{id}/items/*", "https://API.x.com:443/o/1/items/2", "/o/{id}/items/*"),
        ("https://api.x.com/o/{id}", "http://api.x.com/o/1", None),
        ("https://api.x.com/o/{id}", "https://api.x.com:8443/o/1", None),
        ("http://x.com:8080/{id}", "http://u:p@x.com:8080/1", "/{id}"),
        ("/me,/{id}", "http://any/me", "/me"),
        ("/{id},/me", "http://any/me", "/{id}"),
        ("/{id}", "http://any/a%2Fb", "/{id}"),
        ("/{id}", "http://[/x", None),
        ("http://[/{id},/{id}", "http://any/x", "/{id}"),
        ("/{id}", "http://any:port/x", None),
    ],
)
def test_the_first_template_that_fits_is_found(templates: str, url: str, found: str | None) -> None:
    assert UrlTemplates(templates.split(",")).of(url) == found


def test_a_hostile_url_is_no_slower_than_its_length() -> None:
    templates = UrlTemplates(["/{a}-{b}-{c}-{d}/x", "/*a/*a/*a", "/{x}/**/y"])
    began = time.process_time()
    assert templates.of("http://any/" + "a-" * 100_000) is None
    assert templates.of("http://any/" + "a/" * 100_000) is None
    assert time.process_time() - began < 5


@pytest.mark.parametrize("template", ["http://[/{id}", "http://host:port/{id}", "http:///x", "/a?b={c}", "/a#b"])
def test_a_template_that_can_never_fit_is_told(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "notes", [])
    assert UrlTemplates([template, "/ok"]).of("http://host/ok") == "/ok"
    ((subject, state, why),) = report.notes
    assert (subject, state) == ("OTEL_RUN_URL_TEMPLATES", "not used")
    assert why.startswith(template)
