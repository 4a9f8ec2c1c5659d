"""Spans leave: collected in batches, encoded, and sent by a thread that nobody waits for."""
