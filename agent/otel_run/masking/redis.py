"""Redis' commands as text without values: of a call, and of a text that somebody else made of one.

Commands and the names of keys and hash fields are told, values never. A name that a reader could take for
more than one word is told in quotes, as redis-cli does; so a text of ours is masked to itself.
Convention: OpenTelemetry semantic conventions, "Redis", `db.query.text`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_run.masking.redis_commands import CONTAINERS, KNOWN, LAYOUT_OF, OTHER, is_name, marks, number, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_run.masking.redis_commands import Command

# Of one pipeline, of one command, of one name.
_MAX_COMMANDS, _MAX_ARGUMENTS, _MAX_NAME = 32, 64, 256
_MORE = "..."

_PLAIN = re.compile(r'[^\s;"]+')
_TO_ESCAPE = re.compile(r'[\\"\n\r\t]')
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPED = re.compile(r"\\(.)")
_MEANT = {"n": "\n", "r": "\r", "t": "\t"}
# Never over the end of a line: ours have none inside, and behind it the next command of somebody's may begin.
_TOKEN = re.compile(r'(?P<space>\s+)|"(?P<quoted>[^"\\\n]*(?:\\.[^"\\\n]*)*)"|(?P<word>\S+)')

# What nearly every text of ours is, and nothing to be done about it: one name and values, names alone, pairs.
_NAME = r'[^\s;"]{1,200}'
_MASKED = re.compile(
    rf"(?P<values>[A-Z.]+)(?: {_NAME}(?: \?){{0,60}})?"
    rf"|(?:(?:HSET|HMSET) {_NAME}|MSET)(?: {_NAME} \?){{1,30}}"
    rf"|(?P<names>[A-Z]+)(?: {_NAME}){{2,60}}"
)
_MASKED_IF = {
    "values": frozenset(
        name for name, layout in LAYOUT_OF.items() if layout in ("k(v)", "(k)", "(kv)", "k(kv)", "kk(v)")
    ),
    "names": frozenset(name for name, layout in LAYOUT_OF.items() if layout == "(k)"),
}


def text(name: str, arguments: Command, masks_keys: bool = False) -> str:
    """Return the command with its keys and a `?` for each value."""
    if not masks_keys and 0 < len(arguments) <= _MAX_ARGUMENTS and LAYOUT_OF.get(name) == "k(v)":
        return f"{name} {_shown(arguments[0])}{' ?' * (len(arguments) - 1)}"  # most are of this kind
    shown = arguments[:_MAX_ARGUMENTS]
    words = [name]
    for mark, argument in zip(marks(name, shown), shown, strict=True):
        if mark == "v" or (mark == "k" and masks_keys):
            words.append("?")
        elif mark == "k":
            words.append(_shown(argument))
        elif mark == "n":
            words.append(text_of(argument) if number(argument) else "?")
        else:
            words.append(text_of(argument).upper())
    if len(arguments) > _MAX_ARGUMENTS:
        words.append(_MORE)
    return " ".join(words)


def text_of_pipeline(commands: Sequence[tuple[str, Command]], masks_keys: bool = False) -> str:
    """Return the texts of the first commands, each different one once."""
    texts = dict.fromkeys(text(*command, masks_keys) for command in commands[:_MAX_COMMANDS])
    if len(commands) > _MAX_COMMANDS:
        texts[_MORE] = None
    first, *others = texts or ("",)
    # Behind a separator a single word that is no command of Redis' may be the rest of somebody's value.
    return "; ".join([first, *(one if " " in one or one in KNOWN or one == _MORE else OTHER for one in others)])


def mask(text: str, masks_keys: bool = False) -> str:
    """Return a text of commands, whoever made it, with a `?` for each value; for keys too if `masks_keys`.

    Commands stand on lines of their own or behind `; `. What stands there and is none, known and in capitals,
    is taken for the rest of a value that has such a separator in it.
    """
    if not masks_keys and all(map(_is_masked, text.split("; ", _MAX_COMMANDS))):
        return text
    commands: list[_Masked] = []
    shown: list[tuple[str, _Masked | None]] = []
    for separator, words in _parts(text):
        if not commands or _is_command(words):
            commands.append(_Masked(words))
            shown.append((separator, commands[-1]))
        elif words == [_MORE]:
            shown.append((separator, None))
        else:
            commands[-1].go_on(len(words))
    return "".join(separator + (command.text(masks_keys) if command else _MORE) for separator, command in shown)


class _Masked:
    """A command as it was read, and how many words of its last value came behind separators."""

    __slots__ = ("_arguments", "_name", "_rest")

    def __init__(self, words: list[str]) -> None:
        self._name, self._arguments = _read(words)
        self._rest = 0

    def go_on(self, words: int) -> None:
        self._rest += words

    def text(self, masks_keys: bool) -> str:
        arguments, name = self._arguments, self._name
        is_cut = not self._rest and arguments[-1:] == [_MORE]
        if is_cut:
            arguments = arguments[:-1]
        count = len(arguments) + self._rest
        if "kv" in LAYOUT_OF.get(name, "") or name in ("EVAL", "EVAL_RO"):
            arguments = _without_names_behind_values(name, arguments[:_MAX_ARGUMENTS])
        masked = text(name, arguments[:_MAX_ARGUMENTS], masks_keys)
        masked += " ?" * (min(count, _MAX_ARGUMENTS) - min(len(arguments), _MAX_ARGUMENTS))
        return f"{masked} {_MORE}" if is_cut or count > _MAX_ARGUMENTS else masked


def _is_masked(part: str) -> bool:
    """Tell, for the most frequent kinds of text, whether nothing is to be masked in it; False may be wrong."""
    found = _MASKED.fullmatch(part)
    if found is None:
        return False
    kind = found.lastgroup
    return kind is None or found[kind] in _MASKED_IF[kind]


def _without_names_behind_values(name: str, arguments: list[str]) -> list[str]:
    # A value that is still there may be of several words, and then nobody knows what the next ones are.
    for at, (mark, word) in enumerate(zip(marks(name, arguments), arguments, strict=True)):
        if mark == "v" and word != "?":
            return arguments[: at + 1] + ["?"] * (len(arguments) - at - 1)
    return arguments


def _read(words: list[str]) -> tuple[str, list[str]]:
    """Return the name and the arguments of a command in a text: words that may be anything are no names."""
    name = words[0].upper()
    if name not in KNOWN and not is_name(words[0]):
        return OTHER, words[1:]
    if name in CONTAINERS and len(words) > 1 and (is_name(words[1]) or f"{name} {words[1].upper()}" in LAYOUT_OF):
        return f"{name} {words[1].upper()}", words[2:]
    return name, words[1:]


def _is_command(words: list[str]) -> bool:
    """Tell whether a part that is not the first can't be the rest of a value."""
    if words[0] in KNOWN:
        return True
    return is_name(words[0]) and len(words) > 1 and all(word in ("?", _MORE) for word in words[1:])


def _parts(text: str) -> Iterator[tuple[str, list[str]]]:
    """Return what stands between separators as words, each with the separator before it."""
    separator = ""
    words: list[str] = []
    for found in _TOKEN.finditer(text):
        kind, token = found.lastgroup, found[0]
        if kind == "quoted":
            words.append(_ESCAPED.sub(lambda escaped: _MEANT.get(escaped[1], escaped[1]), found["quoted"]))
            continue
        if kind == "word" and (word := token.rstrip(";")):
            words.append(word)
        following = "; " if kind == "word" and token.endswith(";") else "\n" if "\n" in token else ""
        if following and words:
            yield separator, words
            separator, words = following, []
    if words:
        yield separator, words


def _shown(argument: object) -> str:
    name = argument if type(argument) is str else text_of(argument)
    if len(name) > _MAX_NAME:
        name = name[:_MAX_NAME] + _MORE
    if _PLAIN.fullmatch(name):
        return name
    return '"' + _TO_ESCAPE.sub(lambda found: _ESCAPES[found[0]], name) + '"'
