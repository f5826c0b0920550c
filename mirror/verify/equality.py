"""Whether a stored value and Salesforce's value are equal after conversion. Pure.

Datetimes are compared to the second, as Salesforce stores them, numbers by value, multi-select
picklists as sets, and an empty text equals null. Numbers are compared in 15 significant digits,
which is what SQLite stores of a decimal, and what a double certainly has; integers of columns for
integers exactly. A value of the type anyType, which Bulk API gives as text, equals that text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, time
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from listeners.salesforce.rest.records import long_id

_DIGITS = Context(prec=15)


def is_equal(here: Any, there: Any, kind: str = "") -> bool:
    """Return whether two converted values are equal; `kind` is the field's describe type."""
    if here == there:
        return True
    if kind == "anyType" and isinstance(here, str) != isinstance(there, str):
        return bool(_written(here) == _written(there))
    return bool(_comparable(here, kind) == _comparable(there, kind))


def _written(value: Any) -> Any:
    """Return a value of any type as Bulk API writes it: its results are texts without a type."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float | Decimal):
        return value or None
    with suppress(InvalidOperation):
        number = Decimal(str(value))
        return _number(number) if number.is_finite() else str(value)
    return value or None


def _comparable(value: Any, kind: str) -> Any:
    match value:
        case None | "":
            return None
        case str():
            return _text(value, kind)
        case int() | float() | Decimal() if not isinstance(value, bool):
            return _number(value)
        case datetime() | time():
            return _time(value)
    if kind == "multipicklist" and isinstance(value, list):
        return frozenset(value) or None
    return _nested(value)


def _time(value: datetime | time) -> Any:
    if isinstance(value, time):
        return value.replace(microsecond=value.microsecond // 1000 * 1000, tzinfo=None)
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return aware.astimezone(UTC).replace(microsecond=0)


def _nested(value: Any) -> Any:
    match value:
        case Mapping():
            return {name: _comparable(part, "") for name, part in value.items()}
        case Sequence():
            return [_comparable(part, "") for part in value]
    return value


def _text(value: str, kind: str) -> Any:
    match kind:
        case "multipicklist":
            return frozenset(filter(None, (choice.strip() for choice in value.split(";")))) or None
        case "id" | "reference":
            return long_id(value)
    return value


def _number(value: float | Decimal) -> Any:
    if isinstance(value, int):
        return Decimal(value)  # exact: large integers are ids of other systems
    exact = Decimal(repr(value)) if isinstance(value, float) else value
    return _DIGITS.plus(exact) if exact.is_finite() else str(exact)
