"""The page as text: one file that refers to nothing outside it, and that no span can end or run in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import otel_run
from browser import stories
from otel_run.view.document import document
from otel_run.view.page import SCRIPTS, page


class Elements(HTMLParser):
    """What a parser of HTML makes of a page: each element with its attributes and its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.comments: list[str] = []
        self.is_within = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))
        self.is_within = True

    def handle_endtag(self, tag: str) -> None:
        self.is_within = False

    def handle_data(self, data: str) -> None:
        if self.is_within:
            tag, attributes, before = self.found[-1]
            self.found[-1] = tag, attributes, before + data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, text) for name, attributes, text in self.found if name == tag]


def policy_of(elements: Elements) -> dict[str, str]:
    (policy,) = [meta["content"] for meta, _ in elements.of("meta") if "http-equiv" in meta]
    return dict(part.split(" ", 1) for part in (policy or "").split("; "))


def hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_names_the_one_script_and_the_one_style_and_lets_nothing_be_fetched():
    elements = Elements(page([document(stories.order())], "t"))
    ((_, style),) = elements.of("style")
    (_, (attributes, script)) = elements.of("script")
    assert attributes == {}
    assert policy_of(elements) == {
        "default-src": "'none'",
        "style-src": hash_of(style),
        "script-src": hash_of(script),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_a_live_page_asks_its_own_server_alone():
    elements = Elements(page([], "t", {"events": "/events?token=a&b=</script>"}))
    assert policy_of(elements)["connect-src"] == "'self'"
    assert json.loads(elements.of("script")[0][1]) == {
        "documents": [],
        "live": {"events": "/events?token=a&b=</script>"},
        "order": "newest",
    }


def test_no_span_ends_the_data_or_begins_anything():
    given = document(stories.hostile())
    harmless, hostile = Elements(page([], "t")), Elements(page([given], "t"))
    assert [name for name, _, _ in hostile.found] == [name for name, _, _ in harmless.found]
    assert hostile.comments == []
    data = hostile.of("script")[0][1]
    assert json.loads(data) == {"documents": [given], "live": None, "order": "newest"}
    assert not re.search("[<>&\u2028\u2029]", data)


def test_the_title_is_text():
    elements = Elements(page([], "</title><script>alert(1)</script> {{script}}"))
    assert elements.of("title")[0][1] == "</title><script>alert(1)</script> {{script}}"
    assert len(elements.of("script")) == 2


def test_the_scripts_never_take_text_for_html_or_code():
    folder = Path(otel_run.__file__).parent / "view" / "page"
    assert {path.stem for path in folder.glob("*.js")} == set(SCRIPTS)
    script = "".join(path.read_text() for path in folder.glob("*.js"))
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "</script",
        "<!--",
        "fetch(",
        "XMLHttpRequest",
        "sendBeacon",
        "import(",
    ):
        assert forbidden not in script
    markup = Elements((folder / "page.html").read_text())
    for tag, attributes, _ in markup.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert "src" not in attributes


def test_it_is_made_out_of_a_zip_too(tmp_path):
    source = Path(otel_run.__file__).parent
    archive = tmp_path / "packed.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in [source / "__init__.py", source / "view" / "__init__.py", *(source / "view" / "page").iterdir()]:
            if path.is_file():
                packed.write(path, f"otel_run/{path.relative_to(source)}")
    code = "from otel_run.view import page; import sys; sys.stdout.buffer.write(page.page([], 't').encode())"
    made = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(archive)!r}); {code}"],
        capture_output=True,
        check=True,
    )
    assert made.stdout.decode() == page([], "t")


def test_documents_may_come_one_by_one():
    def come() -> Any:
        yield document(stories.small(1))
        yield document(stories.small(2))

    data = json.loads(Elements(page(come(), "t")).of("script")[0][1])
    assert [each["label"] for each in data["documents"]] == ["GET /healthz 1", "GET /healthz 2"]
