"""Savepoints for runs that share a transaction.

On PostgreSQL, one statement releases a run's savepoint and creates the next one, because two
statements take longer than a short run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error, connection


class Savepoints:
    """The savepoints of one transaction, one after the other. Create this inside the transaction,
    and call `end` after the last run.

    A savepoint is released when the next one is created, or by `end`. The release raises a database
    error if the run has ended the transaction: then the runs before it have lost their writes.
    """

    def __init__(self) -> None:
        self.count = 0
        self._last = ""
        self._cursor = _cursor()

    @contextmanager
    def next(self) -> Iterator[None]:
        """Create the next savepoint. If the block raises an exception, roll its writes back and
        drop its `on_commit` hooks.

        If that is impossible, mark the transaction for rollback, as `transaction.atomic` does.
        """
        self._create()
        # A rollback to the savepoint drops the hooks that are registered while its name is here.
        connection.savepoint_ids.append(self._last)
        try:
            yield
        except BaseException:
            _roll_back(self._last)
            raise
        finally:
            connection.savepoint_ids.pop()

    def end(self) -> None:
        """Release the last savepoint."""
        self._execute(self._releases())

    def _create(self) -> None:
        released = self._releases()
        connection.savepoint_state += 1  # Django's own counter, for names that are not used again
        self._last, self.count = f"cdc_run_{connection.savepoint_state}", self.count + 1
        self._execute([*released, connection.ops.savepoint_create_sql(self._last)])

    def _releases(self) -> list[str]:
        return [connection.ops.savepoint_commit_sql(self._last)] if self._last else []

    def _execute(self, statements: list[str]) -> None:
        if connection.vendor == "postgresql":
            statements = ["; ".join(statements)]
        for statement in statements:
            self._cursor.execute(statement)


def _roll_back(name: str) -> None:
    if connection.closed_in_transaction:
        return  # the server has rolled everything back
    connection.needs_rollback = False
    try:
        connection.savepoint_rollback(name)
    except Error:
        connection.needs_rollback = True


def _cursor() -> Any:
    """Return a cursor that never prepares a statement: PostgreSQL refuses to prepare several as
    one."""
    if connection.vendor != "postgresql":
        return connection.cursor()
    from psycopg import ClientCursor

    wrap: Any = (
        connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    )
    return wrap(ClientCursor(connection.connection))
