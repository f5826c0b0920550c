"""What is in a database: its rows, and the shape of its tables."""

import re
from typing import Any

from django.db import connections

from tests.upgrades.rows import of_the_product

Rows = list[dict[str, object]]
_POSTGRES = (
    "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable,"
    " column_default FROM information_schema.columns WHERE table_schema = 'public'",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace",
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
)
_SQLITE = (
    'SELECT t.name, c.name, c.type, c."notnull", c.dflt_value, c.pk'
    " FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'",
    'SELECT t.name, f."from", f."table", f."to", f.on_delete'
    " FROM sqlite_master t, pragma_foreign_key_list(t.name) f WHERE t.type = 'table'",
    "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
)
_TABLES_OF_SQLITE = "SELECT name, sql FROM sqlite_master WHERE type = 'table'"


class Contents:
    """Of the tables that the product has at some migration. `shapes`: of each its columns and
    constraints and indexes, in any order."""

    def __init__(self, alias: str, apps) -> None:
        self._is_sqlite = connections[alias].vendor == "sqlite"
        tables = sorted(model._meta.db_table for model in of_the_product(apps))
        with connections[alias].cursor() as cursor:
            self.rows = {table: _rows(cursor, table) for table in tables}
            shapes = self._shapes(cursor)
        self.shapes = {table: {one for one in shapes if one[0] == table} for table in tables}

    def _shapes(self, cursor) -> set[tuple[Any, ...]]:
        found: set[tuple[Any, ...]] = set()
        for query in _SQLITE if self._is_sqlite else _POSTGRES:
            cursor.execute(query)
            found.update(cursor.fetchall())
        if self._is_sqlite:
            cursor.execute(_TABLES_OF_SQLITE)
            for table, sql in cursor.fetchall():
                found.update((table, name) for name in re.findall(r'CONSTRAINT "(\w+)"', sql))
        return found

    def shared_with(self, other: "Contents") -> tuple[dict[str, Any], dict[str, Any]]:
        """The rows of both, as far as both have the tables and the columns."""
        tables = self.rows.keys() & other.rows.keys()
        pairs = {table: _alike(self.rows[table], other.rows[table]) for table in tables}
        return (
            {table: pair[0] for table, pair in pairs.items()},
            {table: pair[1] for table, pair in pairs.items()},
        )


def _rows(cursor, table: str) -> Rows:
    cursor.execute(f'SELECT * FROM "{table}"')
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _alike(some: Rows, others: Rows) -> tuple[Any, ...]:
    if not some or not others:
        return some, others
    columns = sorted(some[0].keys() & others[0].keys())
    return tuple(
        sorted((tuple((name, row[name]) for name in columns) for row in rows), key=repr)
        for rows in (some, others)
    )
