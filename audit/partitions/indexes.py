"""Indexes of partitioned tables, built by migrations while listeners and workers write on: in each
part for itself, and then put together."""

from __future__ import annotations

from typing import Any

_PARTS = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = to_regclass(%s) ORDER BY relname
"""


def is_partitioned(table: str, editor: Any) -> bool:
    if editor.connection.vendor != "postgresql":
        return False
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)", [table])
        return bool(cursor.fetchone() == ("p",))


def build(model: Any, index: Any, editor: Any) -> None:
    """Never inside a transaction. What an interrupted try left in a part is dropped first."""
    quote, table = editor.quote_name, model._meta.db_table
    whole = f"{quote(index.name)} ON {quote(table)}"
    made = str(index.create_sql(model, editor))
    editor.execute(made.replace(whole, f"{quote(index.name)} ON ONLY {quote(table)}", 1))
    at_once = str(index.create_sql(model, editor, concurrently=True))
    for part in _parts(table, editor):
        name = quote(index.name + part.removeprefix(table))
        editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        editor.execute(at_once.replace(whole, f"{name} ON {quote(part)}", 1))
        editor.execute(f"ALTER INDEX {quote(index.name)} ATTACH PARTITION {name}")


def _parts(table: str, editor: Any) -> list[str]:
    with editor.connection.cursor() as cursor:
        cursor.execute(_PARTS, [table])
        return [name for (name,) in cursor.fetchall()]
