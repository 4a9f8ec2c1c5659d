"""Ten thousand queries, and as many spans."""

from __future__ import annotations

from sqlalchemy import create_engine, text


def main(_: str) -> None:
    """Ask and ask."""
    with create_engine("sqlite://").connect() as connection:
        for number in range(10_000):
            connection.execute(text("SELECT :number"), {"number": number})
