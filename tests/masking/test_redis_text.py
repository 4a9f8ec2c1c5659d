"""Redis' commands as text: which arguments are shown, of a call of ours and of a text that somebody else made."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_run.masking.redis import mask, text, text_of_pipeline
from otel_run.masking.redis_commands import KNOWN, LAYOUT_OF, marks, split


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("HMSET", "myhash", "field1", "v", "field2", "v"), "HMSET myhash field1 ? field2 ?"),
        (("mset", b"a", b"v", "b", 2), "MSET a ? b ?"),
        (("MSETEX", 2, "a", "v", "b", "v", "EX", 5), "MSETEX 2 a ? b ? ? ?"),
        (("AUTH", "user", "v"), "AUTH ? ?"),
        (("HELLO", 3, "AUTH", "user", "v"), "HELLO ? ? ? ?"),
        (("CONFIG SET", "requirepass", "v"), "CONFIG SET ? ?"),
        (("CONFIG", "SET", "requirepass", "v"), "CONFIG SET ? ?"),
        (("CONFIG", "p@ss"), "CONFIG ?"),
        (("ACL", "SETUSER", "u", ">v"), "ACL SETUSER ? ?"),
        (("OBJECT ENCODING", "k"), "OBJECT ENCODING k"),
        (("OBJECT", "freq", b"k"), "OBJECT FREQ k"),
        (("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"), "SENTINEL GET-MASTER-ADDR-BY-NAME main"),
        (("SUBSCRIBE", "news", b"sport"), "SUBSCRIBE news sport"),
        (("PUBLISH", "news", "v"), "PUBLISH news ?"),
        (("BLPOP", "a", "b", 0), "BLPOP a b ?"),
        (("BLPOP",), "BLPOP"),
        (("EVAL", "return 1", 2, "a", "b", "v", "v"), "EVAL ? 2 a b ? ?"),
        (("EVAL", "return 1", "2"), "EVAL ? 2"),
        (("EVAL", "return 1", 0, "v"), "EVAL ? ? ?"),
        (("EVAL", "return 1", 10**9, "a"), "EVAL ? ? ?"),
        (("EVAL",), "EVAL"),
        (("ZUNIONSTORE", "d", 2, "a", "b", "WEIGHTS", 1, 2), "ZUNIONSTORE d 2 a b ? ? ?"),
        (("XREADGROUP", "GROUP", "g", "c", "streams", "a", "b", ">", ">"), "XREADGROUP ? ? ? STREAMS a b ? ?"),
        (("XREAD", "BLOCK", 5), "XREAD ? ?"),
        (("XGROUP CREATE", "stream", "g", "$"), "XGROUP CREATE stream ? ?"),
        (("NEWCOMMAND", "v", "v"), "NEWCOMMAND ? ?"),
        (("SET k v",), "SET k ?"),
        (("p@ss w0rd", "v"), "_OTHER ? ?"),
        (("",), "_OTHER"),
        (("SET", memoryview(b"k\xff"), b"\xff"), "SET k\ufffd ?"),
        (("SET", 'my "key"; GET\n', "v"), 'SET "my \\"key\\"; GET\\n" ?'),
        (("SET", "", "v"), 'SET "" ?'),
        (("SET", "k" * 300, "v"), "SET " + "k" * 256 + "... ?"),
        (("SADD", "s", *range(100)), "SADD s" + " ?" * 63 + " ..."),
        (("XREAD", "STREAMS", *"k" * 50, *"0" * 50), "XREAD STREAMS" + " k" * 31 + " ?" * 32 + " ..."),
    ],
)
def test_names_are_shown_and_values_masked(command: tuple[object, ...], shown: str) -> None:
    assert text(*split(command)) == shown
    assert mask(shown) == shown


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("GET", "k"), "GET ?"),
        (("HSET", "h", "field", "v"), "HSET ? ? ?"),
        (("EVAL", "return 1", 1, "a", "v"), "EVAL ? 1 ? ?"),
        (("XREAD", "STREAMS", "a", "0"), "XREAD STREAMS ? ?"),
        (("SUBSCRIBE", "news"), "SUBSCRIBE ?"),
        (("CONFIG", "GET", "save"), "CONFIG GET ?"),
    ],
)
def test_names_are_masked_on_request(command: tuple[object, ...], shown: str) -> None:
    assert text(*split(command), masks_keys=True) == shown
    assert mask(shown, masks_keys=True) == shown
    assert mask(text(*split(command)), masks_keys=True) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("SET key value with spaces", "SET key ? ? ?"),
        ("set key value", "SET key ?"),
        ("GET ?", "GET ?"),
        ('SET "my key" "a value"', 'SET "my key" ?'),
        ("SET k 'a value'", "SET k ? ?"),
        ("SET a ?\nGET ?", "SET a ?\nGET ?"),
        ("SET a value\nGET b\n", "SET a ?\nGET b"),
        ("SET a value; GET b", "SET a ?; GET b"),
        ("SET a value;\n GET b", "SET a ?; GET b"),
        ("SET a first line\nsecond line; third", "SET a ? ? ? ? ?"),
        ("SET a v; SECRET", "SET a ? ?"),
        ("SET a v; NEWCOMMAND ? ?", "SET a ?; NEWCOMMAND ? ?"),
        ("MSET a v w b v", "MSET a ? ? ? ?"),
        ("HSET h f ? g ?", "HSET h f ? g ?"),
        ("EVAL return 5 v v v v v", "EVAL ? ? ? ? ? ? ?"),
        ("EVALSHA abc 1 k v", "EVALSHA ? 1 k ?"),
        ("AUTH user p@ss", "AUTH ? ?"),
        ("CONFIG SET requirepass p@ss", "CONFIG SET ? ?"),
        ("p@ss w0rd", "_OTHER ?"),
        ("SET a 1; SET b 2; ...", "SET a ?; SET b ?; ..."),
        ("LPUSH k v v ...", "LPUSH k ? ? ..."),
        ("", ""),
        (" \n ; ", ""),
    ],
)
def test_a_text_that_somebody_else_made_is_masked(given: str, shown: str) -> None:
    assert mask(given) == shown
    assert mask(shown) == shown


# Words of any shape, among them what the texts are made of.
WORDS = st.one_of(
    st.sampled_from(["?", "...", ";", "\n", '"', "'", "\\", "; ", "STREAMS", "2", "999", *sorted(KNOWN)]),
    st.text(max_size=8),
    st.text('" ;\\\na', max_size=8),
)
ARGUMENTS = st.one_of(WORDS, WORDS.map(lambda word: word.encode("utf-8", "replace")), st.integers(), st.floats())
COMMANDS = st.tuples(
    st.one_of(st.sampled_from(sorted(LAYOUT_OF) + sorted(KNOWN)), WORDS), st.lists(ARGUMENTS, max_size=70)
).map(lambda command: split([command[0], *command[1]]))


@given(st.lists(WORDS, max_size=90), st.sampled_from(["", " ", "\n", "; "]), st.booleans())
def test_masking_twice_changes_nothing(words: list[str], between: str, masks_keys: bool) -> None:
    once = mask(between.join(words), masks_keys)
    assert mask(once, masks_keys) == once


@given(st.lists(COMMANDS, min_size=1, max_size=40), st.booleans())
@example([("DEL", ["...", '"', "a;"])], False)
def test_a_text_of_ours_is_masked_to_itself(commands: list[tuple[str, list[object]]], masks_keys: bool) -> None:
    for command in commands:
        shown = text(*command, masks_keys)
        assert mask(shown) == shown
        assert mask(shown, masks_keys) == shown
    pipeline = text_of_pipeline(commands, masks_keys)
    assert mask(pipeline) == pipeline
    assert mask(pipeline, masks_keys) == pipeline


# As a program may write it, with what separates words and commands, but for commands in capitals.
VALUES = st.text("s3cret ;\n\t\\\"'?.", min_size=1, max_size=20).map(lambda value: f"s3cret{value}s3cret")


@st.composite
def rendered(draw: st.DrawFn) -> str:
    """Return a command of the table as somebody writes it who masks nothing."""
    name = draw(st.sampled_from(sorted(LAYOUT_OF)))
    layout = LAYOUT_OF[name]
    names = draw(st.integers(1, 3))
    repeated = layout.partition("(")[2].partition(")")[0]
    letters = layout.replace(f"({repeated})", repeated * draw(st.integers(0, 3)))
    if repeated != "kv":
        letters = letters.replace("n", "n" + "k" * names)
    # What stands beside names is one word, but in EVAL: an operation, a digest, seconds.
    is_free = (layout[0] != "v" and layout[-1] != "v") or name in ("EVAL", "EVAL_RO")
    words = {"k": "key", "n": str(names), "v": "s3cret"}
    return " ".join([name, *(draw(VALUES) if mark == "v" and is_free else words[mark] for mark in letters)])


@given(st.lists(rendered(), min_size=1, max_size=4), st.sampled_from(["\n", "; "]))
def test_no_value_survives(commands: list[str], separator: str) -> None:
    assert "s3cret" not in mask(separator.join(commands))


@given(st.sampled_from(sorted(LAYOUT_OF)), st.lists(VALUES, max_size=70))
def test_no_value_survives_in_a_text_of_ours(name: str, arguments: list[str]) -> None:
    values = [f"{mark}{argument}" for mark, argument in zip(marks(name, arguments), arguments, strict=True)]
    assert "vs3cret" not in text(name, values)


def test_a_megabyte_takes_no_longer_than_its_length() -> None:
    for piece in ('"', '\\" ', '"a ', "a ", "; ", "\n", "GET a\n", "SET a 'b; ", "x", '""', "HSET h f v "):
        long = "SET k " + piece * (2**20 // len(piece))
        assert len(mask(long)) <= 2 * len(long)
