"""Spans are made: the provider, its resource, and the span around one observed call."""
