"""Trace and span ids from the system's own source of randomness.

The SDK draws them from the global `random`: a program that has seeded it would compute something else
with us than without, and workers that seed alike would share their trace ids. Nor can forks repeat ids.
"""

from __future__ import annotations

import os

from opentelemetry.sdk.trace.id_generator import IdGenerator


class RandomIds(IdGenerator):
    """Draws ids from os.urandom, about a microsecond each."""

    def generate_span_id(self) -> int:
        """Return 64 random bits, not all of them 0."""
        return int.from_bytes(os.urandom(8), "big") or self.generate_span_id()

    def generate_trace_id(self) -> int:
        """Return 128 random bits, not all of them 0."""
        return int.from_bytes(os.urandom(16), "big") or self.generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """Tell that the W3C random flag may be set (Trace Context Level 2)."""
        return True
