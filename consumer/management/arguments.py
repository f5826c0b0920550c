"""Types of command-line arguments; their messages name what is wrong."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime

from django.utils.dateparse import parse_date, parse_datetime


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
        return int(text)

    return number


def moment(text: str) -> datetime:
    """2026-01-31, 2026-01-31T12:00, with or without an offset (UTC without)."""
    try:
        value = parse_datetime(text)
        day = parse_date(text) if value is None else None
    except ValueError:
        value = day = None
    if day is not None:
        value = datetime(day.year, day.month, day.day)
    if value is None:
        raise ArgumentTypeError(f"{text!r} is not a time; write 2026-01-31 or 2026-01-31T12:00Z")
    return value if value.tzinfo else value.replace(tzinfo=UTC)
