"""Writes the records that a load or a sweep has read to the mirror's table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import connections

from audit.db.retry import describe
from listeners.salesforce.rest.records import long_id
from mirror.apply.dirty import Mark, mark, mark_all
from mirror.apply.guard import read_time
from mirror.apply.record_rows import OWN, json_of, rows_of_records, version_of
from mirror.apply.row_page import Values
from mirror.apply.upsert import REFUSED, Written, write, write_absent
from mirror.column_holders import columns_for
from mirror.load.fields import ReadFields
from mirror.models import DirtyRow, Mirror
from mirror.runs import RunFailed
from mirror.schema.columns import Columns
from mirror.schema.csv_columns import RowsConverter
from mirror.schema.key_prefixes import STANDARD_PREFIXES

#: Rows in one statement.
CHUNK = 5_000
#: Rows that the database refuses, until a run fails.
MOST_REFUSED = 100


class Writer:
    """Converts records, writes them as the version guard lets it, and marks doubtful ones dirty.

    `applied`, `doubtful` and `refused` count rows, and values that did not fit their columns.
    `complete_until` is the time, in ms since 1970, from which doubtful rows may lack changes that
    the stream did not deliver; None: it delivers all of them.
    """

    def __init__(self, mirror: Mirror, fields: ReadFields) -> None:
        self._mirror, self._fields = mirror, fields
        self.prefixes: Mapping[str, str] = STANDARD_PREFIXES
        self.columns: Columns = columns_for(mirror, fields.types)
        self.applied = self.doubtful = self.refused = 0
        self.complete_until: int | None = None
        self._refused_rows = 0
        self._indices = {name: index for index, name in enumerate(fields.names)}

    @cached_property
    def _converter(self) -> RowsConverter:
        keeps_texts = connections[self._mirror.database].vendor == "postgresql"
        names = self._fields.names
        return RowsConverter(self.columns, names, prefixes=self.prefixes, keeps_texts=keeps_texts)

    def convert(self, rows: Sequence[Sequence[str]]) -> list[Values]:
        """Return rows of CSV texts, in the order of the fields, as the values of columns."""
        converted = self._converter.convert(rows)
        self.refused += converted.refused
        names = self._names(self._fields.names)
        values = zip(
            [long_id(row[0]) for row in rows],
            [text == "true" for text in self._texts(rows, "IsDeleted")],
            [version_of(text) for text in self._texts(rows, "LastModifiedDate")],
            [json_of(converted.raw.get(number)) for number in range(len(rows))],
            *(converted.values[name] for name in names),
            strict=True,
        )
        return list(values)

    def write_rows(
        self, rows: Sequence[Values], read_at: int, meanwhile: Callable[[], None] | None = None
    ) -> None:
        """Write rows that `convert` returned; `read_at` in ms since 1970. `meanwhile` is called
        when there is only the database to wait for. Never inside a transaction."""
        names = (*OWN, *self._names(self._fields.names))
        self._write(names, rows, read_at, meanwhile=meanwhile)

    def _texts(self, rows: Sequence[Sequence[str]], field: str) -> list[str]:
        """Return the texts of a field; empty ones if the object does not have it."""
        index = self._indices.get(field)
        return [""] * len(rows) if index is None else [row[index] for row in rows]

    def write_records(
        self, records: Iterable[Mapping[str, Any]], read_at: int, *, is_confirmed: bool = False
    ) -> None:
        """Write records of REST that have all fields; `is_confirmed` as in `judge_read`. Never
        inside a transaction."""
        found = rows_of_records(self.columns, records, self.prefixes)
        self.refused += found.refused
        for names, rows in found.rows.items():
            self._write(names, rows, read_at, is_confirmed=is_confirmed)

    def write_deleted(self, ids: Sequence[str], read_at: int) -> None:
        """Mark records as deleted that a read did not find. Never inside a transaction."""
        if ids:
            found = write_absent(self.columns, self._mirror.database, ids, read_time(read_at))
            self._count(found)

    def has_rows_before(self, moment: datetime) -> bool:
        """Return whether the table has rows that were written before a time."""
        rows = self.columns.model._base_manager.using(self._mirror.database)
        return bool(rows.filter(synced_at__lt=moment).exists())

    def not_deleted(self, ids: Sequence[str]) -> list[str]:
        """Return those of the ids that have a row which is not marked as deleted."""
        rows = self.columns.model._base_manager.using(self._mirror.database)
        found = rows.filter(pk__in=ids, is_deleted=False)
        return [str(pk) for pk in found.values_list("pk", flat=True)]

    def _write(
        self,
        names: Sequence[str],
        rows: Sequence[Values],
        read_at: int,
        *,
        is_confirmed: bool = False,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Write rows; in halves if the database refuses one of them. One that it refuses alone is
        marked dirty, so that the mirror's status names it. Raises RunFailed for too many."""
        at, database = read_time(read_at), self._mirror.database
        try:
            written = write(
                *(self.columns, database, names, rows, at),
                is_confirmed=is_confirmed,
                meanwhile=meanwhile,
            )
            self._count(written)
            return
        except REFUSED as error:
            if len(rows) == 1:
                self._mark_refused(rows[0][0], read_at, error)
                return
        half = len(rows) // 2
        for part in (rows[:half], rows[half:]):
            self._write(names, part, read_at, is_confirmed=is_confirmed)

    def _mark_refused(self, record_id: str, read_at: int, error: Exception) -> None:
        self._refused_rows += 1
        reason = describe(error)
        if self._refused_rows > MOST_REFUSED:
            raise RunFailed(
                f"The database refuses more than {MOST_REFUSED} rows of {self._mirror.model}, such "
                f"as {record_id}: {reason.rstrip('.')}. Correct the model, then load again: "
                f"manage.py mirror load {self._mirror.model}"
            ) from error
        refused = Mark(record_id, read_at, 0, DirtyRow.Reason.FAILED, reason)
        mark_all(self._mirror, [refused])

    def _count(self, written: Written) -> None:
        self.applied += written.applied
        self.doubtful += len(written.doubtful)
        if written.doubtful:
            reason = DirtyRow.Reason.SAME_SECOND
            mark(self._mirror, written.doubtful, reason, complete_until=self.complete_until)

    def _names(self, fields: Iterable[str]) -> list[str]:
        """Return the attribute names of the columns that these fields fill."""
        known = set(fields)
        direct = [c.attname for name, c in self.columns.fields.items() if name in known]
        return direct + [c.attname for name, c in self.columns.types.items() if name in known]
