"""Whether a stored value and Salesforce's value are equal after conversion. Pure.

Times of day and datetimes are compared as precisely as Salesforce stores them, numbers by value,
multi-select picklists as sets, and an empty text equals null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from listeners.salesforce.rest.records import long_id

MULTIPICKLIST = "multipicklist"
_NUMBERS = (int, float, Decimal)


def is_equal(here: Any, there: Any, kind: str = "") -> bool:
    """Return whether two converted values are equal; `kind` is the field's describe type."""
    return here == there or _comparable(here, kind) == _comparable(there, kind)


def _comparable(value: Any, kind: str) -> Any:
    match value:
        case None | "":
            return None
        case str():
            return _text(value, kind)
        case bool():
            return value
        case int() | float() | Decimal():
            return _number(value)
        case datetime():
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            return aware.astimezone(UTC).replace(microsecond=0)
        case time():
            return value.replace(microsecond=value.microsecond // 1000 * 1000, tzinfo=None)
        case Mapping():
            return {name: _comparable(part, "") for name, part in value.items()}
        case Sequence():
            return [_comparable(part, "") for part in value]
    return value


def _text(value: str, kind: str) -> Any:
    text = value.replace("\0", "")
    match kind:
        case "multipicklist":
            return frozenset(filter(None, (choice.strip() for choice in text.split(";")))) or None
        case "id" | "reference":
            return long_id(text) or None
    return text or None


def _number(value: float | Decimal) -> Any:
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else repr(value)
    return Decimal(value)


def storable(value: Any) -> Any:
    """Return the value in a form that a JSON column stores."""
    match value:
        case Decimal():
            return str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case float() if not math.isfinite(value):
            return repr(value)
    return value
