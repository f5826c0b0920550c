"""Writes rows of mirrored tables in bulk: one statement, INSERT … ON CONFLICT DO UPDATE.

PostgreSQL gets many rows by COPY into a temporary table; few rows, and those of SQLite, are sent
one statement each. Rows have Python values; `raw` may be a dict or its JSON text, and for
PostgreSQL any value a text that it reads as that value.

    write           records that were read; the statement's condition is the version guard
    write_decided   rows that were judged under a lock, such as those of events
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import DataError, IntegrityError, connections, transaction

from mirror.apply.guard import (
    MARGIN,
    Row,
    Verdict,
    judge_deletion_read,
    judge_read,
    milliseconds,
)
from mirror.apply.row_page import Page, Values
from mirror.schema.columns import Columns

#: Ids in one query.
IDS = 1000
#: `judge_read` and `judge_deletion_read` in SQL: nothing is known of the record, or the read is
#: certainly later than the row, or it has a newer version and is not earlier. {old}: the table; the
#: parameters are three times the read's time minus MARGIN, and its time.
_GUARD = """
{old}.synced_at IS NULL
OR ({old}.synced_at < %s AND (excluded.is_deleted OR excluded.version >= {old}.version
    OR excluded.version IS NULL OR {old}.version IS NULL OR {old}.version < %s
    OR {may_be_newer}))
OR ({old}.synced_at >= %s AND {old}.synced_at <= %s
    AND NOT {old}.is_deleted AND NOT excluded.is_deleted AND excluded.version > {old}.version)
"""
#: `Row.is_from_event` in SQL.
_IS_FROM_EVENT = {
    "postgresql": "EXTRACT(MICROSECONDS FROM {old}.synced_at)::bigint %% 1000 <> 0",
    "sqlite": "substr({old}.synced_at, 24, 3) NOT IN ('', '000')",
}

#: Errors about a row's values: the database, its driver or a field refuses one.
REFUSED = (DataError, IntegrityError, ValueError, ArithmeticError)


class Overtaken(Exception):
    """Another process inserted one of the rows since they were read. Nothing was written: read and
    judge them again."""


@dataclass(frozen=True, slots=True)
class Written:
    """The result of writing records that were read.

    `doubtful` are the records to read again: by id, the time in ms since 1970 that the read must
    begin after (`DirtyRow.since`).
    """

    applied: int
    doubtful: Mapping[str, int] = field(default_factory=dict)


def write(
    columns: Columns,
    alias: str,
    names: Sequence[str],
    rows: Collection[Values],
    read_at: datetime,
    *,
    is_confirmed: bool = False,
    meanwhile: Callable[[], None] | None = None,
) -> Written:
    """Write records that a read begun at `read_at` returned, as far as the version guard lets it.

    names   attribute names of the columns: `salesforce_id` first, `is_deleted`, `version`, `raw`
            and any of the model's. Columns that are not named keep their values, and `raw` keeps
            the fields that the read lacks: the user may not see them any more.

    `is_confirmed`: replace rows with a newer version too, as `judge_read` says. `meanwhile` is
    called when there is only the database to wait for.

    In a transaction of that database, its own or the caller's.
    """
    constants = {"synced_at": read_at, "is_complete": True}
    page = Page(columns, alias, names, constants, merges_raw="raw" in names)
    return _write_guarded(page, rows, read_at, is_confirmed=is_confirmed, meanwhile=meanwhile)


def write_absent(columns: Columns, alias: str, ids: Collection[str], read_at: datetime) -> Written:
    """Mark the records as deleted that a read begun at `read_at` did not find, as `write` does."""
    page = Page(
        columns,
        alias,
        ("salesforce_id", "is_deleted"),
        {"synced_at": read_at},
        {"is_complete": False},
    )
    return _write_guarded(page, [(record_id, True) for record_id in ids], read_at)


def _write_guarded(
    page: Page,
    rows: Collection[Values],
    read_at: datetime,
    *,
    is_confirmed: bool = False,
    meanwhile: Callable[[], None] | None = None,
) -> Written:
    unique = {row[0]: row for row in rows}
    if not unique:
        return Written(0)
    earliest = read_at - MARGIN
    is_from_event = _IS_FROM_EVENT[connections[page.alias].vendor].format(old=page.table)
    may_be_newer = "1 = 1" if is_confirmed else is_from_event
    guard = _GUARD.format(old=page.table, may_be_newer=may_be_newer)
    with transaction.atomic(using=page.alias):
        applied = page.execute(
            list(unique.values()),
            f"DO UPDATE SET {{}} WHERE {guard}",
            [earliest, earliest, earliest, read_at],
            meanwhile,
        )
        doubtful = {} if applied == len(unique) else _doubtful(page, unique, read_at)
    return Written(applied, doubtful)


def _doubtful(page: Page, rows: Mapping[str, Values], read_at: datetime) -> dict[str, int]:
    """Return the records whose rows the guard could not judge. The statement has locked all rows,
    and those that it has written count as the same read, which is skipped."""
    deleted = page.names.index("is_deleted")
    version = page.names.index("version") if "version" in page.names else None
    found: dict[str, int] = {}
    for record_id, row in rows_of(page.columns, page.alias, list(rows), since=read_at - MARGIN):
        read = rows[record_id]
        if read[deleted]:
            verdict = judge_deletion_read(row, read_at)
        else:
            verdict = judge_read(row, read[version] if version is not None else None, read_at)
        if verdict is Verdict.READ and row.synced_at is not None:
            found[record_id] = milliseconds(max(row.synced_at, read_at))
    return found


def rows_of(
    columns: Columns, alias: str, ids: Sequence[str], *, since: datetime | None = None
) -> Iterable[tuple[str, Row]]:
    """Yield what the guard needs to know of the rows with these ids; with `since`, of those whose
    `synced_at` is not earlier."""
    found = columns.model._base_manager.using(alias)
    if since is not None:
        found = found.filter(synced_at__gte=since)
    names = ("pk", "version", "synced_at", "is_deleted", "is_complete")
    for start in range(0, len(ids), IDS):
        rows = found.filter(pk__in=ids[start : start + IDS]).values_list(*names)
        for record_id, *values in rows:
            yield record_id, Row(*values)


def write_decided(
    columns: Columns,
    alias: str,
    names: Sequence[str],
    inserted: Collection[Values],
    updated: Collection[Values],
) -> None:
    """Insert rows that did not exist, and update rows that the caller has locked.

    names   attribute names: `salesforce_id` first, and all columns to write

    Inside the caller's transaction of that database. Raises Overtaken.
    """
    page = Page(columns, alias, names)
    if inserted and page.execute(inserted, "DO NOTHING") < len(inserted):
        raise Overtaken
    if updated:
        page.execute(updated, "DO UPDATE SET {}")
