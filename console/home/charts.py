"""Changes a minute as bars. Pure: counts by minute in, geometry and texts out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils.timezone import localtime

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
#: What is not nothing is seen.
_LEAST_HEIGHT = 1 / 60


@dataclass(frozen=True)
class Bar:
    since: datetime
    until: datetime
    #: New in the audit log.
    changes: int
    #: A minute, of the time that has passed.
    rate: float
    is_unfinished: bool
    #: Of the chart's height, from 0 to 1.
    share: float

    @property
    def top(self) -> str:
        """In the drawing, whose y grows downwards. As a text: no language writes it otherwise."""
        return f"{1 - self.share:.4f}"

    @property
    def height(self) -> str:
        return f"{self.share:.4f}"

    @property
    def text(self) -> str:
        at, so_far = localtime(self.since), ", so far" if self.is_unfinished else ""
        return f"{at:%H:%M}: {shown(self.rate)} a minute, {self.changes:,} in all{so_far}"


@dataclass(frozen=True)
class Chart:
    name: str
    bars: list[Bar]

    @property
    def total(self) -> int:
        return sum(bar.changes for bar in self.bars)

    @property
    def most(self) -> float:
        return max((bar.rate for bar in self.bars), default=0.0)

    @property
    def most_text(self) -> str:
        return shown(self.most)

    @property
    def since(self) -> datetime:
        return self.bars[0].since

    @property
    def until(self) -> datetime:
        return self.bars[-1].until

    @property
    def description(self) -> str:
        if not self.total:
            return f"{self.name}: no changes."
        return (
            f"{self.name}: {self.total:,} changes, at most {self.most_text} a minute, "
            f"in steps of {_minutes(self.bars[0].until - self.bars[0].since)}."
        )


def chart(
    name: str, counts: Mapping[datetime, int], now: datetime, *, span: timedelta, step: timedelta
) -> Chart:
    """The steps that reach into `span` before now; the last one has not ended yet."""
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
    return Chart(name, bars)


def shown(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 or rate == int(rate) else f"{rate:.1f}"


def _passed(start: datetime, step: timedelta, now: datetime) -> float:
    """Minutes, at least one: a minute that has just begun is no stampede."""
    return max(MINUTE, min(step, now - start)) / MINUTE


def _floor(moment: datetime, step: timedelta) -> datetime:
    seconds = int(moment.timestamp())
    return datetime.fromtimestamp(seconds - seconds % int(step.total_seconds()), UTC)


def _minutes(step: timedelta) -> str:
    count = int(step / MINUTE)
    return f"{count} minutes" if count > 1 else "one minute"
