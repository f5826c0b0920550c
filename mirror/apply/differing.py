"""Finds the rows that do not have the values of records that were read, by the database alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from django.db import connections, transaction

from mirror.apply.row_page import PAGE, Page
from mirror.schema.columns import Columns

#: The stored row (t) has other values than the page's row (p). {page} and {table} are the columns.
_DIFFER = {
    "postgresql": "ROW({page}) IS DISTINCT FROM ROW({table})",
    "sqlite": "({page}) IS NOT ({table})",
}
#: `raw` has another value for one of the record's fields; one that it lacks is null.
_RAW_DIFFERS = {
    "postgresql": "NOT (t.{raw} @> p.{raw}"
    " OR jsonb_strip_nulls(t.{raw}) = jsonb_strip_nulls(p.{raw}))",
    "sqlite": "json_patch(json_patch('{{}}', t.{raw}), p.{raw}) IS NOT json_patch('{{}}', t.{raw})",
}


def differing(
    columns: Columns,
    alias: str,
    names: Sequence[str],
    rows: Collection[Sequence[Any]],
    meanwhile: Callable[[], None] = lambda: None,
) -> list[str]:
    """Return the ids of the records whose rows are missing, incomplete, marked as deleted, or have
    other values. Some of the records may be equal: one value can have several forms.

    names   attribute names of the columns: `salesforce_id`, `raw`, and any of the model's

    `meanwhile` is called when there is only the database to wait for. Never inside a transaction.
    """
    page = Page(columns, alias, names)
    with transaction.atomic(using=alias, durable=True), connections[alias].cursor() as cursor:
        page.put(cursor, rows)
        if connections[alias].vendor == "postgresql":
            # The planner knows nothing of the page, and would read the whole table for each one.
            cursor.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
        meanwhile()
        cursor.execute(_query(page))
        found = [str(record_id) for (record_id,) in cursor.fetchall()]
        cursor.execute(f"DROP TABLE {PAGE}")
    return found


def _query(page: Page) -> str:
    vendor = connections[page.alias].vendor
    compared = [page.column(name) for name in page.names if name not in ("salesforce_id", "raw")]
    differs = [_RAW_DIFFERS[vendor].format(raw=page.column("raw"))]
    if compared:
        sides = {"page": "p", "table": "t"}
        lists = {
            side: ", ".join(f"{short}.{column}" for column in compared)
            for side, short in sides.items()
        }
        differs.append(_DIFFER[vendor].format(**lists))
    key = page.column("salesforce_id")
    return f"""
        SELECT p.{key} FROM {PAGE} p LEFT JOIN {page.table} t ON t.{key} = p.{key}
        WHERE t.{key} IS NULL OR t.{page.column("is_deleted")} OR NOT t.{page.column("is_complete")}
        OR {" OR ".join(differs)}
    """
