"""Compares every field of every record with a query job of Bulk API 2.0, as a load reads them.

The database compares; records that seem to differ are read again, and compared field by field. Rows
that no page had are noticed by the number of ids and their sum; then all ids are compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

from django.conf import settings
from django.db import connections

from listeners.salesforce.bulk.errors import BulkLimit, BulkUnsupported
from listeners.salesforce.errors import RestRefused
from listeners.salesforce.rest.records import long_id
from mirror.apply.differing import differing
from mirror.apply.record_rows import version_of
from mirror.apply.row_page import Values
from mirror.load.bulk import BulkLoad
from mirror.load.fields import ReadFields
from mirror.load.work import Work
from mirror.runs import Later, RunFailed
from mirror.schema.csv_columns import RowsConverter
from mirror.schema.values import relation_of
from mirror.verify.compare import TYPE
from mirror.verify.session import Session
from mirror.verify.there import MODIFIED

_KEY = "bulk"


def compare(session: Session) -> Later | None:
    """Compare by a query job, for a slice of time. Afterwards `needs_rest` and `needs_ids` say what
    is still to be compared."""
    work = _ComparingWork(session)
    if needs_rest(session) or "has_all" in work.cursor:
        return None
    if session.comparison.here.total().rows <= settings.CDC_BULK_PAGE_ROWS:
        work.save(rest="REST reads few records at once")
        return None
    try:
        if (later := BulkLoad(work, deleted=False).run()) is not None:
            return later
    except (BulkUnsupported, BulkLimit, RestRefused, RunFailed) as refusal:
        work.save(rest=str(refusal))
        return None
    seen = [work.cursor.get("number", 0), work.cursor.get("sum", 0)]
    work.save(has_all=seen == [*_checksum(session.comparison.here.every_id())])
    return None


def needs_rest(session: Session) -> bool:
    """Whether the fields must be compared by REST."""
    return "rest" in session.cursor.get(_KEY, {})


def is_used(session: Session) -> bool:
    """Whether a query job has compared the records."""
    return _KEY in session.cursor and not needs_rest(session)


def needs_ids(session: Session) -> bool:
    """Whether there may be rows whose records no longer exist."""
    return not session.cursor.get(_KEY, {}).get("has_all")


class _ComparingWork(Work):
    """The interface through which a load reads the records; `write_rows` compares them with the
    stored rows."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.claim)
        self._session, self._here = session, session.comparison.here
        self.cursor: dict[str, Any] = dict(session.cursor.get(_KEY, {}))
        if "names" not in self.cursor:
            self.use(session.comparison.read_fields)
        self._converter = self._make_converter(self.fields)
        self._names = self._compared_names()
        self._number = self._sum = self._compared = 0

    @property
    def writer(self) -> Any:
        return self

    def _make_converter(self, fields: ReadFields) -> RowsConverter:
        keeps_texts = connections[self.mirror.database].vendor == "postgresql"
        prefixes = self._session.comparison.prefixes
        columns = self._here.columns
        return RowsConverter(columns, fields.names, prefixes=prefixes, keeps_texts=keeps_texts)

    def _compared_names(self) -> list[str]:
        """Return the attribute names of the columns that are compared."""
        columns, rules = self._here.columns, self._session.comparison.rules
        known = set(self.fields.names)
        direct = {name: column for name, column in columns.fields.items() if name in known}
        types = {name: column for name, column in columns.types.items() if name in known}
        return [
            *(column.attname for name, column in direct.items() if rules.has(name)),
            *(c.attname for name, c in types.items() if rules.has(relation_of(name) + TYPE)),
        ]

    def convert(self, rows: Sequence[Sequence[str]]) -> list[Values]:
        """Return rows of CSV texts as the values that are compared."""
        converted = self._converter.convert(rows)
        raws = [self._raw(converted.raw.get(number)) for number in range(len(rows))]
        versions = [version_of(text) for text in self._versions(rows)]
        compared = (converted.values[name] for name in self._names)
        return list(zip([long_id(row[0]) for row in rows], raws, versions, *compared, strict=True))

    def write_rows(
        self, rows: Sequence[Values], read_at: int, meanwhile: Callable[[], None]
    ) -> None:
        """Compare rows with the stored ones, and settle those that differ."""
        names = ("salesforce_id", "raw", "version", *self._names)
        found = differing(self._here.columns, self.mirror.database, names, rows, meanwhile)
        self._session.settle_differing(sorted(found))
        equal = {str(row[0]) for row in rows}.difference(found)
        self._count(equal, self._here.live_among(found))
        self._compared += len(rows)

    def _versions(self, rows: Sequence[Sequence[str]]) -> list[str]:
        if MODIFIED not in self.fields.names:
            return [""] * len(rows)
        at = self.fields.names.index(MODIFIED)
        return [row[at] for row in rows]

    def _raw(self, raw: Mapping[str, Any] | None) -> str:
        """Return the fields without a column as JSON, apart from those whose values change without
        an event."""
        if not raw:
            return "{}"
        uncarried = self._session.comparison.rules.uncarried
        compared = {name: value for name, value in raw.items() if name not in uncarried}
        return json.dumps(compared, default=str)

    def _count(self, equal: Iterable[str], settled: Iterable[str]) -> None:
        for ids in (equal, settled):
            number, total = _checksum(ids)
            self._number, self._sum = self._number + number, self._sum + total

    def save(self, *, done: int | None = None, total: int | None = None, **cursor: Any) -> None:
        """Store the progress of a step, and renew the claim."""
        session = self._session
        if "job" in cursor:  # another job reads all records again
            cursor |= {"number": 0, "sum": 0, "compared": 0}
        elif "locator" in cursor and "rows" in cursor and cursor["rows"]:
            known = self.cursor
            cursor["number"] = known["number"] + self._number
            cursor["sum"] = known["sum"] + self._sum
            cursor["compared"] = known["compared"] + self._compared
        self._number = self._sum = self._compared = 0
        self.cursor |= cursor
        session.cursor[_KEY] = self.cursor
        session.counts["compared"] = self.cursor.get("compared", 0)
        progress = {"done": done, "total": total}
        session.keep(**{name: number for name, number in progress.items() if number is not None})


def _checksum(ids: Iterable[str]) -> tuple[int, int]:
    """Return the number of ids and a sum that differs, almost certainly, for other ids."""
    number = total = 0
    for one in ids:
        number += 1
        total += crc32(one.encode())
    return number, total
