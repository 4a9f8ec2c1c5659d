"""Notes about one call to somewhere else: this file is about what was slow, missed, waited for, or done again."""

from __future__ import annotations

import re
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from otel_run.view import conventions
from otel_run.view.durations import duration
from otel_run.view.note import Note
from otel_run.view.path import noise
from otel_run.view.self_time import covered
from otel_run.view.shapes import key_of, values
from otel_run.view.span import CLIENT, PRODUCER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_run.view.facts import Facts
    from otel_run.view.shapes import Shape
    from otel_run.view.span import Span
    from otel_run.view.tree import Node

    Told = Iterator[tuple[Node, Note]]

_LEAST_SHARE = 5
_LEAST_WAIT, _LEAST_FIRST = 10_000_000, 20_000_000
_TIMES_SLOWER = 3
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COMMIT", "REPLACE", "UPSERT"})
_FILLS = frozenset({"SET", "SETEX", "PSETEX", "SETNX", "GETSET", "HSET", "HSETNX", "HMSET", "JSON.SET", "SADD", "ZADD"})
# Waiting is what these are for.
_BLOCKING = re.compile(r"BL(?:POP|MOVE|MPOP)|BR(?:POP|POPLPUSH)|BZ(?:POP(?:MIN|MAX)|MPOP)|XREAD(?:GROUP)?|WAIT(?:AOF)?")
# What may be otherwise a moment later: too early, too many, or the server's own fault (RFC 9110, RFC 6585).
_PASSING = frozenset((408, 425, 429))
# Remote calls are waited for like requests.
_THRESHOLD_OF = {"rpc": "http"}


def slow_calls(facts: Facts) -> Told:
    """Note calls that took long and were waited for, and caches that did not have what they were asked for."""
    filled = _filled(facts)
    # How much of what is below a node has been explained by a slow call there.
    below: dict[Node | None, int] = {}
    for group in reversed(list(facts.lines())):
        node = group[0]
        explained, told_below = facts.explained(group), below.get(node, 0)
        rest = explained - told_below
        name = _slow(facts, group) if facts.is_share(rest, _LEAST_SHARE) else ""
        parts = _missed(group, filled)
        kind = "cache miss" if parts else "slow"
        if name:
            parts[1:1] = ["slow"] if parts else [name]
        if _is_unanswered(group):
            parts.append("no answer recorded")
            kind = "slow" if name else "no answer"
        if name:
            parts.append(facts.share(explained))
        below[node.parent] = below.get(node.parent, 0) + (explained if name else told_below)
        if parts:
            yield node, Note(kind, tuple(parts), max(0, rest))


def is_slow(facts: Facts, node: Node) -> bool:
    """Tell whether a call took as long as its category's threshold says."""
    category = facts.shape(node).category
    threshold = facts.thresholds.get(_THRESHOLD_OF.get(category, category))
    return threshold is not None and node.span.duration >= threshold


def is_miss(span: Span) -> bool:
    """Tell whether a cache was asked for one thing, and did not have it."""
    # Only of commands that read one thing, or all of it, the number is told.
    return conventions.returned_rows(span) == 0 and conventions.category(span) == "cache"


def _slow(facts: Facts, group: list[Node]) -> str:
    name = _name(facts.shape(group[0]).category, group[0].span)
    count = sum(is_slow(facts, node) for node in group) if name else 0
    if not count:
        return ""
    return f"slow {name}" if len(group) == 1 else f"slow {name} ({count} of {len(group)})"


def _name(category: str, span: Span) -> str:
    """Return what a call goes to; empty if this span is none, or is not the call itself."""
    if category == "database" and not conventions.is_connecting(span):
        return "write" if _command(span) in _WRITES else "query"
    if category == "cache" and not conventions.is_connecting(span):
        return "" if is_blocking(span) else "cache"
    if category in ("http", "rpc") and span.kind == CLIENT:
        return "downstream"
    # Of a consumer, waiting is all it has to do.
    return "broker" if category == "messaging" and span.kind in (PRODUCER, CLIENT) else ""


def is_blocking(span: Span) -> bool:
    """Tell whether a cache was to answer only when there is something to answer."""
    return _BLOCKING.fullmatch(_command(span)) is not None


def _command(span: Span) -> str:
    told = conventions.operation(span) or conventions.statement(span)[:1000] or span.name[:1000]
    words = told.split(None, 1)
    return words[0].upper() if words else ""


def _missed(group: list[Node], filled: dict[tuple[str, str], int]) -> list[str]:
    missed = [node.span for node in group if is_miss(node.span)]
    if not missed:
        return []
    if len(group) > 1:
        return [f"{len(missed)} of {len(group)} missed"]
    span = missed[0]
    key = key_of(span)
    is_filled = key and filled.get((span.process, key), -1) >= span.end
    return ["cache miss", "then filled"] if is_filled else ["cache miss"]


def _is_unanswered(group: list[Node]) -> bool:
    """Tell whether a request has neither an answer nor an error: whoever sent it has given up, as a timeout does."""
    span = group[0].span
    if len(group) > 1 or span.is_open or span.kind != CLIENT or not conventions.url(span):
        return False
    has_end = conventions.status_code(span) is not None or conventions.is_failed(span)
    return not has_end and conventions.category(span) == "http"


def _filled(facts: Facts) -> dict[tuple[str, str], int]:
    """Return by process and key when a value was last put into a cache."""
    found: dict[tuple[str, str], int] = {}
    for node in facts.nodes:
        span = node.span
        if "db.query.text" in span.attributes or "db.statement" in span.attributes:
            key = key_of(span)
            if key and facts.shape(node).category == "cache" and _command(span) in _FILLS:
                found[span.process, key] = max(found.get((span.process, key), 0), span.start)
    return found


def waits(facts: Facts) -> Told:
    """Note how long a connection was waited for, from a pool or for it to be opened."""
    for group in facts.lines():
        explained = facts.explained(group)
        if facts.is_share(explained, _LEAST_SHARE) and conventions.is_connecting(group[0].span):
            time = covered(group)
            if time >= _LEAST_WAIT:
                told = f"waited {duration(time)} for a connection", facts.share(explained)
                yield group[0], Note("wait", told, explained)


def first_calls(facts: Facts) -> Told:
    """Note the first call to a host, if it took several times as long as the later ones."""
    hosts: dict[tuple[str, str, int | None], list[Node]] = {}
    for node in facts.nodes:
        span = node.span
        if span.kind == CLIENT and facts.shape(node).category == "http" and conventions.host(span):
            place = span.process, conventions.host(span), conventions.number(span, "server.port", "net.peer.port")
            hosts.setdefault(place, []).append(node)
    lines = {node: group for group in facts.lines() for node in group} if hosts else {}
    for nodes in hosts.values():
        first, *others = sorted(nodes, key=lambda node: node.span.start)
        # What asks for something else may simply take longer.
        later = [node for node in others if facts.shape(node) == facts.shape(first)]
        if len(later) < _TIMES_SLOWER or first not in lines or conventions.is_failed(first.span):
            continue
        took, usual = first.span.duration, median(node.span.duration for node in later)
        if took >= _LEAST_FIRST and took >= _TIMES_SLOWER * usual:
            group = lines[first]
            is_secure = conventions.url(first.span)[:8].lower() == "https://"
            told = "first call (connect + TLS)" if is_secure else "first call (connect)"
            then = f"{duration(took)}, the later ones {duration(round(usual))}"
            yield group[0], Note("first call", (told, then), facts.explained([first]))


def retries(facts: Facts) -> Told:
    """Note a call that was made again where the one before it had failed."""
    for _, family in facts.families:
        siblings = [node for group in family for node in group]
        if any(conventions.is_failed(node.span) or conventions.resend_count(node.span) for node in siblings):
            shown = {group[0] for group in family}
            siblings.sort(key=lambda node: node.span.start)
            for node, told in _again(facts, siblings):
                if node in shown:
                    explained = facts.explained([node])
                    parts = (told, "on the critical path") if explained > noise(node.span) else (told,)
                    yield node, Note("retry", parts, explained)


def _again(facts: Facts, siblings: list[Node]) -> Iterator[tuple[Node, str]]:
    alike: dict[tuple[str, Shape, str | None], list[Node]] = {}
    for node in siblings:
        if facts.shape(node).category in ("http", "database", "cache", "rpc", "messaging"):
            alike.setdefault((node.span.lane, facts.shape(node), values(node.span)), []).append(node)
    for (_, _, known), nodes in alike.items():
        times = 0
        # Where values are masked, a loop over many things of which some fail would look like a retry.
        is_one_call = known is not None or all(conventions.is_failed(node.span) for node in nodes[:-1])
        for before, node in pairwise(nodes):
            times = times + 1 if is_one_call and _follows_failure(before.span, node.span) else 0
            sent = conventions.resend_count(node.span)
            if sent > 0 and not is_redirect(before.span):
                times = sent
            if times and (known is not None or sent):
                yield node, f"retry {times} of the call above"
            elif times:
                yield node, f"after {times} alike that failed"


def is_redirect(span: Span) -> bool:
    """Tell whether the answer was to ask elsewhere."""
    return 300 <= (conventions.status_code(span) or 0) <= 399


def is_resent(span: Span) -> bool:
    """Tell whether the client says itself that this is but a part of a request: sent again, or sent elsewhere."""
    return conventions.resend_count(span) > 0


def _follows_failure(before: Span, span: Span) -> bool:
    status = conventions.status_code(before) or 0
    # A client that asks whether something is there by now gets 404 again and again.
    is_final = 400 <= status <= 499 and status not in _PASSING
    return conventions.is_failed(before) and not is_final and span.start >= before.end - noise(before)
