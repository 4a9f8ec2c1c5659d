"""Queries that are no SQL: field names stay, values don't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_run.masking.document import mask

MASKED = [
    ('{"find": "users", "limit": 5}', '{"find": ?, "limit": ?}'),
    ("{'name': 'bob', 'age': {'$gt': 30.5}}", "{'name': ?, 'age': {'$gt': ?}}"),
    ('{"a": [1, -2e5, "x\\"y", true, null]}', '{"a": [?, ?, ?, true, null]}'),
    ('ObjectId("507f1f77bcf86cd799439011")', "ObjectId(?)"),
    ("MATCH (u:User {name: 'bob'})-[:KNOWS*1..3]->(f) RETURN f2 LIMIT 10",
     "MATCH (u:User {name: ?})-[:KNOWS*?]->(f) RETURN f2 LIMIT ?"),
    ("find users2", "find users2"),
    ('"unfinished', "?"),
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "masked"), MASKED)
def test_values_become_question_marks(text: str, masked: str) -> None:
    assert mask(text) == masked


@given(st.text(st.sampled_from("\"'\\:{}, ab1.?-e"), max_size=60))
def test_masking_twice_changes_nothing(text: str) -> None:
    once = mask(text)
    assert mask(once) == once


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1) | st.integers(), min_size=1))
def test_no_value_of_a_document_survives(document: dict[str, object]) -> None:
    import json

    shown = json.loads(mask(json.dumps(document)).replace(": ?", ': "?"'))
    assert list(shown) == list(document)
    assert set(shown.values()) == {"?"}


def test_a_megabyte_is_masked_in_one_go() -> None:
    for part in ('"', "'a", "\\", '{"a": 1, ', "1", "-", '":'):
        mask(part * 200_000)
