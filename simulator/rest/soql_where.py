"""The WHERE clause as a tree, and its evaluation on a row."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from simulator.org.ids import long_id
from simulator.org.records import JsonObject
from simulator.rest.soql_dates import Span

Value = str | float | bool | date | datetime | Span | None
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in a query; `kind` is string, number, moment, date, or word (null, true, false)."""

    kind: str
    value: Value


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of a field with a value; `at` is the place of the field in the query."""

    name: str
    sign: str
    literals: tuple[Literal, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Joined:
    """Conditions joined by AND or by OR."""

    word: str
    parts: tuple["Where", ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """A condition after NOT."""

    part: "Where"


Where = Comparison | Joined | Negation | None


def holds(where: Where, row: JsonObject, spelt: Mapping[str, str]) -> bool:
    """Return whether the row satisfies the condition; `spelt` has the row's name of each field."""
    match where:
        case Joined(word, parts):
            check = all if word == "AND" else any
            return check(holds(part, row, spelt) for part in parts)
        case Negation(part):
            return not holds(part, row, spelt)
        case Comparison():
            return _compares(where, spelt[where.name], row)
        case None:
            return True


def comparisons(where: Where) -> list[Comparison]:
    """Return every comparison of the tree."""
    match where:
        case Joined(_, parts):
            return [found for part in parts for found in comparisons(part)]
        case Negation(part):
            return comparisons(part)
        case Comparison():
            return [where]
        case None:
            return []


def ids_wanted(where: Where) -> list[str] | None:
    """Return the only ids that can satisfy the condition, or None if it does not limit them."""
    match where:
        case Joined("AND", parts):
            return next((ids for part in parts if (ids := ids_wanted(part)) is not None), None)
        case Comparison(name, "=" | "IN", literals) if name.casefold() == "id":
            return list(dict.fromkeys(long_id(str(literal.value)) for literal in literals))
        case _:
            return None


def sort_key(name: str, value: object) -> Any:
    """Return a value that sorts as the field does; only ids differ by case."""
    return value.casefold() if isinstance(value, str) and not name.endswith("Id") else value


def _compares(comparison: Comparison, name: str, row: JsonObject) -> bool:
    value, literals = row.get(name), comparison.literals
    match comparison.sign:
        case "!=":
            return not _matches("=", name, value, literals[0])
        case "IN":
            return any(_matches("=", name, value, literal) for literal in literals)
        case "NOT IN":
            return not any(_matches("=", name, value, literal) for literal in literals)
        case sign:
            return _matches(sign, name, value, literals[0])


def _matches(sign: str, name: str, value: object, literal: Literal) -> bool:
    wanted = literal.value
    if value is None or wanted is None:
        return sign == "=" and value is wanted
    if isinstance(wanted, Span):
        return wanted.compare(sign, str(value))
    if sign == "LIKE":
        return _like(str(value), str(wanted))
    left, right = _alike(name, value, wanted)
    try:
        return COMPARED[sign](left, right)
    except TypeError:
        return False


def _alike(name: str, value: object, wanted: Value) -> tuple[object, object]:
    """Return both values in comparable form, such as text without case."""
    match wanted:
        case datetime():
            return _moment(str(value)), wanted
        case date():
            return str(value)[:10], wanted.isoformat()
        case str() if name.endswith("Id"):
            return value, long_id(wanted)
        case str():
            return str(value).casefold(), wanted.casefold()
        case _:
            return value, wanted


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _like(value: str, pattern: str) -> bool:
    """Match a LIKE pattern: ``%`` is any text and ``_`` one character. The matcher backtracks only
    to the last ``%``, so that no pattern takes exponential time."""
    text, wanted = value.casefold(), pattern.casefold()
    at = n = 0
    after_any, resumed_at = -1, 0
    while at < len(text):
        if n < len(wanted) and wanted[n] == "%":
            after_any, resumed_at = n + 1, at
            n += 1
        elif n < len(wanted) and wanted[n] in ("_", text[at]):
            at, n = at + 1, n + 1
        elif after_any >= 0:
            resumed_at += 1
            at, n = resumed_at, after_any
        else:
            return False
    return not wanted[n:].strip("%")
