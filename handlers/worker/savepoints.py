"""Savepoints for runs that share a transaction: one statement ends a run's and begins the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error, connection


class Savepoints:
    """The savepoints of one transaction, of which one exists at a time.

    A run's savepoint stays until the next run's is created. On PostgreSQL one statement does both,
    because two statements take longer than a short run. Create this inside the transaction.
    """

    def __init__(self) -> None:
        self.count = 0
        self._cursor = _cursor()

    @contextmanager
    def next(self) -> Iterator[None]:
        """Roll back what is written inside this block if it raises an exception.

        If that is impossible, mark the transaction for rollback, as `transaction.atomic` does.
        """
        name = self._create()
        connection.savepoint_ids.append(name)  # of the hooks that `on_commit` registers
        try:
            yield
        except BaseException:
            _roll_back(name)
            raise
        finally:
            connection.savepoint_ids.pop()

    def _create(self) -> str:
        """Create the next savepoint and release the one before; return its name."""
        before, self.count = self.count, self.count + 1
        name = f"cdc_run_{self.count}"
        statements = [connection.ops.savepoint_create_sql(name)]
        if before:
            statements.insert(0, connection.ops.savepoint_commit_sql(f"cdc_run_{before}"))
        if connection.vendor == "postgresql":
            statements = ["; ".join(statements)]
        for statement in statements:
            self._cursor.execute(statement)
        return name


def _roll_back(name: str) -> None:
    if connection.closed_in_transaction:
        return  # the server has rolled everything back
    connection.needs_rollback = False
    try:
        connection.savepoint_rollback(name)
    except Error:
        connection.needs_rollback = True


def _cursor() -> Any:
    """Return a cursor that executes several statements at once: it must not prepare them."""
    if connection.vendor != "postgresql":
        return connection.cursor()
    from psycopg import ClientCursor

    wrap: Any = (
        connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    )
    return wrap(ClientCursor(connection.connection))
