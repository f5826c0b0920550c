"""Fields of Avro records, and the conversion of their values to the Streaming API's form."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

HEADER = "ChangeEventHeader"

Convert = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1)
_DAY_MS = 86_400_000
_EXACT = 2**53  # up to here a double represents whole numbers exactly
_AS_THEY_ARE = {"null", "string", "boolean", "int", "long"}

# Standard fields that are date-times even if the schema has no docs.
_DATE_TIMES = {
    "CreatedDate",
    "LastModifiedDate",
    "SystemModstamp",
    "LastViewedDate",
    "LastReferencedDate",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record: the conversion of its values (None for none) and its children."""

    name: str
    convert: Convert | None
    children: tuple[Field, ...] = ()  # of a compound field, such as an address


def whole_of(record: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    """Return the header and the non-null fields of a record, converted from Avro's types."""
    whole: dict[str, Any] = {}
    given = record.get(HEADER)
    if isinstance(given, dict):
        whole[HEADER] = {name: plain(value) for name, value in given.items()}
    for field in fields:
        value = record[field.name]
        if value is not None and field.name != HEADER:
            converted = _converted(field, value)
            if converted != {} or not field.children:
                whole[field.name] = converted
    return whole


def _converted(field: Field, value: Any) -> Any:
    if field.children and isinstance(value, dict):
        return {
            child.name: _converted(child, within)
            for child in field.children
            if (within := value.get(child.name)) is not None
        }
    return field.convert(value) if field.convert else value


def converter(types: Collection[str], name: str, doc: str) -> Convert | None:
    """Return the conversion for a field of these Avro types; ``doc`` is like Data:DateTime:00N….

    A time outside of Python's calendar stays a number.
    """
    words = doc.split(":")
    if not doc and name in _DATE_TIMES:
        words = ["DateTime"]
    if "long" in types and "DateTime" in words:
        return date_time
    if "DateOnly" in words or "Birthday" in words:
        return day if "long" in types else _day_by_number if "int" in types else plain
    if "TimeOnly" in words:
        return time_of_day
    if set(types) <= {"null", "double"}:
        return whole
    return None if set(types) <= _AS_THEY_ARE else plain


def date_time(value: Any) -> Any:
    """Convert milliseconds since the epoch to 2024-04-09T20:26:27.000Z."""
    if not isinstance(value, int):
        return plain(value)
    try:
        moment = _EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        return value
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def day(value: Any) -> Any:
    """Convert milliseconds since the epoch to 2024-04-09."""
    if not isinstance(value, int):
        return plain(value)
    try:
        return (_EPOCH + timedelta(milliseconds=value)).date().isoformat()
    except OverflowError:
        return value


def _day_by_number(value: Any) -> Any:
    """Convert days since the epoch, as in an Avro int, which is too small for milliseconds."""
    return day(value * _DAY_MS) if isinstance(value, int) else plain(value)


def time_of_day(value: Any) -> Any:
    """Convert milliseconds since midnight to 10:00:00.000Z."""
    if not isinstance(value, int):
        return plain(value)
    if not 0 <= value < _DAY_MS:
        return value
    return f"{(_EPOCH + timedelta(milliseconds=value)).time().isoformat('milliseconds')}Z"


def whole(value: Any) -> Any:
    """Convert 20.0 to 20; a number with a fraction, or too large to be exact, stays unchanged."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value


def plain(value: Any) -> Any:
    """Convert any Avro value to JSON types: bytes to base64, decimals to numbers if exact."""
    match value:
        case None | bool() | int() | str():
            return value
        case dict():
            return {name: plain(within) for name, within in value.items()}
        case list():
            return [plain(within) for within in value]
        case _:
            return _scalar(value)


def _scalar(value: Any) -> Any:
    match value:
        case float():
            return whole(value)
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case datetime() | time():
            return _text_of(value)
        case Decimal():
            return _number(value)
        case _:
            return str(value)


def _text_of(moment: datetime | time) -> str:
    exact = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return f"{moment.replace(tzinfo=None).isoformat(timespec=exact)}Z"


def _number(value: Decimal) -> int | float | str:
    if value == value.to_integral_value():
        return int(value)
    near = float(value)
    return near if Decimal(repr(near)) == value else str(value)
