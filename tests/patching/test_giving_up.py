"""What keeps failing is switched off, what is known to go wrong is not begun, and either is said once."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

from otel_run import boundary, report
from otel_run.patching.instrumentor import Instrumentor, KnownBad
from otel_run.patching.wrap import DoesNotFit, Patch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer


class Client:
    """A library's client."""

    def send(self, request: str, timeout: int = 3) -> str:
        return request

    def receive(self) -> str:
        return "received"

    def anything(self, *args: str) -> tuple[str, ...]:
        return args


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Contain our errors as in production, and list what is said of them."""
    lines: list[str] = []
    monkeypatch.setattr(boundary, "strict", False)
    monkeypatch.setattr(boundary, "_listeners", [report.tell_error])
    monkeypatch.setattr(report, "contained_errors", {})
    monkeypatch.setattr(report, "say", lines.append)
    return lines


@pytest.mark.parametrize("fails", ["begin", "finish"])
def test_a_patch_that_raises_three_times_is_taken_away_and_said_once(fails: str, said: list[str]) -> None:
    calls = []

    def mistaken(*args: object) -> Any:
        calls.append(args)
        raise ValueError("a mistake of ours")

    client = type("Client", (Client,), {"send": lambda self, request: request, "receive": Client.receive})
    patches = [
        Patch("instrumentor x", client, "send", mistaken if fails == "begin" else lambda *args: mistaken),
        Patch("instrumentor x", client, "receive", lambda args, kwargs: None),
    ]
    before = {name: vars(client)[name] for name in ("send", "receive")}
    for patch in patches:
        patch.apply()
    assert [client().send(str(n)) for n in range(10)] == [str(n) for n in range(10)]
    assert len(calls) == 3
    assert [line.partition(":")[0] for line in said] == ["instrumentor x"] * 2
    assert "ValueError: a mistake of ours" in said[0]
    assert "switched off: our part of " in said[1]
    assert "Client.send failed 3 times" in said[1]
    assert vars(client)["send"] is before["send"], "the library's own function is back"
    assert vars(client)["receive"] is not before["receive"], "the other patch goes on"


def test_a_call_that_was_begun_before_is_still_finished(said: list[str]) -> None:
    finished = []

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args[1] == "bad":
            raise ValueError("a mistake of ours")
        return lambda result, error: finished.append(args[1])

    class Nested(Client):
        def send(self, request: str, timeout: int = 3) -> str:
            return "".join(self.send("bad") for _ in range(5)) if request == "good" else request

    Patch("instrumentor x", Nested, "send", begin).apply()
    assert Nested().send("good") == "bad" * 5
    assert finished == ["good"]


@pytest.mark.parametrize(
    ("name", "takes", "missing"),
    [
        ("send", "request", None),
        ("send", "request timeout", None),
        ("send", "timeout request", "timeout"),
        ("send", "request timeout more", "more"),
        ("receive", "request", "request"),
        ("anything", "request", None),
    ],
)
def test_a_function_whose_arguments_stand_elsewhere_does_not_fit(name: str, takes: str, missing: str | None) -> None:
    def fits() -> None:
        Patch("instrumentor x", Client, name, lambda args, kwargs: None, takes)

    if missing is None:
        fits()
    else:
        with pytest.raises(DoesNotFit, match=rf"Client\.{name} takes no {missing} where it is expected"):
            fits()


@pytest.mark.parametrize(
    ("version", "refused"),
    [
        ("1.9.9", False),
        ("2.0", True),
        ("2.0.3", True),
        ("2.1.0b2", True),
        ("2.1", True),
        ("2.1.0.0", True),
        ("2.0rc1", True),
        ("2.1.0.post1", True),
        ("2.1.1", False),
        ("2.10", False),
        ("3.0.0", False),
        ("", False),
        ("unknown", False),
        (None, False),
    ],
)
def test_a_version_that_is_known_to_go_wrong_is_refused(
    version: str | None, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    library: Any = types.ModuleType("fragile")
    library.__version__ = version
    library.Client = Client
    monkeypatch.setitem(sys.modules, "fragile", library)

    class FragileInstrumentor(Instrumentor):
        library = "fragile"
        known_bad = (KnownBad("2.0", "2.1.0", "it forgets its arguments"),)

        def patches(self, tracer: Tracer) -> Iterable[Patch]:
            return [Patch("instrumentor fragile", library.Client, "send", lambda args, kwargs: None)]

    instrumentor = FragileInstrumentor()
    before = Client.send
    if refused:
        with pytest.raises(DoesNotFit, match=f"fragile {version} is known to go wrong: it forgets its arguments"):
            instrumentor.instrument(skip_dep_check=True)
        assert Client.send is before
    else:
        instrumentor.instrument(skip_dep_check=True)
        assert Client.send is not before
        instrumentor.uninstrument()
