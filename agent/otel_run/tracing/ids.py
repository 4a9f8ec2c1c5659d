"""Trace and span ids from the system's own source of randomness.

The SDK draws them from the global `random`: a program that has seeded it would compute something else
with us than without, and workers that seed alike would share their trace ids. Nor can forks repeat ids, or
copies of a frozen process (a checkpoint, a snapshot of a virtual machine): nothing is drawn in advance.
"""

from __future__ import annotations

from os import urandom

from opentelemetry.sdk.trace.id_generator import IdGenerator

_number = int.from_bytes


class RandomIds(IdGenerator):
    """Draws ids from os.urandom, less than a microsecond each."""

    def generate_span_id(self) -> int:
        """Return 64 random bits, not all of them 0."""
        return _number(urandom(8), "big") or self.generate_span_id()

    def generate_trace_id(self) -> int:
        """Return 128 random bits, not all of them 0."""
        return _number(urandom(16), "big") or self.generate_trace_id()

    def generate_both(self) -> tuple[int, int]:
        """Return a trace id and a span id from one draw."""
        drawn = urandom(24)
        trace_id, span_id = _number(drawn[:16], "big"), _number(drawn[16:], "big")
        return (trace_id, span_id) if trace_id and span_id else self.generate_both()

    def is_trace_id_random(self) -> bool:
        """Tell that the W3C random flag may be set (Trace Context Level 2)."""
        return True
