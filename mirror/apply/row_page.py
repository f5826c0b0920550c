"""Rows of some columns for one mirrored table, and the statement that writes them in bulk.

PostgreSQL gets many rows by COPY into a temporary table; few rows, and those of SQLite, are sent
one statement each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, models
from django.db.models import F
from django.db.models.expressions import OrderBy
from django.db.models.functions import Collate

from mirror.schema.columns import Columns

#: From this many rows on, a temporary table is cheaper than a statement for each row.
MANY = 100
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
_BYTE_ORDER = {"postgresql": "C", "sqlite": "BINARY"}
Values = Sequence[Any]

#: A stored `raw` without some fields, and with those of the new one.
_MERGED = {
    "postgresql": "(COALESCE({old}, '{{}}'::jsonb) - %s::text[]) || excluded.{new}",
    "sqlite": "json_patch(json_patch(COALESCE({old}, '{{}}'), %s), excluded.{new})",
}


def by_bytes(alias: str, name: str) -> OrderBy:
    """Return the order of a text column in which all statements lock rows: that of bytes, as
    Python sorts. In two orders, two processes could wait for each other."""
    return Collate(F(name), _BYTE_ORDER[connections[alias].vendor]).asc()


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
        self,
        rows: Collection[Values],
        on_conflict: str,
        params: Sequence[Any] = (),
        meanwhile: Callable[[], None] | None = None,
    ) -> int:
        """Insert the rows; return how many were written. `on_conflict` has {} for the columns.
        `meanwhile` is called before the statement that waits longest for the database."""
        database = connections[self.alias]
        defaults = {**self._missing(), **self.defaults}
        targets = [*self.names, *self.constants, *defaults]
        fixed = [
            self._field(name).get_db_prep_save(value, database)
            for name, value in (*self.constants.items(), *defaults.items())
        ]
        params = [
            *self._raw_params(rows),
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
                key = self.column("salesforce_id")
                source = f'SELECT {values} FROM {PAGE} ORDER BY {key} COLLATE "C"'
                if meanwhile is not None:
                    meanwhile()
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

    def _raw_params(self, rows: Collection[Values]) -> list[Any]:
        """Return the fields that a stored `raw` loses, since their columns are written; in SQLite
        also those with objects, which it would merge."""
        if not self.merges_raw:
            return []
        fields = self.columns.resolved.fields if self.columns.resolved else {}
        names = [name for name, column in fields.items() if column.attname in self.names]
        is_postgres = connections[self.alias].vendor == "postgresql"
        if is_postgres:
            return [names]
        at = self.names.index("raw")
        nested = {name for row in rows for name in _nested(row[at])}
        return [json.dumps(dict.fromkeys([*names, *nested]))]

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


def _nested(raw: Any) -> Iterable[str]:
    """Return the fields of `raw`, a dict or its JSON text, whose values are objects."""
    if isinstance(raw, str):
        raw = json.loads(raw) if raw.count("{") > 1 else {}
    return [name for name, value in (raw or {}).items() if isinstance(value, dict)]
