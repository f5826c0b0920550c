"""Months of UTC, as times of a commit: milliseconds since 1970."""

from __future__ import annotations

from calendar import timegm
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, order=True, slots=True)
class Month:
    year: int
    number: int

    @classmethod
    def of(cls, moment: datetime) -> Month:
        there = moment.astimezone(UTC)
        return cls(there.year, there.month)

    @classmethod
    def at(cls, ms: int) -> Month:
        return cls.of(datetime.fromtimestamp(ms / 1000, UTC))

    @classmethod
    def parsed(cls, suffix: str) -> Month:
        year, number = map(int, suffix.split("_"))
        return cls(year, number)

    @property
    def since(self) -> int:
        """The first millisecond of it."""
        return timegm((self.year, self.number, 1, 0, 0, 0)) * 1000

    @property
    def until(self) -> int:
        """The first millisecond after it."""
        return self.next().since

    def next(self, months: int = 1) -> Month:
        count = self.year * 12 + self.number - 1 + months
        return Month(count // 12, count % 12 + 1)

    @property
    def suffix(self) -> str:
        """What names of tables end with."""
        return f"{self.year}_{self.number:02}"

    def __str__(self) -> str:
        return f"{self.year}-{self.number:02}"


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
