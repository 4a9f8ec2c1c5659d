"""What a span tells of an argument: shortened, masked, and never by running code of the program's."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any

import pytest

from otel_run.functions.arguments import LONGEST, Arguments

if TYPE_CHECKING:
    from servers.program import Traced

ARGUMENTS = Arguments(())
BARE = Arguments(None)
HERE = __name__
ID = "12345678-1234-5678-1234-567812345678"


def nameless(_value: object) -> str:
    """Keep pytest from calling the program's code."""
    return "value"


def told(value: object, name: str = "value") -> Any:
    return ARGUMENTS.told(name, value)


class Side(enum.Enum):
    BUY = 1


class Level(enum.IntEnum):
    HIGH = 3


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Order:
    """One whose every method is a mistake to call."""

    def _fail(self, *_: object) -> Any:
        raise AssertionError("the program's code was called")

    __str__ = __repr__ = __len__ = __iter__ = __eq__ = __bool__ = __format__ = __getitem__ = _fail
    __hash__ = __int__ = __float__ = keys = items = _fail


class Proxy:
    """One that says that it is something else."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise AssertionError("the program's code was called")


class Text(str):
    __slots__ = ()
    __str__ = __repr__ = __len__ = __iter__ = __eq__ = __hash__ = __getitem__ = Order._fail


class Number(int):
    __str__ = __repr__ = __int__ = __index__ = __eq__ = __hash__ = bit_length = Order._fail


class Real(float):
    __str__ = __repr__ = __float__ = __eq__ = __hash__ = Order._fail


class Row(tuple[Any, ...]):
    __iter__ = __len__ = __getitem__ = __repr__ = Order._fail


class Rows(list[Any]):
    __iter__ = __len__ = __getitem__ = __repr__ = Order._fail


class Document(dict[Any, Any]):
    __iter__ = __len__ = __getitem__ = items = keys = __repr__ = Order._fail


class Share(fractions.Fraction):
    __str__ = numerator = denominator = property(Order._fail)


class Moment(datetime.datetime):
    tzinfo = hour = property(Order._fail)


class Hour(datetime.time):
    tzinfo = hour = property(Order._fail)


class Meta(type):
    __mro__ = __module__ = property(Order._fail)


class Odd(metaclass=Meta):
    pass


class Zone(datetime.tzinfo):
    utcoffset = tzname = dst = Order._fail


@dataclasses.dataclass
class Line:
    product: str


Point = collections.namedtuple("Point", "x y")  # noqa: PYI024 - as programs have them


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("buy", "buy"),
        (True, True),
        (False, False),
        (7, 7),
        (-(2**63) + 1, -(2**63) + 1),
        (2**64, "18446744073709551616"),
        (1 << 100_000, "<int of 100001 bits>"),
        (0.5, 0.5),
        (None, None),
        (Side.BUY, "BUY"),
        (Level.HIGH, "HIGH"),
        (Access.READ, "READ"),
        (decimal.Decimal("9.90"), "9.90"),
        (fractions.Fraction(1, 3), "1/3"),
        (fractions.Fraction(4), "4"),
        (fractions.Fraction(1 << 100_000, 3), "<int of 100001 bits>/3"),
        (uuid.UUID(ID), ID),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (datetime.datetime(2024, 2, 29, 12, 30), "2024-02-29T12:30:00"),
        (datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc), "2024-02-29T12:00:00+00:00"),
        (datetime.datetime(2024, 2, 29, 12, tzinfo=Zone()), "2024-02-29T12:00:00"),
        (datetime.time(8, 15), "08:15:00"),
        (datetime.time(8, 15, tzinfo=Zone()), "08:15:00"),
        (datetime.timedelta(days=1, seconds=2), "1 day, 0:00:02"),
        (pathlib.Path("/var/orders.csv"), "/var/orders.csv"),
        (pathlib.PureWindowsPath("c:/orders"), "c:\\orders"),
        (b"secret", "<6 bytes>"),
        (bytearray(3), "<3 bytes>"),
        (["a", "b"], ("a", "b")),
        ((1, 2), (1, 2)),
        ({1.5}, (1.5,)),
        (frozenset((True,)), (True,)),
        ([], ()),
        ([1, "b", None, 2.5, True], ("1", "b", "null", "2.5", "true")),
        ([Side.BUY, uuid.UUID(ID)], ("BUY", ID)),
        (Point(1, 2), (1, 2)),
        ([Point(1, 2)], ("[1, 2]",)),
        ([[[1]]], ("[\"<list>\"]",)),
        ({"a": 1, "b": [True, None], 3: Side.BUY}, '{"a": 1, "b": [true, null], "3": "BUY"}'),
        ({"ä": {"b": {}}}, '{"ä": {"b": "<dict>"}}'),
        (object(), "<object>"),
        (Order(), f"<{HERE}.Order>"),
        (Order, "<type>"),
        (Line("pen"), f"<{HERE}.Line>"),
        ([Order(), Line("pen")], (f"<{HERE}.Order>", f"<{HERE}.Line>")),
        (len, "<builtin_function_or_method>"),
        (iter([1]), "<list_iterator>"),
    ],
    ids=nameless,
)  # fmt: skip
def test_a_value_is_told(value: object, expected: object) -> None:
    found = told(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Text("buy"), "buy"),
        (Number(5), 5),
        (Real(0.5), 0.5),
        (Row((1, 2)), (1, 2)),
        (Rows(["a"]), ("a",)),
        (Document({"a": Order()}), f'{{"a": "<{HERE}.Order>"}}'),
        (Proxy(), f"<{HERE}.Proxy>"),
        (Share(1, 3), "1/3"),
        (Moment(2024, 2, 29), "2024-02-29T00:00:00"),
        (Hour(8, tzinfo=Zone()), "08:00:00"),
        (Odd(), f"<{HERE}.Odd>"),
    ],
    ids=nameless,
)
def test_a_subclass_of_the_programs_is_told_without_calling_it(value: object, expected: object) -> None:
    found = told(value)
    assert found == expected
    assert type(found) is type(expected)


def test_a_zone_of_pythons_own_is_told() -> None:
    at = datetime.datetime(2024, 2, 29, 12, tzinfo=zoneinfo.ZoneInfo("UTC"))
    assert told(at) == "2024-02-29T12:00:00+00:00"


def test_what_is_no_number_stays_one() -> None:
    assert math.isnan(told(math.nan))


def test_a_long_text_is_shortened() -> None:
    assert told("x" * LONGEST) == "x" * LONGEST
    assert told("x" * (LONGEST + 1)) == "x" * (LONGEST - 1) + "…"
    assert len(told({"a": "x" * 200, "b": "y" * 200})) == LONGEST


def test_of_a_long_sequence_the_first_are_told() -> None:
    assert told(list(range(20))) == tuple(range(20))
    assert told(list(range(100))) == (*map(str, range(20)), "… 80 more")
    assert told({str(number): number for number in range(100)}).endswith('"19": 19, "…": "80 more"}')


def test_what_holds_itself_is_told() -> None:
    endless: list[Any] = [1]
    endless.append(endless)
    assert told(endless) == ("1", '[1, "<list>"]')


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "passwd",
        "pwd",
        "secret",
        "client_secret",
        "token",
        "apiKey",
        "api_key",
        "authorization",
        "credentials",
        "private_key",
    ],
)
@pytest.mark.parametrize("value", ["hunter2", 12345, ["hunter2"], {"a": "hunter2"}, Order()], ids=nameless)
def test_a_secret_is_hidden_by_its_name(name: str, value: object) -> None:
    assert told(value, name) == "REDACTED"
    assert BARE.told(name, value) != "REDACTED"


def test_whether_there_is_a_secret_is_none() -> None:
    assert told(True, "token") is True
    assert told(None, "token") is None


def test_a_secret_is_hidden_wherever_it_is() -> None:
    assert told({"user": "ann", "password": "hunter2"}) == '{"user": "ann", "password": "REDACTED"}'
    assert told([{"token": "hunter2"}]) == ('{"token": "REDACTED"}',)
    assert told("Bearer abcdefgh", "header") == "REDACTED"
    assert told("user:1", "key") == "user:1"
    assert told("A" * 20, "key") == "REDACTED"


Login = collections.namedtuple("Login", "user password")  # noqa: PYI024


class Session(Login):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Login("ann", "hunter2"), ("ann", "REDACTED")),
        ([Session("ann", "hunter2")], ('["ann", "REDACTED"]',)),
        (("password", "hunter2"), ("password", "REDACTED")),
        ([("password", 12345), ("user", "ann")], ('["password", "REDACTED"]', '["user", "ann"]')),
        ("host=db user=ann password=hunter2", "host=db user=ann password=REDACTED"),
        ("password='hunter 2' host=db", "password='REDACTED' host=db"),
        ("Server=db;Uid=ann;Pwd=hunter2;", "Server=db;Uid=ann;Pwd=REDACTED;"),
        ("password=hunter2&user=ann", "password=REDACTED&user=ann"),
        ('{"user": "ann", "password": "hunter\\" 2"}', '{"user": "ann", "password": "REDACTED"}'),
        ("{'user': 'ann', 'password': 'hunter2'}", "{'user': 'ann', 'password': 'REDACTED'}"),
        ('{"pin": 1, "token":4711}', '{"pin": 1, "token":REDACTED}'),
        ("2 + 2 = 4: token", "2 + 2 = 4: token"),
    ],
    ids=nameless,
)
def test_a_secret_is_hidden_by_the_name_that_is_beside_it(value: object, expected: object) -> None:
    assert told(value) == expected
    assert "hunter" in str(BARE.told("value", value)) or "hunter" not in str(value)


def test_secrets_by_the_dozen_are_hidden() -> None:
    assert told(["hunter2"], "passwords") == ("REDACTED",)
    assert told({"api_keys": ["hunter2"]}) == '{"api_keys": ["REDACTED"]}'
    assert told(512, "max_tokens") == 512
    assert told("abc", "keys") == "abc"


def test_names_of_the_users_are_hidden() -> None:
    arguments = Arguments(("key:customer", r"\d{16}"))
    assert arguments.told("customer_name", "Ann") == "REDACTED"
    assert arguments.told("order", {"Customer": "Ann", "id": 1}) == '{"Customer": "REDACTED", "id": 1}'


def test_a_statement_is_told_without_its_values() -> None:
    statement = "SELECT * FROM users WHERE email = 'ann@example.org'"
    assert told(statement) == "SELECT * FROM users WHERE email = ?"
    assert BARE.told("query", statement) == statement
    assert told("select the best") == "select the best"


def test_a_password_whose_url_is_cut_before_its_end_is_hidden() -> None:
    dsn = "postgresql://" + "u" * 230 + ":hunter2hunter2hunter2@db/orders"
    assert told(dsn) == "postgresql://REDACTED:REDACTED@db/orders"
    assert BARE.told("dsn", dsn) == dsn[: LONGEST - 1] + "…"


PROGRAM = """
    import orders
    orders.process(
        7, "https://ann:hunter2@db/?token=hunter2&page=1", "SELECT * FROM users WHERE name = 'hunter2'", "hunter2",
        {"dsn": "postgresql://ann:hunter2@db/orders"}, "hunter2 was here",
    )
"""
ORDERS = "def process(order_id, url, query, password, options, customer_note):\n    pass\n"
TRACED = {"OTEL_RUN_TRACE": "orders:process(order_id,url,query,password,options,customer_note)"}
SHOWN = {
    "order_id": 7,
    "url": "https://REDACTED:REDACTED@db/?token=REDACTED&page=1",
    "query": "SELECT * FROM users WHERE name = ?",
    "password": "REDACTED",
    "options": '{"dsn": "postgresql://REDACTED:REDACTED@db/orders"}',
    "customer_note": "hunter2 was here",
}
OFF = {
    "order_id": 7,
    "url": "https://ann:hunter2@db/?token=hunter2&page=1",
    "query": "SELECT * FROM users WHERE name = 'hunter2'",
    "password": "hunter2",
    "options": '{"dsn": "postgresql://ann:hunter2@db/orders"}',
    "customer_note": "hunter2 was here",
}


@pytest.mark.parametrize(
    ("redact", "expected"),
    [
        ("", SHOWN),
        ("off", OFF),
        ("key:customer", SHOWN | {"customer_note": "REDACTED"}),
        ("hunter\\d", SHOWN | {"customer_note": "REDACTED was here"}),
    ],
)
def test_what_leaves_of_arguments_is_masked_as_all_else(traced: Traced, redact: str, expected: dict[str, Any]) -> None:
    (traced.folder / "orders.py").write_text(ORDERS)
    run = traced(PROGRAM, env={**TRACED, "OTEL_RUN_REDACT": redact})
    told = run.span("process").attributes
    assert {name: told[name] for name in told if not name.startswith("code.")} == expected
