"""The few words that sum up an SQL statement: its operations and their targets, as they were written.

Fed with tokens by the scanner of sql.py, in one pass, and knows nothing of literals. It keeps for each
open parenthesis which operation stands in it, for `FROM` names a table after SELECT but not in
`extract(year FROM placed)`. Source: semantic conventions, "Generating a summary of the query".
"""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words between an operation and its target.
_BEFORE_TARGET = {
    "INSERT": _set("INTO IGNORE OVERWRITE TABLE LOW_PRIORITY HIGH_PRIORITY DELAYED"),
    "REPLACE": _set("INTO LOW_PRIORITY DELAYED"),
    "UPDATE": _set("ONLY IGNORE LOW_PRIORITY"),
    "MERGE": _set("INTO"),
    "TRUNCATE": _set("TABLE ONLY"),
    "COPY": _set(""),
    "LOCK": _set("TABLE TABLES ONLY"),
    "CALL": _set(""),
    "EXEC": _set(""),
    "EXECUTE": _set(""),
}
# SQLite's INSERT OR REPLACE INTO t.
_AFTER_OR = _set("ROLLBACK ABORT FAIL IGNORE REPLACE")
_FROM = _set("ONLY LATERAL")
_DDL = _set("CREATE ALTER DROP REFRESH")
_DDL_OBJECTS = _set(
    "TABLE VIEW INDEX PROCEDURE PROC FUNCTION TRIGGER DATABASE SCHEMA SEQUENCE USER ROLE TYPE DOMAIN EXTENSION "
    "POLICY AGGREGATE LANGUAGE TABLESPACE SERVER PUBLICATION SUBSCRIPTION EVENT SYNONYM PACKAGE LOGIN COLLATION "
    "RULE STATISTICS"
)
_BEFORE_DDL_NAME = _set("IF NOT EXISTS CONCURRENTLY ONLY")
# Their bodies are statements with semicolons of their own.
_WITH_BODY = _set("PROCEDURE PROC FUNCTION TRIGGER PACKAGE EVENT")
# Operations that may stand inside another statement: in WITH, after EXPLAIN, in a parenthesis.
_INNER = _set("SELECT INSERT UPDATE DELETE MERGE")
# They come before an operation: EXPLAIN SELECT orders.
_PREFIXES = _set("EXPLAIN DECLARE PREPARE")
_PHRASES = {
    "START": _set("TRANSACTION"),
    "COMMIT": _set("PREPARED"),
    "ROLLBACK": _set("TO SAVEPOINT PREPARED"),
    "RELEASE": _set("SAVEPOINT"),
    "PREPARE": _set("TRANSACTION"),
}
_SET_OPERATORS = _set("UNION EXCEPT INTERSECT MINUS")
_ENDS_FROM = _set("WHERE GROUP ORDER HAVING LIMIT WINDOW RETURNING SET VALUES OFFSET FETCH FOR QUALIFY")
# A name after these operations is the collection that they work on; others name procedures, roles ...
_WITH_COLLECTION = _set("SELECT INSERT REPLACE UPDATE DELETE MERGE TRUNCATE COPY LOCK")
_COLLECTIONS = _set("TABLE VIEW")

LONGEST = 255


class _Level:
    """What is known inside one parenthesis."""

    __slots__ = ("lists_tables", "operation")

    def __init__(self) -> None:
        self.operation = ""
        self.lists_tables = False


class Summary:
    """Takes words, names and punctuation of a text in order; `result` sums them up."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = -1
        self._operations: list[str] = []
        self._targets: list[str] = []
        self._has_collections = True
        self._name = ""
        self._name_goes_on = False
        self._begin_statement()

    def _begin_statement(self) -> None:
        self._levels = [_Level()]
        self._at_start = True
        # The rest of the statement says nothing more, until its semicolon (or at all: `_body`).
        self._done = False
        self._done_after_name = False
        self._body = False
        # Not None: the next name is a target, unless it is one of these words.
        self._wanted: frozenset[str] | None = None
        self._wants_object = False
        self._phrase: frozenset[str] = frozenset()
        self._after_set_operator = False
        self._last = ""

    def word(self, word: str, capitals: str) -> None:
        """Take a keyword or a bare name."""
        if self._takes_name(word, capitals):
            return
        last, self._last = self._last, capitals
        if self._at_start:
            self._start(word, capitals)
        elif self._wants_object:
            if capitals in _DDL_OBJECTS:
                self._name_object(word, capitals)
        elif self._phrase and capitals in self._phrase:
            self._extend(word)
        else:
            self._phrase = frozenset()
            if not self._done:
                self._inside(word, capitals, last)

    def quoted(self, name: str) -> None:
        """Take a name in quotes; they are kept where it could not be read without."""
        bare = name[1:-1]
        self._takes_name(bare if bare.isidentifier() else name, "")
        self._at_start = False
        self._last = ""

    def punctuation(self, character: str) -> None:
        """Take one of `( ) , ; .`."""
        if character == "." and self._name:
            self._name_goes_on = True
            return
        # What is called is a function, not a table: FROM unnest(...).
        self._end_name(is_call=character == "(")
        if character == ";":
            if not self._body:
                self._begin_statement()
        elif character == "(":
            self._levels.append(_Level())
            self._wanted = None
            self._at_start = True
        elif character == ")":
            if len(self._levels) > 1:
                self._levels.pop()
            self._at_start = False
        elif character == "," and self._levels[-1].lists_tables and not self._done:
            self._wanted = _FROM
        self._last = character

    def other(self) -> None:
        """Take anything else: a literal, a marker, an operator."""
        self._end_name()
        self._wanted = None
        self._at_start = False
        self._last = ""

    def result(self) -> tuple[str, str, str]:
        """Return summary, operation and collection, the latter two empty unless there is exactly one."""
        self._end_name()
        operation = self._operations[0] if len(self._operations) == 1 else ""
        has_collection = operation and self._has_collections and len(self._targets) == 1
        return " ".join(self._parts), operation, self._targets[0] if has_collection else ""

    def _takes_name(self, word: str, capitals: str) -> bool:
        if self._name:
            if self._name_goes_on:
                self._name += "." + word
                self._name_goes_on = False
                return True
            self._end_name()
        if self._wanted is None or self._done:
            return False
        if capitals in self._wanted or capitals == "OR" or (self._last == "OR" and capitals in _AFTER_OR):
            self._last = capitals
            return True
        self._wanted = None
        if capitals == "ON" and self._done_after_name:
            # CREATE INDEX ON t: the index has no name.
            self._done = True
            return True
        self._name = word
        self._last = ""
        return True

    def _end_name(self, is_call: bool = False) -> None:
        name, self._name, self._name_goes_on = self._name, "", False
        if not name:
            return
        if not (is_call and self._levels[-1].lists_tables):
            self._targets.append(name)
            self._append(name)
        self._done = self._done or self._done_after_name

    def _start(self, word: str, capitals: str) -> None:
        inside_parenthesis = len(self._levels) > 1
        self._at_start = False
        if self._done or (inside_parenthesis and capitals not in _INNER):
            return
        if capitals in _INNER:
            self._operate(word, capitals)
        elif capitals in _BEFORE_TARGET:
            self._operate(word, capitals)
            self._done_after_name = capitals != "REPLACE"
        elif capitals in _DDL:
            self._operation(word)
            self._wants_object = True
        elif capitals in _PREFIXES:
            self._operation(word)
            self._phrase = _PHRASES.get(capitals, frozenset())
        elif capitals != "WITH":
            self._operation(word)
            self._phrase = _PHRASES.get(capitals, frozenset())
            self._done = True

    def _inside(self, word: str, capitals: str, last: str) -> None:
        level = self._levels[-1]
        if capitals == "FROM":
            # `a IS DISTINCT FROM b` compares.
            if level.operation and last != "DISTINCT":
                level.lists_tables = True
                self._wanted = _FROM
        elif capitals == "JOIN" or (capitals == "USING" and level.operation in ("DELETE", "MERGE")):
            level.lists_tables = True
            self._wanted = _FROM
        elif capitals == "SELECT" or (capitals in _INNER and not level.operation):
            self._operate(word, capitals)
        elif capitals in _SET_OPERATORS:
            self._after_set_operator = bool(level.operation)
            level.lists_tables = False
        elif capitals in _ENDS_FROM:
            level.lists_tables = False

    def _operate(self, word: str, capitals: str) -> None:
        level = self._levels[-1]
        level.operation = capitals
        level.lists_tables = False
        if capitals == "SELECT" and self._after_set_operator:
            # The second half of a UNION is the same operation.
            self._after_set_operator = False
            return
        self._operation(word)
        self._has_collections = capitals in _WITH_COLLECTION
        self._wanted = _BEFORE_TARGET.get(capitals)

    def _name_object(self, word: str, capitals: str) -> None:
        self._wants_object = False
        self._extend(word)
        self._has_collections = capitals in _COLLECTIONS
        self._wanted = _BEFORE_DDL_NAME
        self._done_after_name = True
        self._body = capitals in _WITH_BODY

    def _operation(self, word: str) -> None:
        self._operations.append(word)
        self._append(word)

    def _extend(self, word: str) -> None:
        """Make `word` part of the last operation: CREATE TABLE, ROLLBACK TO SAVEPOINT."""
        self._operations[-1] += " " + word
        self._append(word)

    def _append(self, part: str) -> None:
        # A part is never cut, and nothing comes after one that did not fit.
        if self._length + 1 + len(part) > LONGEST:
            self._length = LONGEST
            return
        self._length += 1 + len(part)
        self._parts.append(part)
