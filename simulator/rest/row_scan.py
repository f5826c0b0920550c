"""Read the records that a query can select, and few others."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping

from simulator.org.catalogue import Entity
from simulator.org.cells import cells
from simulator.org.org import Org
from simulator.org.records import JsonObject, Record, iso
from simulator.org.rest_form import is_moment, rest_time
from simulator.org.seed import MODIFIED_AFTER_MS, Seed
from simulator.org.seeded_rows import SeededRows
from simulator.rest.row_blocks import STAMPS, are_countable, blocks
from simulator.rest.soql_aggregates import Block
from simulator.rest.soql_bounds import Bounds, bounds
from simulator.rest.soql_query import Query
from simulator.rest.soql_where import holds, ids_wanted

#: Calculated records are in these orders.
NATURAL_ORDERS = (*(("Id",), ("CreatedDate", "Id")), *((name, "Id") for name in STAMPS[1:]))

ANY = Bounds()


class Scan:
    """The rows of one query."""

    def __init__(
        self, org: Org, entity: Entity, query: Query, spelt: Mapping[str, str], version: str
    ) -> None:
        self._org = org
        self.entity = entity
        self._query = query
        self._spelt = spelt
        self._version = version
        self._bounds = {name: bounds(query.where, name, spelt) for name in ("Id", *STAMPS)}
        self._limits = {name: self._bounds[name] for name in STAMPS if self._bounds[name] != ANY}
        self._counts = query.is_grouped or not query.columns
        self._cells = cells(entity, org.view, {"Id", *spelt.values()} if self._counts else ())

    def rows(self, *, deleted: bool) -> Iterator[JsonObject]:
        """Yield the rows that the query can select; with `deleted`, of the Recycle Bin too."""
        live = self._org.records_of(self.entity)
        binned = self._org.store.recycle_bin.get(self.entity.name, {})
        wanted = ids_wanted(self._query.where)
        if wanted is not None:
            yield from self._shown(filter(None, map(live.get, wanted)))
            if deleted:
                yield from self._shown(filter(None, map(binned.get, wanted)), deleted=True)
            return
        stored = live.stored() if isinstance(live, SeededRows) else live.values()
        yield from self._shown(stored)
        if deleted:
            yield from self._shown(binned.values(), deleted=True)
        if isinstance(live, SeededRows) and not self._has_blocks:
            yield from self._calculated(live)

    @property
    def _has_blocks(self) -> bool:
        return self._counts and are_countable(self._query, self._spelt)

    def blocks(self) -> Iterator[Block]:
        """Yield the calculated records that `rows` leaves out, as it is enough to count them."""
        live = self._org.records_of(self.entity)
        if isinstance(live, SeededRows) and self._has_blocks:
            yield from blocks(live, self.indexes(live.seed), self._query, self._spelt)

    def count(self, *, deleted: bool) -> int:
        """Return the number of rows that the query selects."""
        rows = self.rows(deleted=deleted)
        found = sum(1 for row in rows if holds(self._query.where, row, self._spelt))
        return found + sum(block.count for block in self.blocks())

    def _shown(self, records: Iterable[Record], *, deleted: bool = False) -> Iterator[JsonObject]:
        for record in records:
            if self._can_match(record):
                yield self._row(record, deleted=deleted)

    def _row(self, record: Record, *, deleted: bool = False) -> JsonObject:
        """Return the row of a record; one that is only counted has no other fields than needed."""
        if self._counts:
            return {name: _rest(cell(record, deleted)) for name, cell in self._cells.items()}
        return self._org.view.row(record, self._version, deleted=deleted)

    def _can_match(self, record: Record) -> bool:
        """Return whether the times of a record are within the query's bounds."""
        return all(
            limits.has(
                iso(record.modified_at) if name == "SystemModstamp" else record.fields.get(name, "")
            )
            for name, limits in self._limits.items()
        )

    def _calculated(self, rows: SeededRows) -> Iterator[JsonObject]:
        """Yield calculated rows, no more than the query can need."""
        left = self._enough()
        for record in rows.calculated(self.indexes(rows.seed)):
            row = self._row(record)
            if holds(self._query.where, row, self._spelt):
                yield row
                left -= 1
                if not left:
                    return

    def _enough(self) -> int:
        """Return how many of the rows in natural order are enough; -1: only all of them are."""
        query = self._query
        order = tuple(self._spelt[order.name] for order in query.order)
        is_natural = not order or order in NATURAL_ORDERS
        is_rising = not any(order.descending for order in query.order)
        if query.limit is None or query.is_grouped or not (is_natural and is_rising):
            return -1
        return max(query.offset + query.limit, 1)

    def indexes(self, seed: Seed) -> range:
        """Return the indexes of the calculated records that are within the query's bounds."""
        ids, start, end = self._bounds["Id"], 0, seed.count
        if ids.low is not None:
            start = bisect_left(seed.indexes, ids.low, key=seed.record_id)
        if ids.high is not None:
            end = bisect_right(seed.indexes, ids.high, key=seed.record_id)
        for name in STAMPS:
            later = 0 if name == "CreatedDate" else MODIFIED_AFTER_MS
            stamps = self._bounds[name]

            def stamp(index: int, later: int = later) -> str:
                return iso(seed.created_at(index) + later)

            if stamps.low is not None:
                start = max(start, bisect_left(seed.indexes, stamps.low, key=stamp))
            if stamps.high is not None:
                end = min(end, bisect_right(seed.indexes, stamps.high, key=stamp))
        return range(start, max(start, end))


def _rest(value: object) -> object:
    """Return a value of a record in REST's form."""
    return rest_time(value) if isinstance(value, str) and is_moment(value) else value
