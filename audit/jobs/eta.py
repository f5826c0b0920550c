"""The progress of a job: percent done, rows per second, and time left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from audit.db.row_count import Total

#: The shortest time in seconds from which a rate is computed.
_LEAST = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """The progress of a job after `seconds`."""

    done: int
    total: Total
    seconds: float

    @classmethod
    def since(cls, started_at: datetime | None, until: datetime, done: int, total: Total) -> Pace:
        return cls(done, total, (until - started_at).total_seconds() if started_at else 0.0)

    @property
    def percent(self) -> int | None:
        """Return the percentage done, 100 only at the end; None without a total."""
        total = self.total.number
        if total is None:
            return None
        if self.done >= total:
            return 99 if self.total.is_estimate else 100
        return 100 * self.done // total

    @property
    def rate(self) -> float | None:
        """Return the rows per second; None when too little time has passed."""
        return self.done / self.seconds if self.seconds >= _LEAST else None

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
    """Return a duration as text: in seconds below two minutes, in minutes below two hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
