"""Buckets of creation time, in which records are counted on both sides. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

SECOND = timedelta(seconds=1)
#: Records in a bucket on average. Fewer would cost requests, more would cost halvings.
ROWS = 50_000
#: Buckets at first: the database counts all of them in one pass.
MOST = 32


@dataclass(frozen=True, slots=True)
class Bucket:
    """The records created from `start` on and before `end`, in whole seconds; None: unbounded."""

    start: datetime | None = None
    end: datetime | None = None

    def halved(self) -> tuple[Bucket, Bucket] | None:
        """Return both halves; None if the bucket cannot be halved."""
        if self.start is None or self.end is None or self.end - self.start <= SECOND:
            return None
        middle = whole(self.start + (self.end - self.start) / 2)
        return Bucket(self.start, middle), Bucket(middle, self.end)

    def to_json(self) -> list[str | None]:
        """Return the bounds as a run's cursor keeps them."""
        return [moment.isoformat() if moment else None for moment in (self.start, self.end)]

    @classmethod
    def of_json(cls, bounds: Iterable[str | None]) -> Bucket:
        return cls(*(datetime.fromisoformat(text) if text else None for text in bounds))


@dataclass(frozen=True, slots=True)
class Count:
    """One side's count of a bucket: the number of records, and the newest LastModifiedDate."""

    rows: int
    newest: datetime | None = None

    def __add__(self, other: Count) -> Count:
        newest = max(filter(None, (self.newest, other.newest)), default=None)
        return Count(self.rows + other.rows, newest)


def total(counts: Iterable[Count]) -> Count:
    return sum(counts, Count(0))


def first_buckets(oldest: datetime | None, until: datetime, rows: int) -> list[Bucket]:
    """Return buckets of equal length from `oldest` until `until`, and one for all that is older."""
    if oldest is None or whole(oldest) >= whole(until):
        return [Bucket(None, whole(until))]
    oldest, until = whole(oldest), whole(until)
    number = max(1, min(MOST, -(-rows // ROWS)))
    bounds = [
        *dict.fromkeys(whole(oldest + (until - oldest) * n / number) for n in range(number)),
        until,
    ]
    return [Bucket(None, oldest), *(Bucket(start, end) for start, end in pairwise(bounds))]


def whole(moment: datetime) -> datetime:
    """Return the time without the part of a second, which Salesforce does not store."""
    return moment.astimezone(UTC).replace(microsecond=0)
