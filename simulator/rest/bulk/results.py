"""The result of a query job: the rows of the moment of its creation, and pages of them as CSV."""

import csv
import io
from array import array
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from simulator.org.catalogue import Entity
from simulator.org.cells import cells
from simulator.org.record_store import Snapshot
from simulator.org.records import JsonObject
from simulator.org.view import View
from simulator.rest.queries import ordered
from simulator.rest.soql_query import Query
from simulator.rest.soql_where import comparisons, holds

ROWS_AT_ONCE = 500


@dataclass(slots=True)
class Result:
    """The rows that a query selects from a snapshot, by their places in it."""

    query: Query
    spelt: dict[str, str]
    snapshot: Snapshot
    entity: Entity
    view: View
    delimiter: str
    line_ending: str
    #: The places of the snapshot at which there can be rows of the query.
    candidates: Sequence[int]
    _places: Sequence[int] = field(default=())

    @property
    def is_ordered(self) -> bool:
        return bool(self.query.order)

    @property
    def count(self) -> int:
        """The number of rows found so far."""
        return len(self._places)

    @property
    def content(self) -> tuple[Hashable, ...]:
        """Return values of which at least one is different for a result with other content."""
        entity, snapshot = self.entity, self.snapshot
        formulas = tuple((name, formula.text) for name, formula in entity.formulas.items())
        return (
            *(entity.name, entity.hidden, entity.added, formulas),
            *(snapshot.version, len(snapshot.ids), self.query, self.delimiter, self.line_ending),
        )

    def select(self) -> Iterator[None]:
        """Find the rows of the query; yields after some of them, so that others can work."""
        if self.query.where is None and not self.query.order:
            self._places = range(len(self.snapshot.ids))[: self.query.limit]
            return
        self._places = places = array("I")
        keys: dict[int, JsonObject] = {}
        tested = cells(self.entity, self.view, self._tested())
        for number, place in enumerate(self.candidates):
            record, is_deleted = self.snapshot.get(self.snapshot.ids[place])
            row = {name: cell(record, is_deleted) for name, cell in tested.items()}
            if holds(self.query.where, row, self.spelt):
                places.append(place)
                if self.query.order:
                    keys[place] = self._sort_keys(row)
            if number % ROWS_AT_ONCE == 0:
                yield
        if self.query.order:
            places = self._ordered(keys)
        self._places = places[: self.query.limit]

    def _tested(self) -> set[str]:
        """Return the fields of WHERE and ORDER BY."""
        wheres = [comparison.name for comparison in comparisons(self.query.where)]
        return {self.spelt[name] for name in (*wheres, *(key.name for key in self.query.order))}

    def _sort_keys(self, row: JsonObject) -> JsonObject:
        return {name: row.get(name) for name in (self.spelt[key.name] for key in self.query.order)}

    def _ordered(self, keys: dict[int, JsonObject]) -> "array[int]":
        rows: list[JsonObject] = [{**row, "": place} for place, row in keys.items()]
        for order in reversed(self.query.order):
            rows = ordered(rows, self.spelt[order.name], order)
        return array("I", (row[""] for row in rows))

    def page(self, start: int, count: int) -> Iterator[bytes]:
        """Yield the header row and `count` rows from a place on, in parts."""
        names = [self.spelt[name] for name in self.query.names]
        buffer = io.StringIO()
        writer = csv.writer(
            buffer, delimiter=self.delimiter, lineterminator=self.line_ending, quoting=csv.QUOTE_ALL
        )
        writer.writerow(names)
        cell_of = cells(self.entity, self.view, names)
        columns = [cell_of[name] for name in names]
        end = min(start + count, self.count)
        for first in range(start, end, ROWS_AT_ONCE):
            for place in self._places[first : min(first + ROWS_AT_ONCE, end)]:
                record, is_deleted = self.snapshot.get(self.snapshot.ids[place])
                writer.writerow([_text(cell(record, is_deleted)) for cell in columns])
            yield _taken(buffer)
        if buffer.tell():
            yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()


def _text(value: object) -> object:
    """Return a value in the form of the CSV."""
    if value is True:
        return "true"
    return "false" if value is False else value
