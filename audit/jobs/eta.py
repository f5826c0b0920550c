"""How far something is, how fast it goes, and how long it will take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from audit.estimates import Total

#: A rate that was measured for less than so many seconds says nothing yet.
_LEAST = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """`at_begin`: what was done already when those seconds began."""

    done: int
    total: Total
    seconds: float
    at_begin: int = 0

    @classmethod
    def since(cls, started_at: datetime | None, until: datetime, done: int, total: Total) -> Pace:
        return cls(done, total, (until - started_at).total_seconds() if started_at else 0.0)

    @property
    def percent(self) -> int | None:
        """Only what is whole is 100; None where nobody knows."""
        of = self.total.number
        if of is None:
            return None
        if self.done >= of:
            return 99 if self.total.is_estimate else 100
        return 100 * self.done // of

    @property
    def rate(self) -> float | None:
        """A second."""
        return (self.done - self.at_begin) / self.seconds if self.seconds >= _LEAST else None

    @property
    def seconds_left(self) -> float | None:
        left = (self.total.number or 0) - self.done
        return left / self.rate if left > 0 and self.rate else None

    @property
    def counted(self) -> str:
        if self.total.number is None:
            return f"{self.done:,}"
        return f"{self.done:,} of {self.total}"

    @property
    def speed(self) -> str:
        return "" if self.rate is None else f"{self.rate:,.0f}/s"

    @property
    def left(self) -> str:
        seconds = self.seconds_left
        return "" if seconds is None else f"{'about ' * self.total.is_estimate}{span(seconds)} left"

    def __str__(self) -> str:
        percent = f"{self.percent} %" if self.percent is not None else ""
        return ", ".join(part for part in (self.counted, percent, self.speed, self.left) if part)


def span(seconds: float) -> str:
    """Seconds below two minutes, minutes below two hours, and then hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
