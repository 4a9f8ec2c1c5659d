"""What the demo's databases hold before the first order: tables with a trigger that takes its time, and a cache.

It is done from here, by connections that nobody traces: a service finds its tables, it does not make them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_run.command.demo.servers import READY_TIMEOUT, Failed, ask_postgres, ask_valkey

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server

# An audit of each order, which its writer waits for: what an INSERT costs is not always to be seen in its text.
TABLES = """
CREATE TABLE counterparties (id integer PRIMARY KEY, counterparty text NOT NULL);
CREATE TABLE accounts (id integer PRIMARY KEY, owner text NOT NULL);
CREATE TABLE orders (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    counterparty integer NOT NULL REFERENCES counterparties,
    symbol text NOT NULL,
    side text NOT NULL,
    quantity integer NOT NULL
);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(0.05);
    RETURN NEW;
END
$$;
CREATE TRIGGER audit AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION audit();
INSERT INTO counterparties VALUES (7, 'Ada & Sons');
INSERT INTO accounts SELECT number, 'account ' || number FROM generate_series(1, 20) AS number;
"""
CACHED = {"cache:instrument:MSFT": "Microsoft Corp."}


def fill(database: Server, cache: Server) -> None:
    """Make the tables, and fill the cache as last night's job has: without AAPL. Raises Failed."""
    try:
        ask_postgres(database.port, TABLES, READY_TIMEOUT)
        for key, value in CACHED.items():
            ask_valkey(cache.port, f'SET {key} "{value}"'.encode(), READY_TIMEOUT)
    except OSError as error:
        raise Failed(f"the demo's data could not be stored: {error}") from None
