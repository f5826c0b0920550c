"""Fields of an Avro record, and their values in the form in which the Streaming API gives them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

from listeners.salesforce.pubsub.reading import HEADER

Convert = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1)
_DAY_MS = 86_400_000
_EXACT = 2**53  # up to here a double is a whole number and nothing else
_AS_THEY_ARE = {"null", "string", "boolean", "int", "long"}

# Of the fields that every object has: what they are where a schema has no docs.
_DATE_TIMES = {
    "CreatedDate",
    "LastModifiedDate",
    "SystemModstamp",
    "LastViewedDate",
    "LastReferencedDate",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record: how its values change, None for not at all, and what it is made of."""

    name: str
    convert: Convert | None
    children: tuple[Field, ...] = ()  # of a compound field, such as an address


def converter(types: Collection[str], name: str, doc: str) -> Convert | None:
    """For the values of a field of these Avro types; ``doc`` is such as Data:DateTime:00N….

    A point in time that is out of the calendar stays the number that it is.
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
    """Milliseconds since the epoch → 2024-04-09T20:26:27.000Z."""
    if not isinstance(value, int):
        return plain(value)
    try:
        moment = _EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        return value
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def day(value: Any) -> Any:
    """Milliseconds since the epoch → 2024-04-09."""
    if not isinstance(value, int):
        return plain(value)
    try:
        return (_EPOCH + timedelta(milliseconds=value)).date().isoformat()
    except OverflowError:
        return value


def _day_by_number(value: Any) -> Any:
    """An Avro int is too small for milliseconds: those are days since the epoch."""
    return day(value * _DAY_MS) if isinstance(value, int) else plain(value)


def time_of_day(value: Any) -> Any:
    """Milliseconds since midnight → 10:00:00.000Z."""
    if not isinstance(value, int):
        return plain(value)
    if not 0 <= value < _DAY_MS:
        return value
    return f"{(_EPOCH + timedelta(milliseconds=value)).time().isoformat('milliseconds')}Z"


def whole(value: Any) -> Any:
    """20.0 → 20; a number with a fraction, or too large to be exact, stays as it is."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value


def plain(value: Any) -> Any:
    """Anything Avro holds, in JSON's types: bytes as base64, decimals as numbers where exact."""
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


#: The fields that an event names → those of their children that it names; none: the field itself.
Places = Mapping[str, frozenset[str]]


def whole_of(record: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    """Of a record in Avro's types: the header, then what is not null, converted."""
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


def is_whole(record: Mapping[str, Any], explicit: Places) -> bool:
    """Whether everything that is named is there, and so no null is missing."""
    for name, children in explicit.items():
        if name not in record:
            return False
        if children and not (isinstance(record[name], dict) and children <= record[name].keys()):
            return False
    return True


def with_nulls(
    record: Mapping[str, Any], fields: Sequence[Field], explicit: Places
) -> dict[str, Any]:
    """In the schema's order, with a null for what is named and not there."""
    filled = {HEADER: record[HEADER]}
    for field in fields:
        name = field.name
        children = explicit.get(name)
        if name == HEADER:
            continue
        if name not in record:
            if children is not None:
                filled[name] = _filled(field, {}, children) or None
        elif children and field.children and isinstance(record[name], dict):
            filled[name] = _filled(field, record[name], children)
        else:
            filled[name] = record[name]
    return filled


def _converted(field: Field, value: Any) -> Any:
    if field.children and isinstance(value, dict):
        return {
            child.name: _converted(child, within)
            for child in field.children
            if (within := value.get(child.name)) is not None
        }
    return field.convert(value) if field.convert else value


def _filled(field: Field, value: Mapping[str, Any], named: frozenset[str]) -> dict[str, Any]:
    names = (child.name for child in field.children)
    return {name: value.get(name) for name in names if name in value or name in named}
