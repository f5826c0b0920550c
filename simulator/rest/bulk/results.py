"""The result of a query job: the rows of the moment of its creation, and pages of them as CSV."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from simulator.org.records import JsonObject, Snapshot
from simulator.org.view import View
from simulator.rest.queries import ordered
from simulator.rest.soql import Query
from simulator.rest.soql_where import holds

ROWS_AT_ONCE = 500
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")


@dataclass(slots=True)
class Result:
    """The rows that a query selects from a snapshot, by their ids."""

    query: Query
    spelt: dict[str, str]
    snapshot: Snapshot
    view: View
    delimiter: str
    line_ending: str
    ids: list[str] = field(default_factory=list)

    @property
    def is_ordered(self) -> bool:
        return bool(self.query.order)

    def select(self) -> Iterator[None]:
        """Find the rows of the query; yields after some of them, so that others can work."""
        if self.query.where is None and not self.query.order:
            self.ids = self.snapshot.ids[: self.query.limit]
            return
        found: list[JsonObject] = []
        for number, record_id in enumerate(self.snapshot.ids):
            row = self._row(record_id)
            if holds(self.query.where, row, self.spelt):
                self.ids.append(record_id)
                if self.query.order:
                    sorted_by = (self.spelt[order.name] for order in self.query.order)
                    found.append({"": record_id, **{name: row.get(name) for name in sorted_by}})
            if number % ROWS_AT_ONCE == 0:
                yield
        for order in reversed(self.query.order):
            found = ordered(found, self.spelt[order.name], order)
        self.ids = [row[""] for row in found] if self.query.order else self.ids
        self.ids = self.ids[: self.query.limit]

    def page(self, start: int, count: int) -> Iterator[bytes]:
        """Yield the header row and `count` rows from a place on, in parts."""
        names = [self.spelt[name] for name in self.query.names]
        buffer = io.StringIO()
        writer = csv.writer(
            buffer, delimiter=self.delimiter, lineterminator=self.line_ending, quoting=csv.QUOTE_ALL
        )
        writer.writerow(names)
        end = min(start + count, len(self.ids))
        for place in range(start, end, ROWS_AT_ONCE):
            for record_id in self.ids[place : min(place + ROWS_AT_ONCE, end)]:
                row = self._row(record_id)
                writer.writerow([_text(row.get(name)) for name in names])
            yield _taken(buffer)
        if buffer.tell():
            yield _taken(buffer)

    def _row(self, record_id: str) -> JsonObject:
        record, is_deleted = self.snapshot.get(record_id)
        return self.view.row(record, "", deleted=is_deleted)


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()


def _text(value: object) -> object:
    """Return a value in the form of the CSV: `true`, and times that end with Z."""
    match value:
        case bool():
            return "true" if value else "false"
        case str() if MOMENT.fullmatch(value):
            return value.removesuffix("+0000") + "Z"
        case _:
            return value
