"""Relative date literals of SOQL, such as TODAY and LAST_N_DAYS:30.

Days begin at midnight in the user's time zone.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from simulator.org.catalogue import USER

NUMBERED = re.compile(r"(LAST_N|NEXT_N|N)_(DAY|WEEK|MONTH|QUARTER|YEAR)S(_AGO)?:(\d+)")
NAMED = re.compile(r"(LAST|THIS|NEXT)_(WEEK|MONTH|QUARTER|YEAR)")
SINGLE = {"YESTERDAY": -1, "TODAY": 0, "TOMORROW": 1}
STEPS = {"LAST": -1, "THIS": 0, "NEXT": 1}
DATE_LENGTH = len("2026-01-31")


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a date literal stands for, without its end."""

    start: datetime
    end: datetime

    def compare(self, sign: str, value: str) -> bool:
        """Compare a date, or a date with a time, with this span."""
        try:
            if len(value) == DATE_LENGTH:
                last = (self.end - timedelta(microseconds=1)).date()
                at: tuple[bool, bool] = (
                    date.fromisoformat(value) >= self.start.date(),
                    date.fromisoformat(value) <= last,
                )
            else:
                moment = datetime.fromisoformat(value)
                at = (moment >= self.start, moment < self.end)
        except ValueError:
            return False
        has_begun, has_not_ended = at
        return {
            "=": has_begun and has_not_ended,
            "<": not has_begun,
            "<=": has_not_ended,
            ">": not has_not_ended,
            ">=": has_begun,
        }.get(sign, False)


def span(literal: str, now: datetime) -> Span | None:
    """Return the time that a literal stands for, or None for another word."""
    today = now.astimezone(ZoneInfo(USER["TimeZoneSidKey"])).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    word = literal.upper()
    if word in SINGLE:
        return Span(_days(today, SINGLE[word]), _days(today, SINGLE[word] + 1))
    if word == "LAST_90_DAYS":
        word = "LAST_N_DAYS:90"
    if word == "NEXT_90_DAYS":
        word = "NEXT_N_DAYS:90"
    if named := NAMED.fullmatch(word):
        step, unit = STEPS[named[1]], named[2]
        return Span(_moved(today, unit, step), _moved(today, unit, step + 1))
    if numbered := NUMBERED.fullmatch(word):
        return _numbered(numbered, today, now)
    return None


def _numbered(literal: re.Match[str], today: datetime, now: datetime) -> Span | None:
    kind, unit, ago, count = literal[1], literal[2], literal[3], int(literal[4])
    match kind, bool(ago):
        case "LAST_N", False if unit == "DAY":
            return Span(_days(today, -count), now.astimezone(today.tzinfo) + timedelta(seconds=1))
        case "LAST_N", False:
            return Span(_moved(today, unit, -count), _moved(today, unit, 0))
        case "NEXT_N", False:
            return Span(_moved(today, unit, 1), _moved(today, unit, count + 1))
        case "N", True:
            return Span(_moved(today, unit, -count), _moved(today, unit, 1 - count))
    return None


def _moved(today: datetime, unit: str, count: int) -> datetime:
    """Return the start of the unit that is `count` units after the one of today."""
    return MOVES[unit](today, count)


def _days(day: datetime, count: int) -> datetime:
    return day + timedelta(days=count)


def _weeks(day: datetime, count: int) -> datetime:
    sunday = day - timedelta(days=(day.weekday() + 1) % 7)
    return sunday + timedelta(weeks=count)


def _months(day: datetime, count: int) -> datetime:
    years, month = divmod(day.month - 1 + count, 12)
    return day.replace(year=day.year + years, month=month + 1, day=1)


def _quarters(day: datetime, count: int) -> datetime:
    return _months(day, 3 * count - (day.month - 1) % 3)


def _years(day: datetime, count: int) -> datetime:
    return day.replace(year=day.year + count, month=1, day=1)


MOVES: Mapping[str, Callable[[datetime, int], datetime]] = {
    "DAY": _days,
    "WEEK": _weeks,
    "MONTH": _months,
    "QUARTER": _quarters,
    "YEAR": _years,
}
