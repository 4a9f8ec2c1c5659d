"""Texts of exceptions: what a database complains about goes, what explains the error stays."""

from __future__ import annotations

import sqlite3
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_run.masking.error import is_database_error, mask

SQLALCHEMY = """(psycopg.errors.UniqueViolation) duplicate key value violates unique constraint "users_email_key"
DETAIL:  Key (email)=(bob@example.com) already exists.
[SQL: INSERT INTO users (email, pin)
VALUES ('bob@example.com', %(pin)s) RETURNING a[1]]
[parameters: {'pin': '1234', 'note': 'a] b'}]
(Background on this error at: https://sqlalche.me/e/20/gkpj)"""

SQLALCHEMY_MASKED = """(psycopg.errors.UniqueViolation) duplicate key value violates unique constraint "users_email_key"
DETAIL: ?
[SQL: INSERT INTO users (email, pin)
VALUES (?, %(pin)s) RETURNING a[?]]
[parameters: ?
(Background on this error at: https://sqlalche.me/e/20/gkpj)"""


@pytest.mark.parametrize("of_database", [True, False])
def test_what_sqlalchemy_appends_is_masked(of_database: bool) -> None:
    assert mask(SQLALCHEMY, of_database) == SQLALCHEMY_MASKED


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ('invalid input syntax for type integer: "4111 1111"', "invalid input syntax for type integer: ?"),
        ('null in column "pin" of relation "users" is bad', 'null in column "pin" of relation "users" is bad'),
        ("(1062, \"Duplicate entry 'bob@example.com' for key 'email'\")", "(1062, ?)"),
        ("syntax error at or near \"s3cret\"\nLINE 1: SELECT 's3cret'\n               ^",
         "syntax error at or near ?\nLINE 1: ?\n               ^"),
        ("Command # 1 (LPUSH s s3cret (x) y) of pipeline caused error: WRONGTYPE no list",
         "Command # 1 (LPUSH s ? ? ?) of pipeline caused error: WRONGTYPE no list"),
        ("unknown command 'X', with args beginning with: 's3cret'", "unknown command ?, with args beginning with: ?"),
        ("couldn't get a connection after 'x' sec", "couldn't get a connection after ? sec"),
        ('connection to server at "h", port 1 failed', 'connection to server at "h", port 1 failed'),
        ("UNIQUE constraint failed: users.email", "UNIQUE constraint failed: users.email"),
        ("could not connect to postgresql://me:s3cret@host/db", "could not connect to postgresql://REDACTED:REDACTED@host/db"),
    ],
)  # fmt: skip
def test_a_message_of_a_database_keeps_names_and_loses_values(message: str, masked: str) -> None:
    assert mask(message, of_database=True) == masked


def test_the_message_of_another_error_is_the_programs_own_words() -> None:
    assert (
        mask("no order 'A-17' see http://u:p@h/?token=x")
        == "no order 'A-17' see http://REDACTED:REDACTED@h/?token=REDACTED"
    )


def test_the_errors_at_the_ends_of_a_stack_trace_are_masked_and_the_code_is_not() -> None:
    try:
        try:
            raise sqlite3.OperationalError("no luck with 's3cret'")
        except sqlite3.OperationalError as error:
            raise ValueError("it's the program's 'own' error") from error
    except ValueError:
        text = traceback.format_exc()
    masked = mask(text)
    assert "sqlite3.OperationalError: no luck with ?\n" in masked
    assert masked == text.replace("luck with 's3cret'\n", "luck with ?\n")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("psycopg.errors.UniqueViolation", True),
        ("sqlalchemy.exc.IntegrityError", True),
        ("sqlite3.OperationalError", True),
        ("django.db.utils.IntegrityError", True),
        ("psycopgx.Error", False),
        ("ValueError", False),
        ("mysqlike.Error", False),
    ],
)
def test_database_errors_are_told_by_their_module(kind: str, expected: bool) -> None:
    assert is_database_error(kind) is expected


@given(st.text(st.sampled_from("\"'\n[]:SQLparameters: DETAIL()ab1 %@/?=token"), max_size=120), st.booleans())
def test_masking_twice_changes_nothing(text: str, of_database: bool) -> None:
    once = mask(text, of_database)
    assert mask(once, of_database) == once


def test_a_megabyte_is_masked_in_one_go() -> None:
    for part in ("'", '"a', "[SQL: ", "[SQL: x]\n", "DETAIL: \n", "\n", "sqlite3.Error: '"):
        mask(part * 100_000, of_database=True)
        mask(part * 100_000)


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ('invalid input syntax for type integer: "one\ns3cret"\nLINE 1: x',
         "invalid input syntax for type integer: ?\nLINE 1: ?"),
        ('invalid input syntax for type integer: "a"s3cret"b"', "invalid input syntax for type integer: ?"),
        ("Duplicate entry 'O'Brien s3cret' for key 'name'", "Duplicate entry ? for key ?"),
        ("Cannot insert duplicate key in object 'dbo.t'. The duplicate key value is (s3cret).",
         "Cannot insert duplicate key in object ?. The duplicate key value is ?."),
        ("E11000 duplicate key error collection: db.c index: pin_1 dup key: { pin: 731 }",
         "E11000 duplicate key error collection: db.c index: pin_1 dup key: ?"),
        ("RaiseException: s3cret happened\ns3cret\nHINT:  s3cret\nCONTEXT:  s3cret",
         "RaiseException: ?\nHINT: ?\nCONTEXT: ?"),
        ("(psycopg2.errors.RaiseException) s3cret\n[SQL: SELECT f()]",
         "(psycopg2.errors.RaiseException) ?\n[SQL: SELECT f()]"),
    ],
)  # fmt: skip
def test_values_with_quotes_or_newlines_in_them_and_messages_of_procedures_do_not_leave(
    message: str, masked: str
) -> None:
    assert mask(message, of_database=True) == masked
    assert mask(masked, of_database=True) == masked


def test_a_message_of_which_a_limit_has_cut_the_end_is_masked_to_its_end() -> None:
    assert mask("error\n[SQL: INSERT INTO t VALUES ('a'), ('s3cret") == "error\n[SQL: INSERT INTO t VALUES (?), (?"
    assert mask("Command # 1 (SET k s3cr") == "Command # 1 (SET k ?"


def test_the_errors_in_the_trace_of_an_exception_group_are_masked() -> None:
    text = """  + Exception Group Traceback (most recent call last):
  |   File "app.py", line 1, in <module>
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "app.py", line 2, in one
    | asyncpg.exceptions.InvalidTextRepresentationError: invalid input syntax for type integer: "s3cret"
    | DETAIL:  s3cret
    +------------------------------------
"""
    masked = mask(text)
    assert masked == text.replace(': "s3cret"', ": ?").replace("DETAIL:  s3cret", "DETAIL: ?")


def test_a_password_that_was_taken_for_a_port_does_not_leave() -> None:
    assert mask("nonnumeric port: 's3cret@host'") == "nonnumeric port: 'REDACTED@host'"
    assert (
        mask("ValueError: invalid literal for int() with base 10: 's3cret@host'")
        == "ValueError: invalid literal for int() with base 10: 'REDACTED@host'"
    )


@pytest.mark.parametrize("part", ["a", "Command # 1 (", "[SQL: a\n", "]\n", "| ", "psycopg.", "//a:b/", '": "', "\n\n"])
def test_a_long_message_takes_no_longer_than_its_length(part: str) -> None:
    # Were any pattern quadratic, this test would not end.
    for before in ("", "@", "[SQL: ", "psycopg.Error: "):
        mask(before + part * (1_000_000 // len(part)), of_database=True)
        mask(before + part * (1_000_000 // len(part)))
