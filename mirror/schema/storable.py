"""Texts and JSON that both databases can store."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

#: The largest number of digits of a value without an exponent: 10^308 is the largest double.
DIGITS = 400


def storable_text(text: str) -> str:
    """Return the text with U+FFFD in place of what PostgreSQL cannot store: NUL characters and
    halves of surrogate pairs."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def storable_json(value: Any) -> Any:
    """Return the value as JSON can hold it: storable texts, and numbers without Decimal; a value
    that JSON does not know as its text."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        return {storable_text(str(key)): storable_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(part) for part in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    match value:
        case Decimal():
            return json_number(value)
        case float() if not math.isfinite(value):
            return str(value)
        case date() | time():
            return value.isoformat()
        case None | bool() | int() | float():
            return value
    return str(value)  # such as a UUID


def json_number(number: Decimal) -> int | float | str:
    """Return the number, as a text if a double would not hold it exactly."""
    if not number.is_finite():
        return str(number)
    if number == number.to_integral_value() and abs(number.adjusted()) < DIGITS:
        return int(number)
    as_float = float(number)
    return as_float if Decimal(repr(as_float)) == number else str(number)
