"""The table of the audit log and its parts, as PostgreSQL's catalogue has them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.db import connection

from audit.models import AuditLogEntry
from audit.partitions.months import Month

TABLE = AuditLogEntry._meta.db_table
#: What was there before: all of it in one part.
HISTORY = f"{TABLE}_history"
#: What belongs to no other part.
REST = f"{TABLE}_default"
#: A part that was taken out of the audit log, and goes once its deliveries have.
GONE = f"{TABLE}_gone_"

_KIND = "SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)"
_PARTS = """
SELECT part.relname, pg_get_expr(part.relpartbound, part.oid), pg_total_relation_size(part.oid),
    greatest(part.reltuples, 0)::bigint
FROM pg_inherits JOIN pg_class part ON part.oid = inhrelid
WHERE inhparent = to_regclass(%s)
"""
_GONE = """
SELECT relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND starts_with(relname, %s)
ORDER BY relname
"""
_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_BOUNDS = re.compile(r"FROM \((?:MINVALUE|'?(-?\d+)'?)\) TO \('?(-?\d+)'?\)")


@dataclass(frozen=True, slots=True)
class Part:
    """`since` and `until` in ms since 1970, UTC: from the first of them, up to the second. None: it
    has no such end. `size` in bytes, with its indexes; `rows` as estimated."""

    name: str
    since: int | None
    until: int | None
    size: int
    rows: int

    @property
    def is_default(self) -> bool:
        return self.until is None

    @property
    def is_month(self) -> bool:
        return self.since is not None

    def is_over(self, at: int) -> bool:
        """Whether nothing that is committed from then on comes to it."""
        return self.until is not None and self.until <= at


def rows(sql: str, params: list[Any] | dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def run(*statements: str) -> None:
    """As they are."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def is_partitioned(table: str = TABLE) -> bool:
    if connection.vendor != "postgresql":
        return False
    return rows(_KIND, [table]) == [("p",)]


def parts() -> list[Part]:
    """Of what is not partitioned none; else in the order of time, the default one at last."""
    if connection.vendor != "postgresql":
        return []
    found = [
        Part(name, *_bounds(bounds), size, number)
        for name, bounds, size, number in rows(_PARTS, [TABLE])
    ]
    return sorted(found, key=lambda part: (part.is_default, part.until or 0))


def wholes(at: int) -> list[tuple[int, int]]:
    """The times, from and up to, of all months with a part of their own, and of any part that is
    over; those that touch as one."""
    found: list[tuple[int, int]] = []
    for part in parts():
        if part.until is None or not (part.is_month or part.is_over(at)):
            continue
        since = 0 if part.since is None else part.since
        if found and found[-1][1] == since:
            since, _ = found.pop()
        found.append((since, part.until))
    return found


def _bounds(text: str) -> tuple[int | None, int | None]:
    found = _BOUNDS.search(text)
    if found is None:
        return None, None
    since, until = found.groups()
    return int(since) if since else None, int(until)


def gone() -> list[str]:
    """The parts that were taken out, and are still to be dropped."""
    return [name for (name,) in rows(_GONE, [GONE])] if connection.vendor == "postgresql" else []


def columns() -> str:
    """Of the audit log, as a list in SQL: each part may have them in an order of its own."""
    return ", ".join(quoted(name) for (name,) in rows(_COLUMNS, [TABLE]))


def last_id() -> int:
    """The last that was given to anybody, whether it came to a row or not."""
    [(sequence,)] = rows("SELECT pg_get_serial_sequence(%s, 'id')", [TABLE])
    [(last,)] = rows(f"SELECT last_value FROM {sequence}")
    return int(last)


def name_of(month: Month) -> str:
    return f"{TABLE}_{month.suffix}"


def quoted(name: str) -> str:
    return connection.ops.quote_name(name)
