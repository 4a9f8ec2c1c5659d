"""Attributes, as the SDK takes, changes, refuses and shows them: the same calls on both, equal results."""

from __future__ import annotations

import datetime
import enum
from collections import ChainMap, OrderedDict, UserDict, UserList, deque
from collections.abc import Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from tracing.like_sdk import Side, compare


class Told:
    def __str__(self) -> str:
        return "told"


class Shown:
    def __repr__(self) -> str:
        return "shown"


class Mute: ...


class Broken:
    def __str__(self) -> str:
        raise LookupError("no text")


class Text(str):
    __slots__ = ("note",)


class Number(int):
    pass


class Level(enum.IntEnum):
    HIGH = 3


class Colour(enum.Enum):
    RED = "red"


class Word(str, enum.Enum):
    YES = "yes"


class Scalar:
    """As numpy's: it counts like a number, and is none."""

    dtype = "float64"

    def __float__(self) -> float:
        return 1.5

    def item(self) -> float:
        return 1.5

    def __repr__(self) -> str:
        return "np.float64(1.5)"


class Array:
    """As numpy's: it is iterated like a sequence, and is none."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return [1, 2][index]

    def __bool__(self) -> bool:
        raise ValueError("The truth value of an array is ambiguous")

    def __repr__(self) -> str:
        return "array([1, 2])"


class Lazy(Mapping[str, Any]):
    """A mapping that makes its values when it is asked."""

    def __init__(self, **given: Any) -> None:
        self._given = given

    def __getitem__(self, key: str) -> Any:
        return self._given[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


VALUES: list[Any] = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**64, 10**100, 0.0, -0.0, 1.5, float("nan"), float("inf"),
    "", "text", "\x00", "snow \u2603", "\ud800 alone", "x" * 300, b"", b"\xff\x00", bytearray(b"ab"), memoryview(b"ab"),
    [], (), ["a", "b"], ("a", 1, None, 2.5, True, b"c"), [1, "a"], [[1, [2]], ({"a": [3]},)], range(3), deque([1, 2]),
    UserList([1]), {1, 2}, frozenset("a"), {}, {"a": 1}, {"a": {"b": {"c": [1, {"d": None}]}}}, {1: "a", "b": 2},
    {"": 1, "b": 2}, {None: 1, 0: 2, (1, 2): 3, b"k": 4}, {Told(): 1}, OrderedDict(a=1), UserDict(a=[1]),
    ChainMap({"a": 1}, {"b": 2}), MappingProxyType({"a": 1}), Lazy(a=[1]), Lazy(),
    object(), Told(), Shown(), Mute(), Broken(), [Told(), Mute(), None], {"a": Mute(), "b": Told()}, [Broken()],
    Text("a text"), Number(7), Level.HIGH, Colour.RED, Word.YES, Scalar(), [Scalar()], Array(), Decimal("1.10"), 1 + 2j,
    datetime.date(2024, 2, 29), datetime.timedelta(1), Told, len, iter(()), ..., NotImplemented, ValueError("bad"),
]  # fmt: skip
KEYS: list[Any] = [
    "key", "", " ", "\ud800", "k" * 1000, Text("a key"), Word.YES, 1, 0, 1.5, None, True, False, b"key", b"", ("a",),
    (), object(), Told(), Shown(), Mute(), Level.HIGH, [], ["a"],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}")
def test_a_value_of_any_type(value: Any) -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        side.try_("one", lambda: span.set_attribute("one", value))
        side.try_("more", lambda: span.set_attributes({"before": 1, "more": value, "after": 2}))
        side.try_("event", lambda: span.add_event("event", {"before": 1, "of event": value}))
        side.note("the span", span)
        span.end()
        given = {"a": 1, "at start": value}
        side.try_("at the start", lambda: side.tracer.start_span("second", attributes=given).end())

    compare(program)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{type(key).__name__}")
def test_a_key_of_any_type(key: Any) -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        side.try_("one", lambda: span.set_attribute(key, "one"))
        side.try_("none", lambda: span.set_attribute(key, None))
        side.note("the span", span)
        side.try_("more", lambda: span.set_attributes({"before": 1, key: "more", "after": 2}))
        side.note("the span", span)
        side.try_("event", lambda: span.add_event("event", {"before": 1, key: [1]}))
        span.end()
        side.try_("at the start", lambda: side.tracer.start_span("second", attributes={"a": 1, key: 2}).end())

    compare(program)


@pytest.mark.parametrize(
    "given",
    [None, {}, {"a": 1}, MappingProxyType({"a": 1}), Lazy(a=1, b=[1]), Lazy(), UserDict(a=1), OrderedDict(b=1, a=2),
     ChainMap({"a": 1}, {"b": 2}), [], [("a", 1)], (), 0, 1, "", "ab", {"a"}, Mute(), Array(), {1: 2}, {None: 1, "": 2},
     {"1": "text", 1: "number"}],
    ids=lambda given: f"{type(given).__name__}",
)  # fmt: skip
def test_attributes_in_any_container(given: Any) -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span", attributes={"kept": True})
        side.try_("more", lambda: span.set_attributes(given))
        side.try_("event", lambda: span.add_event("event", given))
        side.try_("exception", lambda: span.record_exception(ValueError("bad"), given))
        side.note("the span", span)
        span.end()
        side.try_("at the start", lambda: side.tracer.start_span("second", attributes=given).end())

    compare(program)


def test_what_is_given_may_be_changed_later_and_the_span_is_not() -> None:
    def program(side: Side) -> None:
        numbers, nested, at_start = [1], {"a": [1], "b": {"c": 1}}, {"a": 1, "numbers": [1]}
        of_event, data = {"numbers": [1]}, bytearray(b"ab")
        span = side.tracer.start_span("span", attributes=at_start)
        span.set_attribute("numbers", numbers)
        span.set_attribute("nested", nested)
        span.set_attribute("data", data)
        more = {"x": [1], "y": 2}
        span.set_attributes(more)
        span.add_event("event", of_event)
        for changed in (numbers, nested["a"], at_start["numbers"], of_event["numbers"], more["x"], data):
            changed.append(2)  # type: ignore[attr-defined]
        nested["b"]["d"] = 2  # type: ignore[index, call-overload]
        for changed in (at_start, of_event, nested, more):
            changed["late"] = True  # type: ignore[index]
        side.note("the span", span)
        span.end()

    compare(program)


def test_an_object_is_told_as_it_is_at_the_call() -> None:
    class Changing:
        text = "first"

        def __str__(self) -> str:
            return self.text

    def program(side: Side) -> None:
        value = Changing()
        span = side.tracer.start_span("span", attributes={"at start": value})
        span.set_attribute("one", value)
        span.set_attributes({"more": value, "in a list": [value]})
        value.text = "second"
        side.note("the span", span)
        span.set_attribute("late", value)
        span.end()

    compare(program)


def test_an_attribute_that_is_set_again_moves_to_the_end() -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span", attributes={"a": 1, "b": 2, "c": 3})
        span.set_attribute("a", 4)
        side.note("one", span)
        span.set_attributes({"b": 5, "d": 6})
        side.note("more", span)
        span.set_attribute("c", None)
        span.set_attribute("d", True)
        span.set_attribute("d", 1)
        span.end()

    compare(program)


def _read(side: Side, shown: Any, key: str) -> None:
    """Note whatever can be asked of a mapping."""
    side.note("kind", isinstance(shown, Mapping))
    for name, ask in {
        "len": len, "keys": lambda m: list(m.keys()), "values": lambda m: list(m.values()), "dict": dict,
        "items": lambda m: list(m.items()), "iter": list, "get": lambda m: m.get(key), "miss": lambda m: m["missing"],
        "missing": lambda m: m.get("missing", "no"), "in": lambda m: (key in m, "missing" in m, 1 in m),
        "equal": lambda m: (m == dict(m), dict(m) == m, m == {}, m != dict(m)), "text": str, "repr": repr,
        "copy": lambda m: m.copy(), "or": lambda m: m | {"more": 1}, "ror": lambda m: {"more": 1} | m,
        "reversed": lambda m: list(reversed(m)), "hash": lambda m: hash(m) and None, "bool": bool,
        "unhashable": lambda m: [] in m, "expanded": lambda m: {**m},
        "set": lambda m: m.__setitem__(key, 0), "delete": lambda m: m.__delitem__(key), "pop": lambda m: m.pop(key),
        "clear": lambda m: m.clear(), "update": lambda m: m.update({key: 0}), "default": lambda m: m.setdefault(key, 0),
    }.items():  # fmt: skip
        side.try_(name, lambda ask=ask: ask(shown))  # type: ignore[misc]


def test_attributes_are_a_view_that_follows_the_span_and_cannot_be_changed() -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span", attributes={"a": 1, "b": [1, 2]})
        shown = span.attributes
        _read(side, shown, "a")
        span.set_attribute("late", 2)
        _read(side, shown, "late")
        span.end()
        _read(side, shown, "late")
        _read(side, side.tracer.start_span("empty").attributes, "late")
        (ended,) = side.exporter.get_finished_spans()
        _read(side, ended.attributes, "a")
        side.note("same", shown == ended.attributes)

    compare(program)


def test_attributes_of_events_and_links_cannot_be_changed() -> None:
    def program(side: Side) -> None:
        context = side.tracer.start_span("other").get_span_context()
        span = side.tracer.start_span("span")
        span.add_event("event", {"a": 1, "b": [1]})
        span.add_event("bare")
        span.add_link(context, {"a": 1, "b": [1]})
        span.add_link(context)
        for part in (*span.events, *span.links):
            _read(side, part.attributes, "a")
        span.end()

    compare(program)


def test_what_processors_find_inside_behaves_as_theirs() -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span", attributes={"a": 1})
        inside = span._attributes
        inside["b"] = [2]
        inside["bad"] = Mute()
        side.try_("bad key", lambda: inside.__setitem__("", 1))
        side.try_("update", lambda: inside.update({"c": 3}))
        del inside["a"]
        side.try_("delete", lambda: inside.__delitem__("a"))
        side.note("popped", inside.pop("c"))
        side.note("default", inside.setdefault("e", [1]))
        side.note("inside", inside)
        side.note("state", (inside.maxlen, inside.max_value_len, inside.dropped, inside._immutable))
        side.note("plain", inside._dict)
        span.end()
        side.note("state", (inside.dropped, inside._immutable))
        _read(side, inside, "b")

    compare(program)
