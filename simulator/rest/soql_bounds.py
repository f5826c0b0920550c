"""Bounds of a field that follow from a WHERE clause, to read fewer records."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce

from simulator.org.ids import long_id
from simulator.rest.soql_dates import Span
from simulator.rest.soql_where import Comparison, Joined, Literal, Where


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the greatest text that can satisfy a condition; None: no limit.

    Times have the form of records, such as `2026-01-31T12:00:00.000Z`.
    """

    low: str | None = None
    high: str | None = None

    def has(self, value: str) -> bool:
        low, high = self.low, self.high
        return (low is None or low <= value) and (high is None or value <= high)

    def within(self, other: "Bounds") -> "Bounds":
        """Return the bounds of both conditions."""
        lows = [low for low in (self.low, other.low) if low is not None]
        highs = [high for high in (self.high, other.high) if high is not None]
        return Bounds(max(lows, default=None), min(highs, default=None))

    def around(self, other: "Bounds") -> "Bounds":
        """Return the bounds of either condition."""
        return Bounds(
            None if self.low is None or other.low is None else min(self.low, other.low),
            None if self.high is None or other.high is None else max(self.high, other.high),
        )


def bounds(where: Where, name: str, spelt: Mapping[str, str]) -> Bounds:
    """Return the bounds of a field, Id or a time; `spelt` has the org's name of each field."""
    match where:
        case Joined("AND", parts):
            return reduce(Bounds.within, (bounds(part, name, spelt) for part in parts))
        case Joined(_, parts):
            return reduce(Bounds.around, (bounds(part, name, spelt) for part in parts))
        case Comparison(field, sign, (literal,)) if spelt[field] == name:
            return _bounds(sign, literal)
        case _:
            return Bounds()


def _bounds(sign: str, literal: Literal) -> Bounds:
    low, high = _ends(literal)
    match sign:
        case "=":
            return Bounds(low, high)
        case ">" | ">=":
            return Bounds(low, None)
        case "<" | "<=":
            return Bounds(None, high)
    return Bounds()


def _ends(literal: Literal) -> tuple[str | None, str | None]:
    match literal.value:
        case Span(start, end):
            return _stored(start), _stored(end)
        case datetime() as moment:
            return _stored(moment), _stored(moment)
        case str() as text:
            return long_id(text), long_id(text)
    return None, None


def _stored(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
