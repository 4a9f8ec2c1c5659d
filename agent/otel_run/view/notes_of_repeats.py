"""Notes about several calls: this file is about those that are alike, and those that waited for each other.

Judged by their number, and not by the time they took: a database on the same machine answers in no time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_run.view import conventions
from otel_run.view.durations import duration
from otel_run.view.note import Note
from otel_run.view.notes_of_calls import is_blocking, is_miss, is_redirect, is_resent, is_slow
from otel_run.view.path import noise
from otel_run.view.shapes import values, without_values
from otel_run.view.span import CLIENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_run.view.facts import Facts
    from otel_run.view.shapes import Shape
    from otel_run.view.tree import Node

    Told = Iterator[tuple[Node, Note]]

_MANY = 5
_LONGEST = 4000  # characters of a statement that are looked at
_SAME = {"database": "query", "cache": "key", "http": "request"}
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "UPSERT"})
# One of many pages, many rows at once, or the next one of a queue: a loop over these is as it should be.
_OF_MANY = re.compile(r" IN \(\?\)|\bOFFSET\b|\bFETCH\b|= ?ANY ?\(|\bSKIP LOCKED\b|^COPY\b", re.IGNORECASE)
_PAGE = re.compile(
    r"[?&](?:page|offset|cursor|after|before|start|skip|since|marker|next|continuation)[\w-]*=", re.IGNORECASE
)
# So are those that ask for many keys, that go through a store, and that take from a queue.
_KEYS_OF_MANY = re.compile(r"MGET|MSET|[SHZ]?SCAN|[LRS]POP|ZPOP(?:MIN|MAX)|JSON\.MGET|XREAD(?:GROUP)?")
_READS = re.compile(r"GET|HM?GET|HGETALL|[HS]?EXISTS|P?TTL|LRANGE|SMEMBERS|SISMEMBER|ZRANGE|ZSCORE|JSON\.GET")
# What begins and ends transactions asks for nothing.
_FRAMES = ("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "END", "ABORT", "SET", "DEALLOCATE")

_IN_A_ROW, _LEAST_SHARE_SAVED = 3, 20
# A request that changes something may need what came before it (RFC 9110, 9.2.1, "Safe Methods").
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "QUERY"})


def n_plus_ones(facts: Facts) -> Told:
    """Note many calls that are alike below one span, or one in each of many spans that are alike."""
    counted: set[Node] = set()
    for parent, family in facts.families:
        groups = _by_shape(facts, (node for group in family for node in group))
        if groups:
            lines = {node: group for group in family for node in group}
            for nodes in groups.values():
                # Of several lines the one with most of them.
                line = max((lines[node] for node in nodes), key=len)
                yield from _noted(facts, line[0], nodes)
        # What is below those that share a line is counted where they stand, and not again further down.
        is_counted = parent in counted
        for group in family:
            if is_counted:
                counted.add(group[0])
            elif len(group) >= _MANY and group[0].children and not _is_call(facts, group[0]):
                counted.add(group[0])
                yield from _below_many(facts, group)


def _below_many(facts: Facts, group: list[Node]) -> Told:
    shown = _by_shape(facts, _descendants(group[:1]), least=1)
    for shape, nodes in _by_shape(facts, _descendants(group)).items():
        if shape in shown:
            yield from _noted(facts, shown[shape][0], nodes)


def _descendants(nodes: list[Node]) -> Iterator[Node]:
    waiting = [child for node in reversed(nodes) for child in reversed(node.children)]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def _by_shape(facts: Facts, nodes: Iterable[Node], least: int = _MANY) -> dict[Shape, list[Node]]:
    found: dict[Shape, list[Node]] = {}
    for node in nodes:
        if _is_call(facts, node) and not conventions.is_failed(node.span):
            found.setdefault(facts.shape(node), []).append(node)
    return {shape: nodes for shape, nodes in found.items() if len(nodes) >= least}


def _is_call(facts: Facts, node: Node) -> bool:
    """Tell whether it is a call for which there could be one for many."""
    category, _, text = facts.shape(node)
    if category == "http":
        return node.span.kind == CLIENT and bool(conventions.url(node.span)) and not is_resent(node.span)
    if category not in _SAME or not conventions.statement(node.span) or conventions.is_connecting(node.span):
        return False
    if category == "cache":
        if conventions.batch_size(node.span) is not None or is_blocking(node.span):
            return False
        # PING and its like name no key; a masked key is one.
        name, _, key = conventions.statement(node.span)[:100].strip().partition(" ")
        return bool(key) and not _KEYS_OF_MANY.fullmatch(name.upper())
    return text[:20].partition(" ")[0].upper() not in _FRAMES


def _noted(facts: Facts, line: Node, nodes: list[Node]) -> Told:
    given = {values(node.span) for node in nodes}
    explains = facts.explained(nodes)
    more = []
    missed = sum(is_miss(node.span) for node in nodes)
    if missed:
        more.append(f"{missed} missed")
    slowest = max(nodes, key=lambda node: node.span.duration)
    if is_slow(facts, slowest):
        more.append(f"slowest {duration(slowest.span.duration)}")
    category, _, text = facts.shape(nodes[0])
    if len(given) == 1 and None not in given:
        yield line, Note("same", (f"same {_SAME[category]} {len(nodes)} times", *more), explains)
    elif not all(map(_is_of_many, nodes)):
        is_read = _is_read(category, text)
        told = f"N+1: {len(nodes)} alike" if is_read else f"{len(nodes)} alike, one by one"
        yield line, Note("N+1" if is_read else "alike", (told, *more), explains)


def _is_read(category: str, text: str) -> bool:
    command = text[:20].partition(" ")[0].upper()
    if category == "http":
        return command in _SAFE
    return _READS.fullmatch(command) is not None if category == "cache" else command not in _WRITES


def _is_of_many(node: Node) -> bool:
    """Tell whether one call is for many things already, so that many of them are no sign of anything."""
    span = node.span
    if conventions.batch_size(span) is not None:
        return True
    text = conventions.statement(span)[:_LONGEST]
    return (_OF_MANY.search(without_values(text)) if text else _PAGE.search(conventions.url(span))) is not None


def one_after_another(facts: Facts) -> Told:
    """Note requests that waited for each other, although perhaps none needs what another one brought."""
    for parent, family in facts.families:
        if parent is None:
            continue
        requests = [node for group in family for node in group if _may_be_independent(facts, node)]
        if len(requests) < _IN_A_ROW:
            continue
        many = _by_shape(facts, requests)
        run = max(_runs([node for node in requests if facts.shape(node) not in many]), key=len, default=[])
        times = [facts.explained([node]) for node in run]
        if len(run) >= _IN_A_ROW and facts.is_share(saved := sum(times) - max(times), _LEAST_SHARE_SAVED):
            took = f"{len(run)} requests one after another took {duration(sum(times))}"
            yield parent, Note("one after another", (took, f"maybe in parallel {duration(max(times))}"), saved)


def _may_be_independent(facts: Facts, node: Node) -> bool:
    span = node.span
    is_request = span.kind == CLIENT and facts.shape(node).category == "http"
    if not is_request or conventions.method(span).upper() not in _SAFE or conventions.is_failed(span):
        return False
    # Of a request that was sent on, each part needs the one before.
    return not is_resent(span) and not is_redirect(span)


def _runs(requests: list[Node]) -> Iterator[list[Node]]:
    lanes: dict[str, list[Node]] = {}
    for node in sorted(requests, key=lambda node: node.span.start):
        lanes.setdefault(node.span.lane, []).append(node)
    for nodes in lanes.values():
        run = nodes[:1]
        for node in nodes[1:]:
            if node.span.start < run[-1].span.end - noise(run[-1].span):
                yield run
                run = []
            run.append(node)
        yield run
