"""Blocks of calculated records that an aggregate query counts without reading each of them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from datetime import datetime

from simulator.org.records import JsonObject, iso
from simulator.org.rest_form import rest_time
from simulator.org.seed import MODIFIED_AFTER_MS, Seed
from simulator.org.seeded_rows import SeededRows
from simulator.rest.soql_aggregates import DATE_FUNCTIONS, Block
from simulator.rest.soql_dates import Span
from simulator.rest.soql_query import Query
from simulator.rest.soql_where import Comparison, Joined, Where, holds

STAMPS = ("CreatedDate", "LastModifiedDate", "SystemModstamp")
#: No date function changes its value within an hour.
HOUR_MS = 3_600_000


def are_countable(query: Query, spelt: Mapping[str, str]) -> bool:
    """Return whether blocks have all that a query selects: counts of ids, and limits of times."""
    return (
        _is_of_stamps(query.where, spelt)
        and all(
            (column.function, spelt[column.name]) == ("COUNT", "Id")
            or (column.function in ("MAX", "MIN", *DATE_FUNCTIONS) and spelt[column.name] in STAMPS)
            for column in (*query.columns, *(order.column for order in query.order))
        )
        and all(one.function and spelt[one.name] in STAMPS for one in query.group)
    )


def _is_of_stamps(where: Where, spelt: Mapping[str, str]) -> bool:
    """Return whether a condition is a range of times, and nothing else that can differ."""
    match where:
        case None:
            return True
        case Joined("AND", parts):
            return all(_is_of_stamps(part, spelt) for part in parts)
        case Comparison(name, "=", (literal,)) if spelt[name] == "IsDeleted":
            return literal.value is False
        case Comparison(name, "=" | "<" | "<=" | ">" | ">=", (literal,)):
            return spelt[name] in STAMPS and isinstance(literal.value, datetime | Span)
    return False


def blocks(
    rows: SeededRows, indexes: range, query: Query, spelt: Mapping[str, str]
) -> Iterator[Block]:
    """Yield the unchanged calculated records that the query selects, in blocks of one group."""
    seed, start, end = rows.seed, indexes.start, indexes.stop
    while start < end and not holds(query.where, _row(seed, start), spelt):
        start += 1
    while start < end and not holds(query.where, _row(seed, end - 1), spelt):
        end -= 1
    missing = sorted({*rows.written, *rows.gone})
    while start < end:
        stop = end
        if query.group:
            stop = min(end, seed.first_created((seed.created_at(start) // HOUR_MS + 1) * HOUR_MS))
        count = stop - start - (bisect_left(missing, stop) - bisect_left(missing, start))
        if count:
            first = _present(missing, start, 1)
            last = _present(missing, stop - 1, -1)
            yield Block(_row(seed, first), _row(seed, last), count)
        start = stop


def _present(missing: list[int], index: int, step: int) -> int:
    """Return the next index from here on that is not missing."""
    while (place := bisect_right(missing, index)) and missing[place - 1] == index:
        index += step
    return index


def _row(seed: Seed, index: int) -> JsonObject:
    created_at = seed.created_at(index)
    modified = rest_time(iso(created_at + MODIFIED_AFTER_MS))
    return {
        "Id": seed.record_id(index),
        "IsDeleted": False,
        "CreatedDate": rest_time(iso(created_at)),
        "LastModifiedDate": modified,
        "SystemModstamp": modified,
    }
