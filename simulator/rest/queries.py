"""Queries over REST: run on the org's records, and answered in batches of rows."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from simulator.org.catalogue import Entity
from simulator.org.description import DATETIMES, Fields, chosen_fields, record_json
from simulator.org.ids import base62
from simulator.org.org import Org
from simulator.org.records import JsonObject, Record
from simulator.rest.soql import Order, Query, SoqlError, located, parse
from simulator.rest.soql_where import (
    All,
    Comparison,
    Negation,
    Some,
    Where,
    comparisons,
    holds,
    ids_wanted,
    sort_key,
)
from simulator.rest_messages import RestError

SMALLEST_BATCH, LARGEST_BATCH = 200, 2_000
MAX_CURSORS = 50
LOCATOR = re.compile(r"(01g\w{15})-(\d+)")


@dataclass(slots=True)
class Queries:
    """Runs queries, and keeps the remaining rows of those answered in part."""

    org: Org
    batch_size: int = LARGEST_BATCH
    _cursors: dict[str, list[JsonObject]] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def run(self, text: str, version: str, options: str, *, deleted: bool) -> JsonObject:
        """`GET …/query?q=…`, or with `deleted` `…/queryAll?q=…`. Raises RestError."""
        found = select(self.org, text, version, deleted=deleted)
        if found.is_count:
            return {"totalSize": found.count, "done": True, "records": []}
        size = self._size(options)
        if len(found.rows) <= size:
            return {"totalSize": len(found.rows), "done": True, "records": found.rows}
        cursor = f"01g5g{base62(next(self._numbers), 10)}AAA"
        self._cursors[cursor] = found.rows
        if len(self._cursors) > MAX_CURSORS:
            del self._cursors[next(iter(self._cursors))]
        return self._batch(cursor, 0, size, version)

    def more(self, locator: str, version: str, options: str) -> JsonObject:
        """`GET …/query/{locator}`. Raises RestError."""
        match = LOCATOR.fullmatch(locator)
        if match is None or match[1] not in self._cursors:
            raise RestError("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._batch(match[1], int(match[2]), self._size(options), version)

    def _batch(self, cursor: str, start: int, size: int, version: str) -> JsonObject:
        rows = self._cursors[cursor]
        end = start + size
        answer: JsonObject = {"totalSize": len(rows), "done": end >= len(rows)}
        if not answer["done"]:
            answer["nextRecordsUrl"] = f"/services/data/v{version}/query/{cursor}-{end}"
        return {**answer, "records": rows[start:end]}

    def _size(self, options: str) -> int:
        """Return the batch size of `Sforce-Query-Options: batchSize=N`, up to the org's limit."""
        asked = re.search(r"batchSize\s*=\s*(\d+)", options, re.IGNORECASE)
        wanted = int(asked[1]) if asked else LARGEST_BATCH
        return min(max(wanted, SMALLEST_BATCH), LARGEST_BATCH, self.batch_size)


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of a query, or only their number."""

    rows: list[JsonObject]
    count: int
    is_count: bool


def select(org: Org, text: str, version: str, *, deleted: bool) -> Found:
    """Return the rows, by default in order of creation. Raises RestError.

    With `deleted`, records in the Recycle Bin are included.
    """
    try:
        query = parse(text)
    except SoqlError as error:
        raise RestError("MALFORMED_QUERY", str(error)) from None
    entity = org.catalogue.find(query.entity)
    if entity is None:
        message = (
            f"sObject type '{query.entity}' is not supported. If you are attempting to use a "
            "custom object, be sure to append the '__c' after the entity name. Please reference "
            "your WSDL or the describe call for the appropriate names."
        )
        raise RestError("INVALID_TYPE", located(text, text.find(query.entity), message))
    query = _Names(org, entity, text).checked(query)
    rows = [
        row for row in _rows(org, entity, query.where, version, deleted) if holds(query.where, row)
    ]
    for order in reversed(query.order):
        rows = _sorted(rows, order)
    end = None if query.limit is None else query.offset + query.limit
    rows = rows[query.offset : end]
    chosen = [chosen_fields(row, query.names) for row in rows] if query.names else []
    return Found(chosen, len(rows), is_count=not query.names)


def _rows(
    org: Org, entity: Entity, where: Where, version: str, deleted: bool
) -> Iterator[JsonObject]:
    wanted = ids_wanted(where)
    live = org.records_of(entity)
    stores = [(False, live), (True, org.store.recycle_bin.get(entity.name, {}))]
    for is_deleted, of_entity in stores if deleted else stores[:1]:
        for record in of_entity.values() if wanted is None else _present(of_entity, wanted):
            yield record_json(record, version, deleted=is_deleted)


def _present(records: Mapping[str, Record], ids: Iterable[str]) -> Iterator[Record]:
    return (records[record_id] for record_id in ids if record_id in records)


def _sorted(rows: list[JsonObject], order: Order) -> list[JsonObject]:
    empty = [row for row in rows if row.get(order.name) is None]
    full = [row for row in rows if row.get(order.name) is not None]
    full.sort(key=lambda row: sort_key(row[order.name]), reverse=order.descending)
    return full + empty if order.nulls_last else empty + full


def with_names(query: Query, canonical: Callable[[str], str]) -> Query:
    """Return the query with each field name spelt as `canonical` says. Raises RestError."""

    def where_of(where: Where) -> Where:
        match where:
            case All(parts):
                return All(tuple(map(where_of, parts)))
            case Some(parts):
                return Some(tuple(map(where_of, parts)))
            case Negation(part):
                return Negation(where_of(part))
            case Comparison(name):
                return replace(where, name=canonical(name))
            case None:
                return None

    return replace(
        query,
        names=tuple(map(canonical, query.names)),
        where=where_of(query.where),
        order=tuple(replace(key, name=canonical(key.name)) for key in query.order),
    )


class _Names:
    """Replaces each field name of a query by the org's spelling. Raises RestError."""

    def __init__(self, org: Org, entity: Entity, text: str) -> None:
        live = org.records_of(entity)
        self._fields = Fields(entity, live.values())
        self._entity = entity
        self._text = text

    def checked(self, query: Query) -> Query:
        for comparison in comparisons(query.where):
            self._check_type(comparison)
        return with_names(query, self._canonical)

    def _canonical(self, name: str) -> str:
        canonical = self._fields.canonical(name)
        if canonical is None:
            message = (
                f"No such column '{name}' on entity '{self._entity.name}'. If you are attempting "
                "to use a custom field, be sure to append the '__c' after the custom field name. "
                "Please reference your WSDL or the describe call for the appropriate names."
            )
            raise RestError("INVALID_FIELD", located(self._text, self._text.find(name), message))
        return canonical

    def _check_type(self, comparison: Comparison) -> None:
        if self._fields.canonical(comparison.name) not in DATETIMES:
            return
        if any(literal.kind not in ("moment", "word") for literal in comparison.literals):
            message = (
                f"value of filter criterion for field '{comparison.name}' must be of type dateTime "
                "and should not be enclosed in quotes"
            )
            raise RestError("INVALID_FIELD", located(self._text, comparison.at, message))
