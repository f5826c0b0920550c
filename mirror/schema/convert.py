"""Convert one value from Salesforce to the Python value of a Django field, or refuse it.

Values come in three forms: JSON of the REST API, JSON of change events (CometD's texts, or Avro's
numbers), and texts of Bulk API results. An empty text is null, because Salesforce stores it so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, InvalidOperation
from functools import partial
from typing import Any, TypeAlias

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.fields import PositiveIntegerRelDbTypeMixin

from listeners.salesforce.rest.records import long_id
from mirror.schema.storable import DIGITS, storable_json, storable_text

Convert: TypeAlias = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000
_BOOLEANS: Mapping[Any, bool] = {"true": True, "false": False, "1": True, "0": False}
#: PostgreSQL's ranges by field class, the narrowest class first.
_BITS: tuple[tuple[type[models.Field[Any, Any]], int], ...] = (
    (models.SmallIntegerField, 15),
    (models.PositiveSmallIntegerField, 15),
    (models.BigIntegerField, 63),
    (models.PositiveBigIntegerField, 63),
    (models.IntegerField, 31),
)
_EXACT = Context(prec=1000)  # normalizes without rounding


class Refused(ValueError):
    """The column cannot hold the value; the message says why."""


def converter(field: models.Field[Any, Any], *, is_id: bool = False) -> Convert:
    """Return the function that converts values for the field, except empty ones; it raises Refused.

    `is_id` says that the values are record ids, which are completed to 18 characters.
    """
    target: Any = getattr(field, "target_field", field) if field.is_relation else field
    if is_id and isinstance(target, _TEXTS):
        return partial(_id, target.max_length)
    for kinds, make in _MAKERS:
        if isinstance(target, kinds):
            return make(target)
    return _array if hasattr(target, "base_field") else partial(_other, target)


def is_empty(value: Any) -> bool:
    """Return whether the value is null in Salesforce, which does not store empty texts."""
    return value is None or (isinstance(value, str) and value == "")


def raw_value(kind: str | None, value: Any) -> Any:
    """Return a value without a column as JSON in one form, whichever form it came in.

    `kind` is the field's type in the object's description.
    """
    if is_empty(value):
        return None
    convert = _BY_TYPE.get(kind or "")
    try:
        return storable_json(convert(value) if convert else value)
    except Refused:
        return storable_json(value)


def _range(field: models.Field[Any, Any]) -> tuple[int, int]:
    bits = next(bits for kind, bits in _BITS if isinstance(field, kind))
    return (0 if isinstance(field, PositiveIntegerRelDbTypeMixin) else -(2**bits)), 2**bits - 1


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = _BOOLEANS.get(value.lower()) if isinstance(value, str) else None
    if known is None:
        raise Refused("not true or false")
    return known


def _whole(least: int, most: int, value: Any) -> int:
    try:
        whole = int(value) if isinstance(value, str) else None
    except ValueError:
        whole = None
    if whole is None:
        number = _number(value)
        if number.adjusted() > DIGITS or number != number.to_integral_value():
            raise Refused("not a whole number")
        whole = int(number)
    if not least <= whole <= most:
        raise Refused(f"outside the column's range, {least} to {most}")
    return whole


def _float(value: Any) -> float:
    number = float(_number(value))
    if not math.isfinite(number):
        raise Refused("too large for a double")
    return number


def _decimal(max_digits: int | None, places: int | None, value: Any) -> Decimal:
    number = _number(value)
    if max_digits is None or places is None:
        return number
    exponent = number.normalize(_EXACT).as_tuple().exponent
    if isinstance(exponent, int) and -exponent > places:
        raise Refused(f"more than the column's {places} decimal places")
    if number and number.adjusted() + 1 > max_digits - places:
        raise Refused(f"more than the column's {max_digits - places} digits before the point")
    return number


def _number(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise Refused("not a number")
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except (InvalidOperation, TypeError, ValueError):
        raise Refused("not a number") from None
    if not number.is_finite():
        raise Refused("not a finite number")
    return number


def _datetime(value: Any) -> datetime:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return _EPOCH + timedelta(milliseconds=_milliseconds(value))
    except Refused:
        raise
    except (ValueError, OverflowError):
        raise Refused("not a time between the years 1 and 9999") from None


def _date(value: Any) -> date:
    try:
        if isinstance(value, str) and len(value) == 10:
            return date.fromisoformat(value)
    except ValueError:
        raise Refused("not a date") from None
    moment = _datetime(value)
    if moment.time() != time():
        raise Refused("a date with a time of day")
    return moment.date()


def _time(value: Any) -> time:
    try:
        if isinstance(value, str):
            return time.fromisoformat(value.removesuffix("Z"))
    except ValueError:
        raise Refused("not a time of day") from None
    elapsed = _milliseconds(value)
    if not 0 <= elapsed < _DAY_MS:
        raise Refused("not a time of day")
    return (_EPOCH + timedelta(milliseconds=elapsed)).time()


def _milliseconds(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("neither a text nor milliseconds")
    return value


def _text(longest: int | None, value: Any) -> str:
    text = storable_text(value if isinstance(value, str) else _as_text(value))
    if longest is not None and len(text) > longest:
        raise Refused(f"longer than the column's {longest} characters")
    return text


def _id(longest: int | None, value: Any) -> str:
    return _text(longest, long_id(value) if isinstance(value, str) else value)


def _as_text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() | Decimal():
            number = _number(value)
            return f"{number:f}" if abs(number.adjusted()) < DIGITS else str(number)
        case list() if all(isinstance(part, str) for part in value):  # a multi-select picklist
            return ";".join(value)
    raise Refused("not a text")


def _array(value: Any) -> list[str]:
    """A multi-select picklist as an array; Salesforce separates the choices with semicolons."""
    parts = value.split(";") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise Refused("not a list of texts")
    return [storable_text(part.strip()) for part in parts if part.strip()]


def _json(value: Any) -> Any:
    if isinstance(value, str) and value[0] in "[{":  # a text of the Bulk API
        with suppress(ValueError):
            value = json.loads(value, parse_float=Decimal)
    return storable_json(value)


def _other(field: models.Field[Any, Any], value: Any) -> Any:
    try:
        return field.to_python(value)
    except (ValidationError, ValueError, TypeError, OverflowError):
        raise Refused(f"not a value of a {type(field).__name__}") from None


_TEXTS = (models.CharField, models.TextField)
_MAKERS: tuple[tuple[Any, Callable[[Any], Convert]], ...] = (
    (models.BooleanField, lambda _: _boolean),
    (models.IntegerField, lambda field: partial(_whole, *_range(field))),
    (models.FloatField, lambda _: _float),
    (models.DecimalField, lambda field: partial(_decimal, field.max_digits, field.decimal_places)),
    (models.DateTimeField, lambda _: _datetime),
    (models.DateField, lambda _: _date),
    (models.TimeField, lambda _: _time),
    (models.JSONField, lambda _: _json),
    (_TEXTS, lambda field: partial(_text, field.max_length)),
)
_BY_TYPE: Mapping[str, Convert] = {
    "boolean": _boolean,
    **dict.fromkeys(("id", "reference"), partial(_id, None)),
    **dict.fromkeys(
        ("int", "long", "double", "currency", "percent"), partial(_decimal, None, None)
    ),
    "date": _date,
    "datetime": _datetime,
    "time": _time,
}
