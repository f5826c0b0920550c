"""Queries over REST: run on the org's records, and answered in batches of rows."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from simulator.org import description
from simulator.org.catalogue import Entity
from simulator.org.ids import base62
from simulator.org.org import Org
from simulator.org.records import JsonObject
from simulator.org.rest_form import chosen_fields
from simulator.org.seeded_rows import SeededRows
from simulator.rest import soql_aggregates
from simulator.rest.archived import unarchived
from simulator.rest.errors import RestError
from simulator.rest.lazy_rows import LazyRows
from simulator.rest.request import RestAnswer, RestRequest
from simulator.rest.row_scan import Scan
from simulator.rest.soql import parse
from simulator.rest.soql_aggregates import Block, Group
from simulator.rest.soql_query import Order, Query
from simulator.rest.soql_tokens import located
from simulator.rest.soql_where import comparisons, holds, sort_key

SMALLEST_BATCH, LARGEST_BATCH = 200, 2_000
MAX_CURSORS = 1_000
CURSOR_MS = 2 * 86_400_000
LOCATOR = re.compile(r"(01g\w{15})-(\d+)")


@dataclass(slots=True)
class Queries:
    """Runs queries, and keeps the remaining rows of those answered in part."""

    batch_size: int
    _cursors: dict[str, tuple[int, Sequence[JsonObject]]] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def run(self, request: RestRequest) -> RestAnswer:
        """`GET …/query?q=…` and `…/queryAll?q=…`."""
        deleted = request.path[0] == "queryAll"
        query, rows = select(request, deleted=deleted)
        if not query.columns:
            return RestAnswer({"totalSize": len(rows), "done": True, "records": []})
        if query.is_grouped and len(rows) > LARGEST_BATCH:
            message = (
                "Aggregate query does not support queryMore(), use LIMIT to restrict the results "
                "to a single batch"
            )
            raise RestError("EXCEEDED_ID_LIMIT", message)
        if len(rows) <= self._size(request):
            return RestAnswer({"totalSize": len(rows), "done": True, "records": rows[:]})
        cursor = f"01g5g{base62(next(self._numbers), 10)}AAA"
        self._cursors[cursor] = request.sim.clock.now(), rows
        self._forget(request.sim.clock.now())
        return self._batch(request, cursor, 0)

    def more(self, request: RestRequest) -> RestAnswer:
        """`GET …/query/{locator}`."""
        self._forget(request.sim.clock.now())
        match = LOCATOR.fullmatch(request.path[1])
        if match is None or match[1] not in self._cursors:
            raise RestError("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._batch(request, match[1], int(match[2]))

    def _forget(self, now: int) -> None:
        """Forget the results that are older than two days, and the oldest of too many."""
        while self._cursors:
            oldest, (at, _) = next(iter(self._cursors.items()))
            if at > now - CURSOR_MS and len(self._cursors) <= MAX_CURSORS:
                return
            del self._cursors[oldest]

    def _batch(self, request: RestRequest, cursor: str, start: int) -> RestAnswer:
        _, rows = self._cursors[cursor]
        end = start + self._size(request)
        answer: JsonObject = {"totalSize": len(rows), "done": end >= len(rows)}
        if not answer["done"]:
            answer["nextRecordsUrl"] = f"/services/data/v{request.version}/query/{cursor}-{end}"
        return RestAnswer({**answer, "records": rows[start:end]})

    def _size(self, request: RestRequest) -> int:
        """Return the batch size of `Sforce-Query-Options: batchSize=N`, up to the org's limit."""
        options = request.headers.get("Sforce-Query-Options", "")
        asked = re.search(r"batchSize\s*=\s*(\d+)", options, re.IGNORECASE)
        wanted = int(asked[1]) if asked else LARGEST_BATCH
        return min(max(wanted, SMALLEST_BATCH), LARGEST_BATCH, self.batch_size)


def select(request: RestRequest, *, deleted: bool) -> tuple[Query, Sequence[Any]]:
    """Return the parsed query and its rows; those of COUNT() are only numbered. Raises RestError.

    With `deleted`, records in the Recycle Bin and archived ones are included.
    """
    org, now = request.sim.org, datetime.fromtimestamp(request.sim.clock.now() / 1000, UTC)
    query, entity, names = checked(org, request.query.get("q", ""), now)
    query, spelt = (query, names) if deleted else unarchived(query, entity, names)
    scan = Scan(org, entity, query, spelt, request.version)
    if not query.columns:
        return query, range(scan.count(deleted=deleted))
    if isinstance(org.records_of(entity), SeededRows) and not query.is_grouped:
        return query, _lazily(request, scan, query, spelt, deleted=deleted)
    return query, matching(query, scan.rows(deleted=deleted), spelt, scan.blocks())


def _lazily(
    request: RestRequest, scan: Scan, query: Query, spelt: Mapping[str, str], *, deleted: bool
) -> LazyRows:
    """Return the rows of a query, of which only the ids are kept in memory."""
    view, version, names = request.sim.org.view, request.version, [spelt[n] for n in query.names]
    snapshot = request.sim.org.snapshot_of(scan.entity, deleted=deleted)
    ids: Sequence[str] = snapshot.ids
    if query.where is not None or query.order or query.limit is not None or query.offset:
        kept = {"Id", *(spelt[order.name] for order in query.order)}
        kept |= {spelt[comparison.name] for comparison in comparisons(query.where)}
        rows: Iterator[JsonObject] = (
            {name: row.get(name) for name in kept} for row in scan.rows(deleted=deleted)
        )
        if query.order:
            ids = [str(row["Id"]) for row in _selected(query, rows, spelt)]
        else:
            found = [str(row["Id"]) for row in rows if holds(query.where, row, spelt)]
            ids = found[query.offset : query.end]
    return LazyRows(
        snapshot,
        ids,
        lambda record, is_deleted: chosen_fields(
            view.row(record, version, deleted=is_deleted), names
        ),
    )


def checked(
    org: Org, text: str, now: datetime | None = None
) -> tuple[Query, Entity, dict[str, str]]:
    """Return the parsed query, its entity, and the org's spelling of its fields.

    Raises RestError for an invalid query.
    """
    query = parse(text, now)
    entity = org.catalogue.find(query.entity)
    if entity is None:
        message = (
            f"sObject type '{query.entity}' is not supported. If you are attempting to use a "
            "custom object, be sure to append the '__c' after the entity name. Please reference "
            "your WSDL or the describe call for the appropriate names."
        )
        raise RestError("INVALID_TYPE", located(text, text.find(query.entity), message))
    spelt = _spelt(org, entity, query, text)
    if query.is_grouped:
        types = {name: description.field_type(entity, known) for name, known in spelt.items()}
        orders = [order.column for order in query.order]
        soql_aggregates.check([*query.columns, *orders], query.group, types)
    return query, entity, spelt


def matching(
    query: Query,
    rows: Iterable[JsonObject],
    spelt: Mapping[str, str],
    blocks: Iterable[Block] = (),
) -> list[JsonObject]:
    """Return the rows that the query selects, in its order, with its fields.

    `spelt` has the rows' name of each field. A grouped query counts `blocks` of other rows too.
    """
    if query.is_grouped:
        found = (row for row in rows if holds(query.where, row, spelt))
        orders = (order.column for order in query.order)
        groups = list(
            soql_aggregates.grouped(found, blocks, (*query.columns, *orders), query.group, spelt)
        )
        for order in reversed(query.order):
            groups = _ordered(groups, spelt[order.name], order, partial(_group_value, order))
        return [group.result(query.columns) for group in groups[query.offset : query.end]]
    names = [spelt[name] for name in query.names]
    return [chosen_fields(row, names) for row in _selected(query, rows, spelt)]


def _selected(
    query: Query, rows: Iterable[JsonObject], spelt: Mapping[str, str]
) -> list[JsonObject]:
    """Return the whole rows that an ungrouped query selects, in its order."""
    chosen = [row for row in rows if holds(query.where, row, spelt)]
    for order in reversed(query.order):
        chosen = ordered(chosen, spelt[order.name], order)
    return chosen[query.offset : query.end]


def _group_value(order: Order, group: Group) -> object:
    return group.value(order.column)


Item = TypeVar("Item")


def ordered(rows: list[JsonObject], name: str, order: Order) -> list[JsonObject]:
    """Return the rows in the order of one field."""
    return _ordered(rows, name, order, lambda row: row.get(name))


def _ordered(
    items: list[Item], name: str, order: Order, value: Callable[[Item], object]
) -> list[Item]:
    empty = [item for item in items if value(item) is None]
    full = [item for item in items if value(item) is not None]
    full.sort(key=lambda item: sort_key(name, value(item)), reverse=order.descending)
    return full + empty if order.nulls_last else empty + full


def _spelt(org: Org, entity: Entity, query: Query, text: str) -> dict[str, str]:
    """Return the org's spelling of each field name of the query. Raises RestError."""
    seen = org.store.names.get(entity.name, set())

    def canonical(name: str) -> str:
        if (known := description.spelt(entity, seen, name)) is None:
            message = (
                f"No such column '{name}' on entity '{entity.name}'. If you are attempting "
                "to use a custom field, be sure to append the '__c' after the custom field name. "
                "Please reference your WSDL or the describe call for the appropriate names."
            )
            raise RestError("INVALID_FIELD", located(text, text.find(name), message))
        return known

    for comparison in comparisons(query.where):
        is_time = description.spelt(entity, seen, comparison.name) in description.DATETIMES
        if is_time and any(one.kind not in ("moment", "word") for one in comparison.literals):
            message = (
                f"value of filter criterion for field '{comparison.name}' must be of type dateTime "
                "and should not be enclosed in quotes"
            )
            raise RestError("INVALID_FIELD", located(text, comparison.at, message))
    return {name: canonical(name) for name in query.all_names}
