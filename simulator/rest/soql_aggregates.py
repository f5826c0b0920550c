"""Aggregates and GROUP BY: the groups of a query's rows, as AggregateResults."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from simulator.org.records import JsonObject
from simulator.rest.errors import RestError

NUMBERS = ("int", "double", "currency", "percent", "long")
UNGROUPED = ("textarea", "address", "datetime")


@dataclass(frozen=True, slots=True)
class Column:
    """A selected, grouped or ordering expression: a field, or a function of it.

    `at` is its place in the query.
    """

    name: str
    function: str = ""
    at: int = 0
    alias: str = ""

    @property
    def is_aggregate(self) -> bool:
        return self.function in AGGREGATES

    def same_as(self, other: "Column") -> bool:
        """Return whether both are the same expression, apart from case."""
        return (self.name.casefold(), self.function) == (other.name.casefold(), other.function)


def _extreme(best: Callable[..., object]) -> Callable[[list[object]], object]:
    def of_all(values: list[object]) -> object:
        folded = lambda value: value.casefold() if isinstance(value, str) else value  # noqa: E731
        return best(values, key=folded) if values else None

    return of_all


AGGREGATES: Mapping[str, Callable[[list[Any]], object]] = {
    "COUNT": len,
    "COUNT_DISTINCT": lambda values: len(set(values)),
    "MAX": _extreme(max),
    "MIN": _extreme(min),
    "SUM": lambda values: float(sum(values)) if values else None,
    "AVG": lambda values: sum(values) / len(values) if values else None,
}
#: All are of UTC, as over the API without convertTimezone().
DATE_FUNCTIONS: Mapping[str, Callable[[datetime], object]] = {
    "CALENDAR_YEAR": lambda at: at.year,
    "CALENDAR_QUARTER": lambda at: (at.month + 2) // 3,
    "CALENDAR_MONTH": lambda at: at.month,
    "DAY_IN_MONTH": lambda at: at.day,
    "DAY_IN_WEEK": lambda at: at.isoweekday() % 7 + 1,
    "DAY_IN_YEAR": lambda at: at.timetuple().tm_yday,
    "DAY_ONLY": lambda at: at.date().isoformat(),
    "HOUR_IN_DAY": lambda at: at.hour,
    "WEEK_IN_MONTH": lambda at: (at.day + 6) // 7,
    "WEEK_IN_YEAR": lambda at: (at.timetuple().tm_yday + 6) // 7,
}
FUNCTIONS = frozenset({*AGGREGATES, *DATE_FUNCTIONS})


def check(columns: Iterable[Column], group: tuple[Column, ...], types: Mapping[str, str]) -> None:
    """Refuse what Salesforce refuses to group or to aggregate. `types` are those of the fields.

    Raises RestError.
    """
    for column in group:
        if not column.function and types[column.name] in UNGROUPED:
            message = f"field '{column.name}' can not be grouped in a query call"
            raise RestError("MALFORMED_QUERY", message)
    for column in columns:
        kind = types[column.name]
        sums_text = column.function in ("SUM", "AVG") and kind not in NUMBERS
        extreme = column.function in ("MAX", "MIN") and kind in ("boolean", "textarea", "address")
        if sums_text or extreme:
            message = f"field {column.name} does not support aggregate operator {column.function}"
            raise RestError("MALFORMED_QUERY", message)
        if not column.is_aggregate and not any(column.same_as(one) for one in group):
            message = f"Field must be grouped or aggregated: {column.name}"
            raise RestError("MALFORMED_QUERY", message)


def grouped(
    rows: Iterable[JsonObject],
    blocks: Iterable["Block"],
    columns: tuple[Column, ...],
    group: tuple[Column, ...],
    spelt: Mapping[str, str],
) -> Iterator["Group"]:
    """Yield the groups of the rows; without GROUP BY exactly one."""
    fields = {spelt[column.name] for column in columns if column.is_aggregate}
    groups: dict[tuple[object, ...], dict[str, list[object]]] = {}
    if not group:
        groups[()] = {name: [] for name in fields}
    for row in rows:
        key = tuple(_value(column, row.get(spelt[column.name])) for column in group)
        values = groups.get(key)
        if values is None:
            values = groups[key] = {name: [] for name in fields}
        for name, listed in values.items():
            if (value := row.get(name)) is not None:
                listed.append(value)
    for block in blocks:
        key = tuple(_value(column, block.first.get(spelt[column.name])) for column in group)
        values = groups.setdefault(key, {name: [] for name in fields})
        for name, listed in values.items():
            block.add_to(listed, name)
    for key, values in groups.items():
        yield Group(dict(zip(group, key, strict=True)), values, spelt)


@dataclass(frozen=True, slots=True)
class Block:
    """A number of rows of one group, in order of their times, of which two are known."""

    first: JsonObject
    last: JsonObject
    count: int

    def add_to(self, values: list[object], name: str) -> None:
        """Add the ids of all rows, or the least and the greatest value of another field."""
        if name == "Id":
            values.extend([self.first[name]] * self.count)
        else:
            values += [self.first[name], self.last[name]]


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one group: the values that they share, and all values of the other fields."""

    shared: Mapping[Column, object]
    values: Mapping[str, list[object]]
    spelt: Mapping[str, str]

    def value(self, column: Column) -> object:
        """Return the value of an expression."""
        if column.is_aggregate:
            return AGGREGATES[column.function](self.values.get(self.spelt[column.name], []))
        return next(value for one, value in self.shared.items() if one.same_as(column))

    def result(self, columns: Iterable[Column]) -> JsonObject:
        """Return the AggregateResult; expressions without an alias are expr0, expr1 and so on."""
        row: JsonObject = {"attributes": {"type": "AggregateResult"}}
        unnamed = 0
        for column in columns:
            name = column.alias
            if not name and column.function:
                name, unnamed = f"expr{unnamed}", unnamed + 1
            row[name or self.spelt[column.name]] = self.value(column)
        return row


def _value(column: Column, value: object) -> object:
    """Return the value by which a row is grouped."""
    if not column.function or value is None:
        return value
    moment = datetime.fromisoformat(str(value))
    return DATE_FUNCTIONS[column.function](moment.astimezone(UTC) if moment.tzinfo else moment)
