"""Restores the database after a test with its own transactions to its state before the first test.

Tables that tests wrote to are emptied; tables that migrations filled are compared and restored.
Django's `flush` truncates every table, used or not, and then recreates content types, permissions
and roles, which is most of the cost of a short test.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from tests.processes import APPLICATION_NAME

#: Bytes of a table on PostgreSQL: rows that were deleted one by one are in everybody's way until
#: they are vacuumed.
_LARGE = 1 << 18


class Beginning:
    """The rows that the product's tables held when this object was made."""

    def __init__(self) -> None:
        with connection.cursor() as cursor:
            tables = connection.introspection.django_table_names(only_existing=True)
            rows = {table: _rows_of(cursor, table) for table in sorted(tables)}
        self._filled = {table: found for table, found in rows.items() if found}
        self._empty = [table for table in rows if table not in self._filled]

    def restore(self) -> None:
        """Restore the rows in a transaction of its own, after all other transactions have ended."""
        if connection.vendor == "postgresql":
            _end_sessions_of_processes()
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                _wait_for_others(cursor, [*self._empty, *self._filled])
            used = _used(cursor, self._empty)
            if used and connection.vendor == "postgresql" and _largest(cursor, used) > _LARGE:
                cursor.execute(f"TRUNCATE {_quoted(*self._empty)}")
            else:
                _delete(cursor, used)
            changed = [one for one, rows in self._filled.items() if _rows_of(cursor, one) != rows]
            _delete(cursor, changed)
            for table in changed:
                _insert(cursor, table, self._filled[table])
        ContentType.objects.clear_cache()


def _end_sessions_of_processes() -> None:
    """End the database sessions of the test's processes, which have ended: a killed one may have
    sent a statement that the server has not begun."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"  # milliseconds
            " WHERE datname = current_database() AND application_name = %s",
            [APPLICATION_NAME],
        )


def _wait_for_others(cursor: CursorWrapper, tables: Iterable[str]) -> None:
    """Lock the tables: a thread of this process may still be in a transaction."""
    cursor.execute(f"LOCK TABLE {_quoted(*tables)} IN ACCESS EXCLUSIVE MODE")


def _used(cursor: CursorWrapper, tables: Sequence[str]) -> list[str]:
    """Return the tables that hold rows."""
    cursor.execute(
        " UNION ALL ".join(
            f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {_quoted(table)})" for table in tables
        )
    )
    return [table for (table,) in cursor.fetchall()]


def _largest(cursor: CursorWrapper, tables: Sequence[str]) -> int:
    query = "SELECT max(pg_relation_size(t::regclass)) FROM unnest(%s::text[]) t"
    cursor.execute(query, [list(tables)])
    size: int = cursor.fetchall()[0][0]
    return size


def _rows_of(cursor: CursorWrapper, table: str) -> list[tuple[Any, ...]]:
    cursor.execute(f"SELECT * FROM {_quoted(table)} ORDER BY 1")
    return cursor.fetchall()


def _delete(cursor: CursorWrapper, tables: Iterable[str]) -> None:
    for table in tables:
        cursor.execute(f"DELETE FROM {_quoted(table)}")


def _insert(cursor: CursorWrapper, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    places = ", ".join(["%s"] * len(rows[0]))
    cursor.executemany(f"INSERT INTO {_quoted(table)} VALUES ({places})", rows)


def _quoted(*tables: str) -> str:
    return ", ".join(map(connection.ops.quote_name, tables))
