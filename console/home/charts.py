"""Bar charts of changes per minute. Pure: counts by minute in, geometry and texts out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils.timezone import localtime

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
#: The least height of a bar, so that a single change is visible.
_LEAST_HEIGHT = 1 / 60


@dataclass(frozen=True)
class Bar:
    since: datetime
    until: datetime
    #: New audit log entries.
    changes: int
    #: Changes per minute of the elapsed time.
    rate: float
    is_unfinished: bool
    #: The height of the bar, from 0 to 1.
    share: float

    @property
    def top(self) -> str:
        """The y coordinate of the bar's top, as text so that it is not localised."""
        return f"{1 - self.share:.4f}"

    @property
    def height(self) -> str:
        return f"{self.share:.4f}"

    @property
    def text(self) -> str:
        at, so_far = localtime(self.since), ", so far" if self.is_unfinished else ""
        return f"{at:%H:%M}: {shown(self.rate)} per minute, {self.changes:,} in total{so_far}"


@dataclass(frozen=True)
class Chart:
    name: str
    bars: list[Bar]
    #: The highest rate of a bar, as text.
    most: str
    description: str


def chart(
    name: str, counts: Mapping[datetime, int], now: datetime, *, span: timedelta, step: timedelta
) -> Chart:
    """Return a chart of the `span` before now in steps; the last step is unfinished."""
    end = _floor(now, step) + step
    starts = [end - step * number for number in range(int(span / step), 0, -1)]
    changes = dict.fromkeys(starts, 0)
    for minute, count in counts.items():
        start = _floor(minute, step)
        if start in changes:
            changes[start] += count
    rates = {start: count / _passed(start, step, now) for start, count in changes.items()}
    most = max(rates.values()) or 1.0
    bars = []
    for start in starts:
        share = max(_LEAST_HEIGHT, rates[start] / most) if changes[start] else 0.0
        until = start + step
        bars.append(Bar(start, until, changes[start], rates[start], until > now, share))
    total = sum(changes.values())
    if not total:
        return Chart(name, bars, shown(0), f"{name}: no changes.")
    peak = shown(most)
    description = f"{name}: {total:,} changes, at most {peak} per minute, in {_steps(step)}."
    return Chart(name, bars, peak, description)


def shown(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 or rate == int(rate) else f"{rate:.1f}"


def _passed(start: datetime, step: timedelta, now: datetime) -> float:
    """Return the elapsed minutes of a step, at least one, so that a new step shows no peak."""
    return max(MINUTE, min(step, now - start)) / MINUTE


def _floor(moment: datetime, step: timedelta) -> datetime:
    seconds = int(moment.timestamp())
    return datetime.fromtimestamp(seconds - seconds % int(step.total_seconds()), UTC)


def _steps(step: timedelta) -> str:
    count = int(step / MINUTE)
    return f"steps of {count} minutes" if count > 1 else "steps of one minute"
