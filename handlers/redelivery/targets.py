"""Fix the targets of a redelivery when it is requested, so that later changes are not included."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connection

from handlers.models import Redelivery, RedeliveryTarget
from handlers.redelivery.request import Wish


def fix(wish: Wish, redelivery: Redelivery) -> int:
    """Insert the targets of a redelivery; return how many. Inside the caller's transaction."""
    fixed = _fix(wish.deliveries, "state", redelivery, is_entry=False)
    if wish.entries is not None:
        fixed += _fix(wish.entries, "''", redelivery, is_entry=True)
    return fixed


def _fix(rows: Any, state: str, redelivery: Redelivery, *, is_entry: bool) -> int:
    names = ["id"] if is_entry else ["id", "state"]
    compiler = rows.order_by().values_list(*names).query.get_compiler(DEFAULT_DB_ALIAS)
    try:
        picked, parameters = compiler.as_sql()
    except EmptyResultSet:
        return 0
    quoted = connection.ops.quote_name
    table = quoted(RedeliveryTarget._meta.db_table)
    columns = ", ".join(quoted(name) for name in ("redelivery_id", "is_entry", "row_id", "state"))
    sql = " ".join(
        [
            f"INSERT INTO {table} ({columns})",
            # A filter over several tables may pick a row twice.
            f"SELECT DISTINCT CAST(%s AS bigint), %s, picked.id, {state}",
            # Inserting in the order of the primary key halves the time for a million rows.
            f"FROM ({picked}) AS picked ORDER BY picked.id",
        ]
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [redelivery.pk, is_entry, *parameters])
        return int(cursor.rowcount)
