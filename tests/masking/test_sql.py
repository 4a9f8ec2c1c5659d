"""Masking and summing up SQL: no literal of any dialect survives, and every name, marker and shape does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_run.masking import sql
from otel_run.masking.sql import mask, read

SYSTEMS = [
    "other_sql",
    "postgresql",
    "mysql",
    "mariadb",
    "sqlite",
    "microsoft.sql_server",
    "oracle.db",
    "clickhouse",
    "gcp.bigquery",
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT 7, -7, +7, 0.5, .5, -.5, 7., 1e10, -1.5E-7", "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?"),
        ("SELECT 0xDEADbeef, 0b101, 1_000_000", "SELECT ?, ?, ?"),
        ("SELECT a-7, b - 7, (c)-7, 5+7", "SELECT a-?, b - ?, (c)-?, ??"),
        ("SELECT r2d2, a1.b2 FROM t3 WHERE c4=5", "SELECT r2d2, a1.b2 FROM t3 WHERE c4=?"),
        ("SELECT 'it''s', '', 'a\nb', 'trailing\\'", "SELECT ?, ?, ?, ?"),
        ("SELECT E'it\\'s', N'x', X'ff', b'01', U&'d\\0061t', _utf8'x'", "SELECT ?, ?, ?, ?, ?, ?"),
        ("SELECT $$it's$$, $tag$a $$ b$tag$, $1", "SELECT ?, ?, $1"),
        ("SELECT TRUE, false, a IS TRUE, b IS NOT FALSE", "SELECT ?, ?, a IS TRUE, b IS NOT FALSE"),
        ("SELECT '1'::int, DATE '2020-01-01', INTERVAL '1 day'", "SELECT ?::int, DATE ?, INTERVAL ?"),
        ("SELECT data->>'k', data #> '{a}', data @> '{}', a[1:3]", "SELECT data->>?, data #> ?, data @> ?, a[?:?]"),
        ('SELECT "a""b", `c``d` FROM "my ""t"', 'SELECT "a""b", `c``d` FROM "my ""t"'),
        ("SELECT %s, %(name)s, %b, ?, ?1, :name, :1, $1, @x", "SELECT %s, %(name)s, %b, ?, ?1, :name, :1, $1, @x"),
        ("SELECT a %% 5, a %5", "SELECT a %% ?, a %?"),
        ("SELECT 1 -- a 'secret'\nFROM/* the /* inner */ secret */t", "SELECT ? \nFROM t"),
        ("SELECT 'unfinished", "SELECT ?"),
        ('SELECT "unfinished', "SELECT ?"),
        ("SELECT $$unfinished", "SELECT ?"),
        ("SELECT 1 /* unfinished 'x'", "SELECT ? "),
        ("SELECT a FROM t WHERE a IN (1, 'b', -3)", "SELECT a FROM t WHERE a IN (?)"),
        ("SELECT a FROM t WHERE a NOT IN (?, ?)", "SELECT a FROM t WHERE a NOT IN (?)"),
        ("SELECT a FROM t WHERE a IN (%s, %s)", "SELECT a FROM t WHERE a IN (%s, %s)"),
        ("SELECT a FROM t WHERE a IN (1, b, 3)", "SELECT a FROM t WHERE a IN (?, b, ?)"),
        ("SELECT a FROM t WHERE a IN (1, 2,", "SELECT a FROM t WHERE a IN (?, ?,"),
        ("INSERT INTO t VALUES (1, 2), (3, 4)", "INSERT INTO t VALUES (?, ?), (?, ?)"),
        ("CREATE USER u IDENTIFIED BY s3cret", "CREATE USER u IDENTIFIED BY ?"),
        ("", ""),
    ],
)
def test_literals_become_question_marks_and_the_rest_stays(query: str, expected: str) -> None:
    assert mask(query) == expected


@pytest.mark.parametrize(
    ("system", "query", "expected"),
    [
        ("mysql", "SELECT 'it\\'s', \"it\"\"s\", `a` # 's3cret'", "SELECT ?, ?, `a` "),
        ("mysql", "SELECT 5--3, a -- comment", "SELECT ?-?, a "),
        ("mysql", "SELECT 1 /* a /* b */, 2", "SELECT ? , ?"),
        ("postgresql", "SELECT 'C:\\', 's3cret'", "SELECT ?, ?"),
        (
            "microsoft.sql_server",
            "SELECT [it's], [a]]b], $12.50 FROM [dbo].[t]",
            "SELECT [it's], [a]]b], ? FROM [dbo].[t]",
        ),
        ("sqlite", "SELECT [it's] FROM [t]", "SELECT [it's] FROM [t]"),
        (
            "oracle.db",
            "SELECT q'[it's]', nq'!x!', v$session.a FROM v$session",
            "SELECT ?, ?, v$session.a FROM v$session",
        ),
        ("gcp.bigquery", "SELECT '''it's s3cret''', rb\"\"\"a\"s3cret\"\"\", 'a\\'s3cret'", "SELECT ?, ?, ?"),
        ("tidb", "SELECT \"s3cret\", 'a\\'s3cret'", "SELECT ?, ?"),
        (
            "sqlite",
            'SELECT "a" FROM "t" WHERE "t"."b" = "t"."c" AND b = "s3cret"',
            'SELECT "a" FROM "t" WHERE "t"."b" = "t"."c" AND b = ?',
        ),
        (
            "sqlite",
            'INSERT INTO t ("a") VALUES (NULL, "s3cret") RETURNING "a"',
            'INSERT INTO t ("a") VALUES (NULL, ?) RETURNING "a"',
        ),
        (
            "sqlite",
            'SELECT a FROM t WHERE a IN ("s3cret", "b") OR a LIKE "s3cret"',
            "SELECT a FROM t WHERE a IN (?) OR a LIKE ?",
        ),
    ],
)
def test_each_dialect_is_read_by_its_own_rules(system: str, query: str, expected: str) -> None:
    assert mask(query, system) == expected


@pytest.mark.parametrize(
    ("query", "summary"),
    [
        ("SELECT 1", "SELECT"),
        ("select a from Orders", "select Orders"),
        ("SELECT DISTINCT a FROM orders o JOIN s.customers c ON o.a = c.a, items", "SELECT orders s.customers items"),
        ("SELECT a FROM (SELECT b FROM orders) x", "SELECT SELECT orders"),
        ("SELECT a FROM t WHERE b IN (SELECT c FROM u)", "SELECT t SELECT u"),
        ("SELECT a FROM t UNION ALL SELECT a FROM u", "SELECT t u"),
        ("SELECT extract(year FROM d), trim(both ' ' from e) FROM t WHERE a IS DISTINCT FROM b", "SELECT t"),
        ("SELECT * FROM generate_series(1, 9) n, t", "SELECT t"),
        ("SELECT a FROM t FOR UPDATE", "SELECT t"),
        ('SELECT a FROM "public"."orders", "order lines"', 'SELECT public.orders "order lines"'),
        ("WITH x AS (SELECT a FROM t) DELETE FROM u USING x", "SELECT t DELETE u x"),
        ("INSERT INTO a SELECT * FROM b", "INSERT a SELECT b"),
        ("INSERT OR REPLACE INTO a (b) VALUES (1)", "INSERT a"),
        ("INSERT INTO a (b) VALUES (1) ON CONFLICT (b) DO UPDATE SET b = 2", "INSERT a"),
        ("UPDATE ONLY t SET a = 1 FROM u", "UPDATE t u"),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET a = 1", "MERGE t u"),
        ("EXPLAIN ANALYZE SELECT a FROM t", "EXPLAIN SELECT t"),
        ("TRUNCATE TABLE t", "TRUNCATE t"),
        ("COPY t (a) FROM STDIN", "COPY t"),
        ("COPY (SELECT a FROM t) TO STDOUT", "COPY SELECT t"),
        ("CREATE TABLE IF NOT EXISTS s.t (a int DEFAULT 5)", "CREATE TABLE s.t"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX i"),
        ("CREATE INDEX ON t (a)", "CREATE INDEX"),
        ("CREATE OR REPLACE VIEW v AS SELECT a FROM t", "CREATE VIEW v"),
        ("CREATE TRIGGER g AFTER UPDATE ON t BEGIN DELETE FROM u; END;", "CREATE TRIGGER g"),
        ("ALTER TABLE t ADD COLUMN a int", "ALTER TABLE t"),
        ("DROP TABLE IF EXISTS t", "DROP TABLE t"),
        ("CALL p(1)", "CALL p"),
        ("EXEC dbo.p @a = 1", "EXEC dbo.p"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN"),
        ("START TRANSACTION READ ONLY", "START TRANSACTION"),
        ("COMMIT", "COMMIT"),
        ("SAVEPOINT sa_1", "SAVEPOINT"),
        ("ROLLBACK TO SAVEPOINT sa_1", "ROLLBACK TO SAVEPOINT"),
        ("SET search_path = x", "SET"),
        ("GRANT SELECT ON t TO u", "GRANT"),
        ("/* c */ SELECT a -- FROM x\nFROM t", "SELECT t"),
        ("SELECT 1; DELETE FROM t", "SELECT DELETE t"),
        ("", ""),
    ],
)
def test_the_summary_names_operations_and_targets_in_order(query: str, summary: str) -> None:
    assert read(query).summary == summary


@pytest.mark.parametrize(
    ("query", "operation", "collection"),
    [
        ("SELECT a FROM t", "SELECT", "t"),
        ("SELECT a FROM t, u", "SELECT", ""),
        ("INSERT INTO a SELECT * FROM b", "", ""),
        ("CREATE TABLE t (a int)", "CREATE TABLE", "t"),
        ("CREATE INDEX i ON t (a)", "CREATE INDEX", ""),
        ("CALL p()", "CALL", ""),
    ],
)
def test_operation_and_collection_are_told_where_there_is_one(query: str, operation: str, collection: str) -> None:
    assert read(query)[2:] == (operation, collection)


def test_the_summary_is_cut_between_words() -> None:
    tables = [f"table_{'x' * 20}_{n}" for n in range(20)]
    summary = read("SELECT * FROM " + ", ".join(tables)).summary
    assert len(summary) <= 255
    assert summary.split()[1:] == tables[: len(summary.split()) - 1]
    assert read("SELECT * FROM " + "t" * 300 + ", u").summary == "SELECT"


def test_a_text_is_read_no_further_than_a_span_has_use_for() -> None:
    cut = sql.describe("SELECT '" + "s3cret" * 10_000 + "'")
    assert cut.text == "SELECT ?"
    assert len(sql.describe("SELECT " + "a, " * 100_000).text) == sql.LONGEST


@pytest.mark.parametrize(
    "piece", ["'", '""', "$a$", "/*", "/* */", "(", "%(", "1,", "e'\\", "[", "`", "@", "a = 'x' AND "]
)
@pytest.mark.parametrize("system", ["postgresql", "mysql", "microsoft.sql_server", "sqlite", "gcp.bigquery"])
def test_a_long_text_takes_no_longer_than_its_length(piece: str, system: str) -> None:
    # Were any token quadratic, this test would not end.
    mask(piece * (300_000 // len(piece)), system)


TOKENS = """
    ' '' " "" ` [ ] ]] $ $$ $a$ $1 / * - -- # \\ ( ) , ; . : :: :a :1 ? %s %(a)s % + 1 .5 1e5 0x1 e E' N' q'[ _a' /* */
    a IN IN( SELECT FROM JOIN UPDATE BY IDENTIFIED TRUE IS @a
"""
FRAGMENTS = st.sampled_from([*TOKENS.split(), "é", "²", "\n", "\x00", " "])
ANYTHING = st.one_of(st.text(), st.lists(FRAGMENTS, max_size=40).map("".join), st.lists(FRAGMENTS).map(" ".join))


@given(text=ANYTHING, system=st.sampled_from(SYSTEMS))
def test_masking_twice_changes_nothing(text: str, system: str) -> None:
    once = mask(text, system)
    assert mask(once, system) == once


LETTERS = st.text("sxyz'\"\\%?:$;-/*#`[]()\n ", max_size=12)
SECRETS = st.one_of(
    LETTERS.map(lambda s: "'S3CRET" + s.replace("'", "''").replace("\\", "") + "'"),
    LETTERS.map(lambda s: "E'S3CRET" + s.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    LETTERS.map(lambda s: "$q$S3CRET" + s.replace("$", "") + "$q$"),
    st.integers(0, 10**9).map(lambda n: f"731{n}"),
    st.floats(1, 9, allow_nan=False).map(lambda n: f"-731{n!r}e-5"),
    LETTERS.map(lambda s: "/* S3CRET" + s.replace("*", "").replace("/", "") + " */ NULL"),
    LETTERS.map(lambda s: "NULL -- S3CRET" + s.replace("\n", "") + "\n"),
)
MARKERS = st.sampled_from(["%s", "%(a_b)s", "$1", ":name", ":1", "@v"])
NAMES = st.sampled_from(["a", "t.b", '"quo""ted"', "c1", "lower(d)", "e::text"])


@given(
    parts=st.lists(
        st.tuples(st.one_of(SECRETS, MARKERS, NAMES), st.sampled_from(["=", "<>", ",", "||", ">="])), min_size=1
    )
)
def test_no_literal_survives_and_every_marker_and_name_does(parts: list[tuple[str, str]]) -> None:
    query = "SELECT 1 FROM t WHERE " + " ".join(f"{part} {operator}" for part, operator in parts) + " NULL"
    masked = mask(query, "postgresql")
    assert "S3CRET" not in masked
    assert "731" not in masked
    for part, _ in parts:
        if "S3CRET" not in part and "731" not in part:
            assert part in masked
    assert read(query, "postgresql").summary == "SELECT t"
