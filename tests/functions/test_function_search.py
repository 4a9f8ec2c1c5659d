"""Which functions of a module a pattern means; and that looking for them runs none of the program's code."""

from __future__ import annotations

import importlib
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from otel_run.function_patterns import read
from otel_run.functions import search

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FunctionType, ModuleType

    Module = Callable[..., ModuleType]

ORDERS = """
import contextlib, functools, typing
from dataclasses import dataclass
from enum import Enum
from json import dumps
from time import sleep
from typing import NamedTuple, Protocol

import click
from flask import Flask
from sqlalchemy.ext.hybrid import hybrid_property

app = Flask(__name__)

def plain(a): return a
async def coroutine(): ...
def generator(): yield
async def asynchronous(): yield
def _private(): ...
alias = plain
anonymous = lambda: 1

def wrapping(f):
    @functools.wraps(f)
    def wrapper(*args): return f(*args)
    return wrapper

def hiding(f):
    def inner(*args): return f(*args)
    return inner

class Keeping:
    __slots__ = ("__kept",)
    def __init__(self, f): self.__kept = (f, {})
    def __call__(self, *args): return self.__kept[0](*args)

@wrapping
@wrapping
def wrapped(): ...
@hiding
def hidden(): ...
@Keeping
def kept(): ...
@hiding
@Keeping
@wrapping
def deep(): ...
@functools.lru_cache
def cached(): ...
@functools.cache
def cached_too(): ...
@contextlib.contextmanager
def context(): yield
@functools.singledispatch
def dispatched(a): ...
@dispatched.register
def of_int(a: int): ...
@app.route("/")
def view(): ...
@click.command()
@click.option("--a")
def command(a): ...
@click.group()
def group(): ...
@typing.overload
def overloaded(a: int): ...
@typing.overload
def overloaded(a: str): ...
def overloaded(a): ...
@typing.overload
def only_overloaded(a: int): ...

class Base:
    def inherited(self): ...

class Order(Base):
    registry = {"plain": plain}
    def total(self): ...
    def _secret(self): ...
    def __mangled(self): ...
    def __len__(self): return 0
    @staticmethod
    def static(): ...
    @classmethod
    def of_class(cls): ...
    @property
    def tax(self): ...
    @functools.cached_property
    def lazy(self): ...
    @hybrid_property
    def column(self): ...
    @wrapping
    def decorated(self): ...
    @staticmethod
    @functools.lru_cache
    def remembered(): ...
    @functools.singledispatchmethod
    def method_of(self, a): ...
    imported = dumps
    half = functools.partialmethod(total, 1)

    class Line:
        def price(self): ...

@dataclass
class Point:
    x: int = 0
    def norm(self): ...

class Pair(NamedTuple):
    a: int
    def sum(self): ...

class Side(Enum):
    BUY = 1
    def opposite(self): ...

class Shape(Protocol):
    def area(self): ...

import abc
class Abstract(abc.ABC):
    @abc.abstractmethod
    def todo(self): ...

def factory():
    def made(): ...
    return made
product = factory()
euros = functools.partial(plain, 1)
bound = Order().total
"""

ALL = set(
    """
    plain coroutine generator asynchronous anonymous wrapping wrapped hiding hidden kept deep cached cached_too context
    dispatched of_int view command group overloaded factory product Base.inherited Order.total Order.static
    Order.of_class Order.decorated Order.remembered Order.method_of Order.Line.price Point.norm Pair.sum Side.opposite
    Shape.area Abstract.todo
    """.split()  # noqa: SIM905 - a line for each would be longer than the module
)
EXACT = {*ALL - {"dispatched", "anonymous", "product"}, "_private", "Order._secret", "Order.__mangled"}
NO_FUNCTIONS = set(
    """
    missing sleep Order Order.inherited Order.missing Order.registry Missing.total app total plain.total only_overloaded
    click Side.BUY Point.x functools.wraps
    """.split()  # noqa: SIM905 - likewise
)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def build(source: str, name: str = "orders_searched") -> ModuleType:
        path = tmp_path.joinpath(*name.split("."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        made.append(name)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return build


def meant(module: ModuleType, *patterns: str) -> dict[str, FunctionType]:
    found, bad = read(",".join(patterns))
    assert bad is None
    return {qualname: function for _, qualname, function in search.found(module, found)}


def test_a_star_means_what_was_written_in_the_module(module: Module) -> None:
    orders = module(ORDERS)
    found = meant(orders, "orders_searched:*")
    assert set(found) == ALL
    # Nobody's own function is behind two names.
    assert len(set(map(id, found.values()))) == len(found)
    assert {function.__module__ for function in found.values()} == {"orders_searched"}
    assert all(
        function.__code__.co_filename == orders.__file__ for name, function in found.items() if name != "dispatched"
    )
    assert set(meant(orders, "orders_searched")) == ALL


def test_private_ones_only_where_the_pattern_has_the_underscore(module: Module) -> None:
    orders = module(ORDERS)
    assert set(meant(orders, "orders_searched:_*")) == {"_private"}
    private = {"Order._secret", "Order.__mangled", "Order.__len__"}
    assert set(meant(orders, "orders_searched:Order._*")) == private
    assert set(meant(orders, "orders_searched:Point.__*", "orders_searched:Pair._*")) == set()
    # What a dataclass has generated is traced for whoever names it.
    assert set(meant(orders, "orders_searched:Point.__init__")) == {"Point.__init__"}


@pytest.mark.parametrize("name", sorted({*EXACT, "Order.__len__", "Order.tax", "Order.lazy", "Order.column"}))
def test_an_exact_name_means_the_function_that_was_written_there(name: str, module: Module) -> None:
    orders = module(ORDERS)
    found = meant(orders, f"orders_searched:{name}")
    assert {key: (function.__qualname__, function.__module__) for key, function in found.items()} == {
        name: (name, "orders_searched")
    }
    assert found[name].__code__.co_filename == orders.__file__
    assert not hasattr(found[name], "__wrapped__")


@pytest.mark.parametrize(
    ("name", "module_of", "qualname"),
    [
        ("anonymous", "orders_searched", "<lambda>"),
        ("product", "orders_searched", "factory.<locals>.made"),
        ("alias", "orders_searched", "plain"),
        ("euros", "orders_searched", "plain"),
        ("bound", "orders_searched", "Order.total"),
        ("Order.half", "orders_searched", "Order.total"),
        ("dumps", "json", "dumps"),
        ("Order.imported", "json", "dumps"),
        ("dispatched", "orders_searched", "dispatched"),
    ],
)
def test_an_exact_name_means_whatever_has_it(name: str, module_of: str, qualname: str, module: Module) -> None:
    function = meant(module(ORDERS), f"orders_searched:{name}")[name]
    assert (function.__module__, function.__qualname__) == (module_of, qualname)


def test_the_call_of_any_function_of_a_singledispatch_is_a_call_of_that(module: Module) -> None:
    orders = module(ORDERS)
    assert meant(orders, "orders_searched:dispatched") == {"dispatched": orders.dispatched}


@pytest.mark.parametrize("name", sorted(NO_FUNCTIONS))
def test_what_is_no_function_of_that_place_means_nothing(name: str, module: Module) -> None:
    assert meant(module(ORDERS), f"orders_searched:{name}") == {}


def test_each_function_is_found_once_by_the_most_exact_pattern_and_then_the_first(module: Module) -> None:
    orders = module("def f(a): ...\ndef g(a): ...\ndef h(): ...\n")
    patterns, _ = read(
        "orders_*:*,orders_searched:*=All,orders_*:g=Some,orders_searched:f(a)=F,orders_searched:f=G,x:y"
    )
    meaning: set[object] = set()
    found = [(str(p), name) for p, name, _ in search.found(orders, patterns, meaning)]  # type: ignore[arg-type]
    assert found == [("orders_searched:f(a)=F", "f"), ("orders_*:g=Some", "g"), ("orders_*:*", "h")]
    assert {str(pattern) for pattern in meaning} == {str(pattern) for pattern in patterns[:5]}


def test_a_name_in_any_module_is_not_what_these_have_imported(module: Module) -> None:
    shop = module("from json import dumps\nfrom os.path import join\ndef own(): ...\n")
    assert set(meant(shop, "*:dumps", "*:join", "orders_*:dumps", "*:own")) == {"own"}


def test_a_star_in_the_first_place_leaves_out_what_is_installed(module: Module) -> None:
    import json.decoder

    assert meant(json.decoder, "*:JSONDecoder.decode") == meant(pytest, "*") == meant(search, "*") == {}  # type: ignore[arg-type]
    assert set(meant(json.decoder, "json.*:JSONDecoder.decode")) == {"JSONDecoder.decode"}
    installed = module("def f(): ...\n", "site-packages.thing_searched")
    assert (meant(installed, "*:f"), set(meant(installed, "site-packages.thing_searched:f"))) == ({}, {"f"})


# Objects that take it ill to be looked at: each says so and ends the search.
TOUCHY = """
import sys
from unittest import mock

told = []

def tell(*args):
    told.append(args)
    raise AssertionError(args)

class Meta(type):
    __getattribute__ = tell
    __instancecheck__ = tell
    __subclasscheck__ = tell

class Proxy:
    __slots__ = ("kept",)
    __getattribute__ = tell
    __getattr__ = tell
    __dict__ = property(tell)
    __class__ = property(tell)
    __eq__ = tell
    __hash__ = tell
    __bool__ = tell
    __len__ = tell
    __iter__ = tell
    __call__ = tell

class Descriptor:
    __get__ = tell

class Touchy(metaclass=Meta):
    descriptor = Descriptor()
    proxy = object.__new__(Proxy)
    def method(self): ...

class Holder: ...

proxy = object.__new__(Proxy)
holder = Holder()
holder.__dict__.update(func=proxy, callback=proxy, __wrapped__=proxy, name=Descriptor())
fake = mock.MagicMock()
def decorated(): ...
decorated.__wrapped__ = proxy
def f(): ...

def __getattr__(name):
    tell(name)
"""


def test_looking_runs_nothing_of_the_program(module: Module) -> None:
    touchy = module(TOUCHY, "touchy_searched")
    assert set(meant(touchy, "touchy_searched:*")) == {"tell", "f", "Touchy.method"}
    names = ["proxy", "holder", "fake", "decorated", "Touchy.descriptor", "Touchy.proxy", "Touchy.missing", "missing"]
    names += ["proxy.x", "fake.x", "holder.func", "Touchy.method", "f"]
    found = meant(touchy, *(f"touchy_searched:{name}" for name in names))
    assert (set(found), touchy.told) == ({"Touchy.method", "f"}, [])


def test_lazy_objects_of_libraries_are_not_woken(module: Module) -> None:
    lazy = module(
        """
        from django.conf import settings
        from django.utils.functional import SimpleLazyObject
        from flask import current_app, request
        from celery import Celery, shared_task

        woken = []
        thing = SimpleLazyObject(lambda: woken.append("thing"))
        app = Celery(set_as_current=False)
        @app.task
        def task(a): ...
        @app.task(bind=True, name="other")
        def bound_task(self, a): ...
        @shared_task
        def shared(a): ...
        def f(): ...
        """,
        "lazy_searched",
    )
    found = meant(lazy, "lazy_searched:*")
    assert {name: function.__qualname__ for name, function in found.items()} == {
        name: name for name in ("task", "bound_task", "shared", "f")
    }
    assert set(meant(lazy, *(f"lazy_searched:{name}" for name in ("settings", "request", "thing", "shared")))) == {
        "shared"
    }
    assert (lazy.woken, lazy.settings.configured, lazy.app.finalized) == ([], False, False)


def test_a_proxy_of_what_has_no_namespace_hides_no_function(module: Module) -> None:
    # What contrib's instrumentors put in the place of a sqlite3.Connection.
    source = """
    import sqlite3, wrapt
    class Engine:
        def __init__(self, connection): self.connection = wrapt.ObjectProxy(connection)
    engine = Engine(sqlite3.connect(":memory:"))
    def f(): ...
    """
    assert set(meant(module(source, "proxy_searched"), "proxy_searched:*")) == {"f"}


def test_a_lazy_module_is_not_loaded(module: Module) -> None:
    module("def f(): ...\nloaded = True\n", "later_searched")
    import importlib.util

    spec = importlib.util.find_spec("later_searched")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    sys.modules["later_searched"] = later = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(later)
    assert meant(later, "later_searched:f", "later_searched:*") == {}
    assert "loaded" not in object.__getattribute__(later, "__dict__")
    assert later.loaded
    assert set(meant(later, "later_searched:f")) == {"f"}


def test_an_object_in_the_place_of_a_module_is_searched_for_its_methods(module: Module) -> None:
    module(
        """
        import sys
        class Api:
            def call(self): ...
        api = Api()
        api.__name__ = __name__
        sys.modules[__name__] = api
        """,
        "replaced_searched",
    )
    api = sys.modules["replaced_searched"]
    found = meant(api, "replaced_searched:call")
    assert {name: function.__qualname__ for name, function in found.items()} == {"call": "Api.call"}


def test_the_script_is_searched_by_any_of_its_names(module: Module) -> None:
    script = module("def f(): ...\nclass C:\n    def m(self): ...\n", "script_searched")
    for held in (script.f, script.C, script.C.m):
        held.__module__ = "__main__"
    assert set(meant(script, "script_searched:*")) == set(meant(script, "*")) == {"f", "C.m"}


@pytest.mark.parametrize(
    ("name", "wanted"), [("f", ("m_searched", "f")), ("g", ("m_searched", "g")), ("dumps", ("json", "dumps"))]
)
def test_what_was_imported_keeps_the_name_of_where_it_comes_from(
    name: str, wanted: tuple[str, str], module: Module
) -> None:
    found = meant(module("from json import dumps\ndef f(): ...\ng = lambda: 1\n", "m_searched"), f"m_searched:{name}")
    assert search.identity("m_searched", name, found[name]) == wanted
