"""OTEL_RUN_TRACE is read as it was meant: each pattern by itself, what can't be read with the reason and a hint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_run import function_patterns, settings
from otel_run.function_patterns import Pattern, read

if TYPE_CHECKING:
    from pathlib import Path


def parts(pattern: Pattern) -> tuple[str, str, tuple[str, ...], str | None]:
    return pattern.module, pattern.qualname, pattern.arguments, pattern.span_name


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("orders:f", [("orders", "f", (), None)]),
        ("orders.core:Order.total", [("orders.core", "Order.total", (), None)]),
        ("orders:f(a)", [("orders", "f", ("a",), None)]),
        ("orders:f( a , b )", [("orders", "f", ("a", "b"), None)]),
        ("orders:f=Process", [("orders", "f", (), "Process")]),
        ("orders:f(a,b)=Process order", [("orders", "f", ("a", "b"), "Process order")]),
        ("orders:f=a=b", [("orders", "f", (), "a=b")]),
        ("orders:f=Charge (by card)", [("orders", "f", (), "Charge (by card)")]),
        ("orders:Order.*", [("orders", "Order.*", (), None)]),
        ("orders:Order.*(self)=Step", [("orders", "Order.*", ("self",), "Step")]),
        ("shop.*:get_*", [("shop.*", "get_*", (), None)]),
        ("*:f", [("*", "f", (), None)]),
        ("pricing", [("pricing", "*", (), None)]),
        ("pricing.*", [("pricing", "*", (), None)]),
        ("*", [("*", "*", (), None)]),
        ("__main__:main", [("__main__", "main", (), None)]),
        ("shop.migrations.0001_initial:forwards", [("shop.migrations.0001_initial", "forwards", (), None)]),
        ("my-plugin:run", [("my-plugin", "run", (), None)]),
        ("größe:maß(länge)=Größe", [("größe", "maß", ("länge",), "Größe")]),
        ("m:ﬁnd(ﬁle)", [("m", "find", ("file",), None)]),  # as the parser has it: NFKC
        (
            "orders:f(a,b)=X, orders:Order.*\n\tpricing.*,,",
            [("orders", "f", ("a", "b"), "X"), ("orders", "Order.*", (), None), ("pricing", "*", (), None)],
        ),
        ("a:f,a:f", [("a", "f", (), None)]),
        (" , \n", []),
    ],
)
def test_a_list_is_read(given: str, wanted: list[object]) -> None:
    found, bad = read(given)
    assert (list(map(parts, found)), bad) == (wanted, None)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("orders;f", "did you mean orders:f ?"),
        ("orders::f", "did you mean orders:f ?"),
        ("orders/file.py:f", "did you mean orders.file:f ?"),
        ("./orders/file.py", "did you mean orders.file ?"),
        ("orders\\file.py;f(a)", "did you mean orders.file:f(a) ?"),
        ("orders.py:f", "did you mean orders:f ?"),
        ("orders.py", "did you mean orders ?"),
        (".orders:f", "did you mean orders:f ?"),
        ("orders:f()", "did you mean orders:f ?"),
        ("orders:f(a", "did you mean orders:f(a) ?"),
        ("orders:f(*args)", "did you mean orders:f(args) ?"),
        ("orders:f(*)", ""),
        ("orders:f(a.b)", ""),
        ("orders:f)", ""),
        ("orders.f(a)", "did you mean orders:f(a) ?"),
        ("orders.Order.f=Name", "did you mean orders.Order:f=Name ?"),
        ("orders:f=", "did you mean orders:f ?"),
        ("orders:f=Name(a,b)", "did you mean orders:f(a,b)=Name ?"),
        ("orders:", "did you mean orders ?"),
        (":f", "did you mean __main__:f ?"),
        ("-orders:f", ""),
        ("orders:Order:total", "did you mean orders:Order.total ?"),
        ("orders#f", "did you mean orders:f ?"),
        ('"orders:f"', "did you mean orders:f ?"),
        ("()", ""),
        ("=Name", ""),
        (":", ""),
        ("orders f", ""),
        ("orders:1f", ""),
        ("orders:f.", "did you mean orders:f ?"),
        ("a:f.<locals>.g", "a function within a function is made anew for each call and can't be named"),
        ("otel_run.report:say", "what traces can't be traced"),
        ("opentelemetry.*", "what traces can't be traced"),
    ],
)
def test_what_can_not_be_read_is_named_with_a_hint_and_the_others_are_kept(given: str, hint: str) -> None:
    found, bad = read(f"a:first,{given},b:last")
    assert [str(pattern) for pattern in found] == ["a:first", "b:last"]
    assert bad is not None
    assert (bad.given, bad.hint) == (given, hint)
    # What is proposed can be read.
    if hint.startswith("did you mean"):
        proposed, none = read(hint.removeprefix("did you mean ").removesuffix(" ?"))
        assert (len(proposed), none) == (1, None)


def test_all_bad_patterns_make_one_line_of_the_settings() -> None:
    environ = {"OTEL_RUN_TRACE": "orders;f, a:g, (), shop:Order.*"}
    found, problems = settings.read(environ, lambda _group: [])
    assert list(map(str, found.functions)) == ["a:g", "shop:Order.*"]
    (problem,) = problems
    assert problem.line() == (
        'OTEL_RUN_TRACE="orders;f, ()" can\'t be used; allowed: module:function, module:Class.method, or module for '
        "all its public functions, each with * for any name; (argument,argument) and =SpanName behind a function; "
        "@file; using the others: a:g, shop:Order.*. hint: did you mean orders:f ?"
    )


def test_a_blank_list_is_none() -> None:
    found, problems = settings.read({"OTEL_RUN_TRACE": "  "}, lambda _group: [])
    assert (found.functions, problems) == ((), [])


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("orders:f", ["orders"], ["orders.f", "order", "ordersx"]),
        ("pricing", ["pricing", "pricing.a", "pricing.a.b"], ["pricingx", "pricing._a", "pricing.a._b.c", "x.pricing"]),
        ("pricing.*", ["pricing", "pricing.a.b"], ["pricing._a", "pricing.__main__"]),
        ("_shop", ["_shop", "_shop.a"], ["_shop._a"]),
        ("pricing.*:f", ["pricing.a", "pricing.a.b"], ["pricing", "pricing._a", "pricing.a._b"]),
        ("pricing._*:f", ["pricing._a", "pricing._a.b"], ["pricing.a"]),
        ("*:f", ["a", "a.b"], ["_a", "__main__", "a._b"]),
        ("sh*.models:f", ["shop.models", "sh.models", "shop.a.models"], ["shop.models.a", "shop._a.models"]),
        ("*", ["a", "a.b"], ["_a", "a._b"]),
        ("a.*.models", ["a.b.models", "a.b.c.models", "a.b.models.x"], ["a.models"]),
        ("größe:f", ["größe"], ["große"]),
    ],
)
def test_a_pattern_means_modules(pattern: str, matching: list[str], others: list[str]) -> None:
    (found,), _ = read(pattern)
    assert [name for name in (*matching, *others) if found.matches_module(name)] == matching


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("m:f", ["f"], ["F", "ff", "f.g", "C.f"]),
        ("m:*", ["f", "C.f", "C.D.f"], ["_f", "C._f", "_C.f", "C.__init__"]),
        ("m", ["f", "C.f"], ["_f", "C._f"]),
        ("m:Order.*", ["Order.total", "Order.Line.total"], ["Order", "Order._tax", "Orders.total", "Order.__init__"]),
        ("m:Order._*", ["Order._tax", "Order.__init__"], ["Order.total"]),
        ("m:get_*", ["get_", "get_a", "get_a.b"], ["get", "a.get_a", "get_a._b"]),
        ("m:*.total", ["Order.total", "A.B.total"], ["total", "Order.totals", "_Order.total"]),
        ("m:*get*", ["get", "forget_it", "A.get"], ["_get", "a._get"]),
        ("m:_*", ["_f", "__f", "_C.f"], ["f"]),
        ("m:O*.*", ["Order.total"], ["Order", "A.total"]),
    ],
)
def test_a_pattern_means_functions(pattern: str, matching: list[str], others: list[str]) -> None:
    (found,), _ = read(pattern)
    assert [name for name in (*matching, *others) if found.matches_qualname(name)] == matching


def test_a_file_holds_lines_lists_and_comments(tmp_path: Path) -> None:
    file = tmp_path / "traced.txt"
    file.write_text("# ours\n\norders:f(a,b)=X # the one\na:g,b:h=Item #1\n  # c:i\nm:größe\n", encoding="utf-8-sig")
    found, bad = read(f"first:f,@{file},last:f")
    assert bad is None
    assert list(map(str, found)) == ["first:f", "orders:f(a,b)=X", "a:g", "b:h=Item", "m:größe", "last:f"]


def test_a_relative_file_is_taken_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "traced.txt").write_text("orders:f")
    monkeypatch.chdir(tmp_path)
    assert list(map(str, read("@traced.txt")[0])) == ["orders:f"]


def test_a_file_that_can_not_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"caf\xe9:f")
    (tmp_path / "itself").write_text("a:f\n@itself\n")
    missing, folder, latin, itself = (tmp_path / name for name in ("missing", "", "latin", "itself"))
    for path, hint in [
        (missing, "the file can't be read: No such file or directory"),
        (folder, "the file can't be read: it is no file"),
        (latin, "the file can't be read: 'utf-8' codec can't decode byte"),
        ("/dev/null", "the file can't be read: it is no file"),
    ]:
        found, bad = read(f"@{path},b:g")
        assert bad is not None
        assert (list(map(str, found)), bad.given, bad.hint[: len(hint)]) == (["b:g"], str(path), hint)
    found, bad = read(f"@{itself},b:g")
    assert bad is not None
    assert (list(map(str, found)), bad.given, bad.hint) == (["a:f", "b:g"], "@itself", "a file names no other file")


def test_what_a_pattern_is_decides_how_it_is_searched() -> None:
    exact, anywhere, methods, all_own = read("a:f,shop.*:f,a:C.*,*")[0]
    assert [p.is_exact for p in (exact, anywhere, methods, all_own)] == [True, False, False, False]
    assert [p.names_function for p in (exact, anywhere, methods, all_own)] == [True, True, False, False]
    assert [p.means_own_modules for p in (exact, anywhere, methods, all_own)] == [False, False, False, True]
    assert function_patterns.parse("a:f") is not None
