"""Writes rows of mirrored tables in bulk: one statement, INSERT … ON CONFLICT DO UPDATE.

PostgreSQL gets many rows by COPY into a temporary table; few rows, and those of SQLite, are sent
one statement each. Rows have Python values; `raw` may be a dict or its JSON text, and for
PostgreSQL any value a text that it reads as that value.

    write           records that were read; the statement's condition is the version guard
    write_decided   rows that were judged under a lock, such as those of events
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import DataError, IntegrityError, connections, models, transaction

from mirror.apply.guard import (
    MARGIN,
    Row,
    Verdict,
    judge_deletion_read,
    judge_read,
    milliseconds,
)
from mirror.schema.columns import Columns

#: From this many rows on, a temporary table is cheaper than a statement for each row.
MANY = 100
#: Ids in one query.
IDS = 1000
#: The temporary table.
PAGE = "mirror_page"
#: Fields whose Python values the database's driver takes as they are.
_TEXTS_AND_NUMBERS = (
    *(models.CharField, models.TextField, models.BooleanField, models.FloatField),
    *(models.IntegerField, models.BigIntegerField, models.SmallIntegerField),
)
_TIMES = (models.DateField, models.DateTimeField, models.TimeField, models.DecimalField)
_PLAIN: Mapping[str, frozenset[type[models.Field[Any, Any]]]] = {
    "sqlite": frozenset(_TEXTS_AND_NUMBERS),
    "postgresql": frozenset((*_TEXTS_AND_NUMBERS, *_TIMES)),
}
Values = Sequence[Any]

#: `judge_read` and `judge_deletion_read` in SQL. {old}: the table; the parameters are twice the
#: read's time minus MARGIN.
_GUARD = """
{old}.synced_at IS NULL
OR ({old}.synced_at < %s AND (excluded.is_deleted OR excluded.version >= {old}.version
    OR excluded.version IS NULL OR {old}.version IS NULL OR {is_from_event}))
OR ({old}.synced_at >= %s AND NOT {old}.is_deleted AND NOT excluded.is_deleted
    AND excluded.version > {old}.version)
"""
#: `Row.is_from_event` in SQL.
_IS_FROM_EVENT = {
    "postgresql": "EXTRACT(MICROSECONDS FROM {old}.synced_at)::bigint %% 1000 <> 0",
    "sqlite": "substr({old}.synced_at, 24, 3) NOT IN ('', '000')",
}

#: A stored `raw` without some fields, and with those of the new one.
_MERGED = {
    "postgresql": "(COALESCE({old}, '{{}}'::jsonb) - %s::text[]) || excluded.{new}",
    "sqlite": "json_patch(json_patch(COALESCE({old}, '{{}}'), %s), excluded.{new})",
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
    columns: Columns, alias: str, names: Sequence[str], rows: Collection[Values], read_at: datetime
) -> Written:
    """Write records that a read begun at `read_at` returned, as far as the version guard lets it.

    names   attribute names of the columns: `salesforce_id` first, `is_deleted`, `version`, `raw`
            and any of the model's. Columns that are not named keep their values, and `raw` keeps
            the fields that the read lacks: the user may not see them any more.

    In a transaction of that database, its own or the caller's.
    """
    constants = {"synced_at": read_at, "is_complete": True}
    page = Page(columns, alias, names, constants, merges_raw="raw" in names)
    return _write_guarded(page, rows, read_at)


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


def _write_guarded(page: Page, rows: Collection[Values], read_at: datetime) -> Written:
    unique = {row[0]: row for row in rows}
    if not unique:
        return Written(0)
    earliest = read_at - MARGIN
    is_from_event = _IS_FROM_EVENT[connections[page.alias].vendor].format(old=page.table)
    guard = _GUARD.format(old=page.table, is_from_event=is_from_event)
    with transaction.atomic(using=page.alias):
        applied = page.execute(list(unique.values()), f"DO UPDATE SET {{}} WHERE {guard}",
                               [earliest, earliest])  # fmt: skip
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


@dataclass(frozen=True)
class Page:
    """Rows of some columns for one table. `constants` are the same in all rows; `defaults` too, but
    they are only inserted. `merges_raw`: a stored `raw` keeps fields that the new one lacks."""

    columns: Columns
    alias: str
    names: Sequence[str]
    constants: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    merges_raw: bool = False

    @property
    def table(self) -> str:
        return self._quoted(self.columns.model._meta.db_table)

    def execute(
        self, rows: Collection[Values], on_conflict: str, params: Sequence[Any] = ()
    ) -> int:
        """Insert the rows; return how many were written. `on_conflict` has {} for the columns."""
        database = connections[self.alias]
        defaults = {**self._missing(), **self.defaults}
        targets = [*self.names, *self.constants, *defaults]
        fixed = [
            self._field(name).get_db_prep_save(value, database)
            for name, value in (*self.constants.items(), *defaults.items())
        ]
        params = [
            *self._raw_params(),
            *(database.ops.adapt_datetimefield_value(value) for value in params),
        ]
        into = f"INSERT INTO {self.table} ({', '.join(map(self.column, targets))})"
        changes = ", ".join(
            f"{self.column(name)} = {self._new_value(name)}"
            for name in (*self.names[1:], *self.constants)
        )
        then = f"ON CONFLICT ({self.column('salesforce_id')}) {on_conflict.format(changes)}"
        places = ", ".join(["%s"] * len(fixed))
        with database.cursor() as cursor:
            if database.vendor == "postgresql" and len(rows) >= MANY:
                self.put(cursor, rows)
                columns = ", ".join(map(self.column, self.names))
                values = ", ".join(filter(None, (columns, places)))
                source = f"SELECT {values} FROM {PAGE} ORDER BY 1"
                cursor.execute(f"{into} {source} {then}", [*fixed, *params])
                return int(cursor.rowcount)
            slots = ", ".join(["%s"] * len(targets))
            prepared = sorted(self._prepared(rows), key=lambda row: row[0])
            cursor.executemany(
                f"{into} VALUES ({slots}) {then}", [(*row, *fixed, *params) for row in prepared]
            )
            return int(cursor.rowcount)

    def _new_value(self, name: str) -> str:
        """Return the SQL of a column's value in a row that exists already."""
        column = self.column(name)
        if name != "raw" or not self.merges_raw:
            return f"excluded.{column}"
        return _MERGED[connections[self.alias].vendor].format(
            old=f"{self.table}.{column}", new=column
        )

    def _raw_params(self) -> list[Any]:
        """Return the fields that a stored `raw` loses, since their columns are written."""
        if not self.merges_raw:
            return []
        fields = self.columns.resolved.fields if self.columns.resolved else {}
        names = [name for name, column in fields.items() if column.attname in self.names]
        is_postgres = connections[self.alias].vendor == "postgresql"
        return [names if is_postgres else json.dumps(dict.fromkeys(names))]

    def put(self, cursor: Any, rows: Collection[Values]) -> None:
        """Put the rows into the temporary table, which lasts as long as the transaction."""
        columns = ", ".join(map(self.column, self.names))
        is_postgres = connections[self.alias].vendor == "postgresql"
        cursor.execute(f"DROP TABLE IF EXISTS {'pg_temp' if is_postgres else 'temp'}.{PAGE}")
        as_rows = f"AS SELECT {columns} FROM {self.table} LIMIT 0"
        on_commit = " ON COMMIT DROP" if is_postgres else ""
        cursor.execute(f"CREATE TEMPORARY TABLE {PAGE}{on_commit} {as_rows}")
        if not is_postgres:
            slots = ", ".join(["%s"] * len(self.names))
            cursor.executemany(f"INSERT INTO {PAGE} VALUES ({slots})", self._prepared(rows))
            return
        with cursor.copy(f"COPY {PAGE} ({columns}) FROM STDIN") as copy:
            for row in self._prepared(rows):
                copy.write_row(row)

    def _prepared(self, rows: Collection[Values]) -> Iterable[Values]:
        """Return the rows with the values that the database's driver takes."""
        database = connections[self.alias]
        plain = _PLAIN[database.vendor]
        changed = [
            (index, self._field(name))
            for index, name in enumerate(self.names)
            if type(self._field(name)) not in plain
            and not (name == "raw" and all(isinstance(row[index], str) for row in rows))
        ]
        return (_adapted(row, changed, database) for row in rows) if changed else rows

    def _missing(self) -> dict[str, Any]:
        """Return the defaults of columns that no row names and that must not be null."""
        named = {*self.names, *self.constants, *self.defaults}
        return {
            column.attname: {}
            if column.attname == "raw" and not column.has_default()
            else column.get_default()
            for column in self.columns.model._meta.local_concrete_fields
            if column.attname not in named and not column.null and not column.generated
        }

    def _field(self, name: str) -> models.Field[Any, Any]:
        found: models.Field[Any, Any] = self._fields[name]
        return found

    @property
    def _fields(self) -> dict[str, Any]:
        meta = self.columns.model._meta
        return {column.attname: column for column in meta.local_concrete_fields}

    def column(self, name: str) -> str:
        """Return a column's quoted name."""
        return self._quoted(str(self._field(name).column))

    def _quoted(self, name: str) -> str:
        return connections[self.alias].ops.quote_name(name)


def _adapted(row: Values, changed: Iterable[tuple[int, Any]], database: Any) -> Values:
    values = list(row)
    for index, column in changed:
        value = values[index]
        if value is None or (column.attname == "raw" and isinstance(value, str)):
            continue
        if isinstance(column, models.JSONField):
            values[index] = json.dumps(value, cls=column.encoder)
        else:
            values[index] = column.get_db_prep_save(value, database)
    return values
